"""Cameras and streams as they are now: the newest frame only, and several at once."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import DataError
from quantdet.runtime.sources import Source, read_frames


class Frame(NamedTuple):
    """One picture of a source.

    Attributes:
        source: where it is from.
        number: of it there, from 0; frames that were skipped count.
        pixels: uint8 RGB (H, W, 3).
    """

    source: Source
    number: int
    pixels: NDArray[np.uint8]


Ended = tuple[Source, BaseException | None]
"""A source that gives no more frames, and why, if not because it is over."""


def numbered(source: Source, every: int = 1) -> Generator[Frame, None, None]:
    """Yield every frame of a source, or each so many-th.

    Raises:
        DataError, DependencyError: as :func:`quantdet.runtime.sources.read_frames`.
    """
    with closing(read_frames(source, every)) as frames:
        for count, pixels in enumerate(frames):
            yield Frame(source, count * every, pixels)


class _Reader(threading.Thread):
    """Reads one source as fast as it gives frames and keeps the newest."""

    def __init__(self, source: Source, every: int, news: threading.Condition) -> None:
        super().__init__(daemon=True)
        self.source = source
        self.newest: Frame | None = None
        self.ended: Ended | None = None
        self._frames = numbered(source, every)
        self._news = news
        self._stopped = False

    def run(self) -> None:
        error: BaseException | None = None
        try:
            with closing(self._frames):
                for frame in self._frames:
                    with self._news:
                        self.newest = frame
                        self._news.notify()
                    if self._stopped:
                        break
        except Exception as caught:  # told by the thread that asks for frames
            error = caught
        with self._news:
            self.ended = (self.source, error)
            self._news.notify()

    def stop(self) -> None:
        """Let it end with its next frame; a camera that hangs holds nobody up."""
        self._stopped = True


@contextmanager
def newest_frames(sources: Sequence[Source], every: int = 1) -> Iterator[Iterator[Frame | Ended]]:
    """Give an iterator over the newest frames of cameras and streams, read at the same time.

    While one frame is looked at, others come and go: whoever asks gets the newest that it has not
    had, of each source in turn. What a source says when it ends comes once, as :data:`Ended`; after
    the last one the iterator ends.

    Args:
        sources: cameras and streams.
        every: see :func:`numbered`.
    """
    news = threading.Condition()
    readers = [_Reader(source, every, news) for source in sources]
    for reader in readers:
        reader.start()
    try:
        yield _in_turn(readers, news)
    finally:
        for reader in readers:
            reader.stop()
        for reader in readers:
            reader.join(timeout=1)


def _in_turn(readers: list[_Reader], news: threading.Condition) -> Iterator[Frame | Ended]:
    waiting = list(readers)
    while waiting:
        with news:
            while not any(reader.newest or reader.ended for reader in waiting):
                # A limit, so that Ctrl-C is heard on every system.
                news.wait(timeout=1)
            reader = next(reader for reader in waiting if reader.newest or reader.ended)
            waiting.remove(reader)
            frame, reader.newest = reader.newest, None
            if frame is not None:
                waiting.append(reader)  # behind the others
        yield frame if frame is not None else _ending(reader)


def _ending(reader: _Reader) -> Ended:
    assert reader.ended is not None  # it is why the reader was chosen
    source, error = reader.ended
    if error is not None and not isinstance(error, DataError):
        raise error
    return source, error
