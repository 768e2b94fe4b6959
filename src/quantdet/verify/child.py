"""Run a function in a process of its own, so that native code that crashes or hangs ends only that.

Both sides send pickles over the child's standard input and output: the parent ``sys.path``, then
the function and its arguments; the child calls of ``call``, each answered, and last its result. A
fork would not do, because TensorFlow's threads do not live on in it; and multiprocessing would run
the user's script again.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import IO, Any, TypeVar, cast

from quantdet.errors import QuantdetError
from quantdet.system.shortage import is_shortage

T = TypeVar("T")

PATIENCE_S = 600.0
"""A child that says nothing for so long hangs. The longest silence is Vela's for a large net."""

Call = Callable[..., Any]
"""(name, arguments) → what the other process answers."""

# Nothing is buffered in ``sys.stdin``: the rest is read through another file object.
_BOOT = """
import io, pickle, sys
sys.path[:] = pickle.load(io.FileIO(0, closefd=False))
from quantdet.verify.child import main
main()
"""


@dataclass(frozen=True)
class _Result:
    """What the function returned."""

    content: object


class ChildError(QuantdetError):
    """The process ended without a result."""


def in_child(
    function: Callable[..., T], *arguments: object, answer: Call, patience_s: float = PATIENCE_S
) -> T:
    """Return ``function(*arguments, call)``, computed in a new process.

    Args:
        function: of a module, found there by its name.
        arguments: that can be pickled.
        answer: runs here whenever the function uses its last argument, ``call``.
        patience_s: how long the child may be silent.

    Raises:
        ChildError: it crashed, hung or ended without a result; the message says which.
        QuantdetError: as the function raises.
        OSError: as the function raises, where the machine lacks something.
    """
    with tempfile.TemporaryFile() as said, closing(_Child(said, patience_s)) as child:
        try:
            child.send(sys.path)
            child.send((function, arguments))
            while True:
                message = child.receive()
                if isinstance(message, _Result):
                    return cast(T, message.content)
                if isinstance(message, Exception):
                    raise message
                child.send(answer(*message))
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise ChildError(f"its process {child.ending()}") from None


def main() -> None:
    """Do in the child what the parent asks."""
    # The pipes are for us alone: native code may print what it likes, and start who may read.
    answers, messages = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)

    def call(*wanted: object) -> object:
        _send(messages, wanted)
        return pickle.load(answers)

    function, arguments = pickle.load(answers)
    try:
        _send(messages, _Result(function(*arguments, call)))
    except (QuantdetError, OSError) as error:
        if isinstance(error, OSError) and not is_shortage(error):
            raise
        _send(messages, error)


class _Child:
    """The process and the pipes to it; what else it says goes to ``said``."""

    def __init__(self, said: IO[bytes], patience_s: float) -> None:
        self._said = said
        self._patience_s = patience_s
        self._hung = False
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )

    def send(self, content: object) -> None:
        assert self._process.stdin is not None  # it was asked for
        _send(self._process.stdin, content)

    def receive(self) -> _Result | Exception | tuple[object, ...]:
        assert self._process.stdout is not None  # it was asked for
        timer = threading.Timer(self._patience_s, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            message: _Result | Exception | tuple[object, ...]
            message = pickle.load(self._process.stdout)
            return message
        finally:
            timer.cancel()

    def ending(self) -> str:
        """Return how it ended, with the last line of what it said."""
        code = self._process.wait()
        if self._hung:
            return f"hung: {self._patience_s:g} s without a sign"
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended, code {code}"
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").splitlines()
        last = next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
        return how + (f" ({last})" if last else "")

    def close(self) -> None:
        """End it with all that it started."""
        self._kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # nobody reads what is left
                if stream is not None:
                    stream.close()

    def _give_up(self) -> None:
        self._hung = True
        self._kill()

    def _kill(self) -> None:
        if not hasattr(os, "killpg"):
            self._process.kill()
            return
        with suppress(ProcessLookupError):  # none of its group is left
            os.killpg(self._process.pid, signal.SIGKILL)


def _send(stream: IO[bytes], content: object) -> None:
    pickle.dump(content, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()
