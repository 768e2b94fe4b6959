"""Where the lines of the logger "quantdet" go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path


class _Lines(logging.Handler):
    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(self.format(record))


class _File(logging.FileHandler):
    """Raises what keeps it from writing; logging's own would print a traceback for every line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging calls it
        raise  # noqa: PLE0704 - called where an error is handled


@contextmanager
def written_log(path: Path) -> Iterator[None]:
    """Append what is logged to a file, with the time of each line.

    Raises:
        OSError: a line cannot be written, e.g. the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _File(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
    with closing(handler), _added(handler):
        yield


@contextmanager
def shown_log(show: Callable[[str], None]) -> Iterator[None]:
    """Pass every line that is logged to ``show``, and to nobody above.

    LiteRT's converter gives the root logger a handler, which would show each line a second time.
    """
    logger = logging.getLogger("quantdet")
    above = logger.propagate
    logger.propagate = False
    try:
        with _added(_Lines(show)):
            yield
    finally:
        logger.propagate = above


@contextmanager
def _added(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("quantdet")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
