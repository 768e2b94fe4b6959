"""Keep libraries' chatter off the terminal and out of notebooks.

The native parts of LiteRT and TensorFlow write it to file descriptor 2, past ``sys.stderr``, with
no switch for all of it.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_lock = threading.Lock()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Swallow what is written to file descriptor 2; on an exception, show it after all."""
    with _lock:
        try:
            kept = os.dup(2)
        except OSError:  # no stderr at all, e.g. a daemon
            yield
            return
        sys.stderr.flush()
        with _sink() as sink:
            os.dup2(sink.fileno(), 2)
            try:
                yield
            except BaseException:
                _restore(kept)
                sink.seek(0)
                sys.stderr.write(sink.read().decode(errors="replace"))
                raise
            else:
                _restore(kept)


@contextmanager
def only_warnings(logger: str) -> Iterator[None]:
    """Let a logger tell warnings and errors only. TensorFlow's prints on stdout in notebooks."""
    chosen = logging.getLogger(logger)
    before = chosen.level
    chosen.setLevel(max(before, logging.WARNING))
    try:
        yield
    finally:
        chosen.setLevel(before)


def _sink() -> IO[bytes]:
    """Return a file that takes what is written; nothing can be read from it where none may be."""
    try:
        return tempfile.TemporaryFile()
    except OSError:  # a read-only system without a place for temporary files
        return Path(os.devnull).open("r+b")


def _restore(kept: int) -> None:
    sys.stderr.flush()
    os.dup2(kept, 2)
    os.close(kept)
