"""How a command ends that is told to, or that the system fails."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from quantdet.errors import QuantdetError
from quantdet.system.shortage import SHORTAGES

_STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
# What the machine has too little of or does not allow; other errors of the system are defects.
_OF_THE_MACHINE = SHORTAGES | {
    *(errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENODEV),
    *(errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.ELOOP),
    *(getattr(errno, name) for name in ("ESTALE", "EREMOTEIO") if hasattr(errno, name)),
}
_CHECK = "; check space, permissions and limits of this machine"


class StopSignals:
    """SIGTERM and SIGHUP, which would end the process at once, interrupt it as Ctrl-C does.

    Whatever Ctrl-C cleans up and keeps, so do they.

    Attributes:
        number: of the signal that came, or of Ctrl-C.
    """

    def __init__(self) -> None:
        self.number = int(signal.SIGINT)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Raise KeyboardInterrupt when one comes; one that is ignored (nohup) stays ignored."""
        is_main = threading.current_thread() is threading.main_thread()
        ours = [n for n in _STOPPING if is_main and signal.getsignal(n) is signal.SIG_DFL]
        for number in ours:
            signal.signal(number, self._stop)
        try:
            yield
        finally:
            for number in ours:
                signal.signal(number, signal.SIG_DFL)

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal ended."""
        return 128 + self.number

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        signal.signal(number, signal.SIG_IGN)  # once is enough: what follows cleans up
        raise KeyboardInterrupt


def tolerant_output() -> None:
    """Let names that are not UTF-8 be printed, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # replaced by a test, or closed
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def machine_problem(error: BaseException) -> str | None:
    """Return what the machine lacks or refuses, as a sentence; None: something else is wrong."""
    if isinstance(error, MemoryError):
        return "not enough memory; close other programs, or work with smaller pictures or batches"
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror}{_CHECK}"
    # TensorFlow has errors of its own, "FILE; No space left on device".
    said = str(error)
    is_its = type(error).__module__.startswith("tensorflow.")
    if is_its and any(os.strerror(number) in said for number in SHORTAGES):
        return f"{said.splitlines()[0]}{_CHECK}"
    return None


def sentence(error: Exception) -> str | None:
    """Return what a user can do about an error; None for a defect of quantdet."""
    if isinstance(error, QuantdetError):
        return str(error)
    # Typer's usage errors know how to show themselves.
    if hasattr(error, "format_message"):
        return str(error.format_message())
    return machine_problem(error)


def drop_output(stream: TextIO) -> None:
    """Send what is still to be written to nowhere: else the interpreter fails on it at its end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
