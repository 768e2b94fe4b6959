"""Keep native libraries' chatter off the terminal.

LiteRT and TensorFlow write it to file descriptor 2, past ``sys.stderr``, with no switch for all of
it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
        with tempfile.TemporaryFile() as sink:
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


def _restore(kept: int) -> None:
    sys.stderr.flush()
    os.dup2(kept, 2)
    os.close(kept)
