"""Do a part of a command in a process of its own, whose memory is free again when it is done.

TensorFlow keeps about 1 GB of what a float training took (docs/log.md, "Memory of a run"), and
quantization-aware training needs as much again. Native code that finds no memory ends its process;
another one is left to say so.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from quantdet.cli.endings import sentence
from quantdet.errors import QuantdetError
from quantdet.system.processes import count_processes

_STOPS = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1
# Of a part that ends by itself; with others native code ends the process (glibc: 127).
_OWN_CODES = (0, 1, 2, 130)


class PartEndedError(Exception):
    """A part of a command failed and has said why.

    Attributes:
        code: what the command is to leave with.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def in_own_process(act: Callable[[], object]) -> None:
    """Call ``act`` in a fork of this process, which prints and is stopped as this one is.

    It is called here where a fork is not safe: once Keras is imported, since the threads of its
    backend do not live on, and on systems other than Linux (macOS' own libraries do not stand it);
    and where it belongs to a training in several processes, which stay together to the end.

    Raises:
        PartEndedError: it failed.
        QuantdetError: the system ended the process.
        KeyboardInterrupt: this process was told to stop; so was the other.
    """
    if sys.platform != "linux" or "keras" in sys.modules or count_processes() > 1:
        act()
        return
    sys.stdout.flush()
    sys.stderr.flush()
    # Until both are ready for a signal: one right behind the fork would end this process alone.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    child = os.fork()
    if not child:
        _obey_the_parent()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        os._exit(_exit_code(act))
    code = os.waitstatus_to_exitcode(_wait(child))
    if code not in _OWN_CODES:
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise QuantdetError(
            f"the process that did the work ended with {how}; the same command resumes it. If the "
            "memory did not suffice, a smaller --batch makes a training take less"
        )
    if code:
        raise PartEndedError(code)


def _wait(child: int) -> int:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        return os.waitpid(child, 0)[1]
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise


def _obey_the_parent() -> None:
    """Stop when the parent says so, and end with it."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    # Ctrl-C reaches both; the parent passes it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    with suppress(OSError, AttributeError):  # no libc of that kind
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _exit_code(act: Callable[[], object]) -> int:
    """Call ``act``; say what went wrong, as the whole command would."""
    try:
        act()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        said = sentence(error)
        if said is None:
            traceback.print_exc()
            return 1
        sys.stderr.write(f"error: {said}\n")
        return 2
    finally:
        sys.stderr.flush()
    return 0
