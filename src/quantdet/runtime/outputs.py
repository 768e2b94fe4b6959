"""Where ``predict`` writes: names that write over nothing of the user, pictures and videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantdet.errors import QuantdetError
from quantdet.runtime.predictions import PREDICTIONS_FILE, Predictions
from quantdet.runtime.sources import Source, frames_per_second, load_opencv
from quantdet.system.atomic import atomic_path

if TYPE_CHECKING:
    from cv2 import VideoWriter

_JPEG_QUALITY = 92
_TABLE_SUFFIX = ".csv"

Canvas = Callable[[NDArray[np.uint8]], None]
"""Takes a drawn picture (uint8 RGB) and keeps it."""


class OurFiles(NamedTuple):
    """Names of all files in an output folder that ``predict`` wrote."""

    drawn: tuple[str, ...]
    tables: tuple[str, ...]


class OutputNames:
    """Chooses file names in ``out_dir``.

    A name is free if no file has it, or if the file was written by an earlier call (then it is
    listed in ``predictions.json`` as "drawn_files" or "csv_files"). An input is never written over.

    Raises:
        QuantdetError: ``out_dir`` is a file, or its predictions.json is not ours.
    """

    def __init__(self, out_dir: Path, sources: Sequence[Source]) -> None:
        self._out_dir = out_dir
        self._inputs = {source.path.resolve() for source in sources if source.path is not None}
        self._earlier = _earlier_output(out_dir)
        self._used: set[str] = set()

    def all_ours(self, now: Iterable[str]) -> OurFiles:
        """Return what is ours in ``out_dir``: what earlier calls wrote, and ``now``."""
        names = sorted(self._earlier.union(now))
        drawn = tuple(name for name in names if not name.endswith(_TABLE_SUFFIX))
        return OurFiles(drawn, tuple(name for name in names if name.endswith(_TABLE_SUFFIX)))

    def choose(self, source: Source) -> Path:
        """Return where the drawn picture or video of ``source`` goes."""
        stem = source.name.replace(":", "-") if source.path is None else source.path.stem
        return self._first_free(stem, ".jpg" if source.kind == "picture" else ".mp4")

    def choose_table(self) -> Path:
        """Return where the table of all detections goes."""
        return self._first_free("predictions", _TABLE_SUFFIX)

    def _first_free(self, stem: str, suffix: str) -> Path:
        number = 1
        name = f"{stem}{suffix}"
        while not self._is_free(name):
            number += 1
            name = f"{stem}-{number}{suffix}"
        # Some file systems take A.jpg and a.jpg for the same.
        self._used.add(name.lower())
        return self._out_dir / name

    def _is_free(self, name: str) -> bool:
        target = self._out_dir / name
        if name.lower() in self._used or target.resolve() in self._inputs:
            return False
        return name in self._earlier or not target.exists()


@contextmanager
def open_canvas(source: Source, target: Path | None) -> Iterator[Canvas]:
    """Give a function that keeps the drawn pictures of one source at ``target``.

    A video appears at ``target`` when the context ends, and not at all on an exception.

    Args:
        source: says whether a picture or a video is written.
        target: None keeps nothing.

    Raises:
        QuantdetError: ``target`` cannot be written.
        DependencyError: a video, and OpenCV is not installed.
    """
    if target is None:
        yield lambda _: None
    elif source.kind == "picture":
        yield lambda picture: _save_jpeg(picture, target)
    else:
        with atomic_path(target) as temporary:
            video = _Video(temporary, target, frames_per_second(source))
            try:
                yield video.add
            finally:
                video.close()


def _save_jpeg(picture: NDArray[np.uint8], target: Path) -> None:
    with atomic_path(target) as temporary:
        Image.fromarray(picture).save(temporary, quality=_JPEG_QUALITY)


class _Video:
    """An MP4 that opens with its first frame, which says the size."""

    def __init__(self, file: Path, shown_as: Path, speed: float) -> None:
        self._file = file
        self._shown_as = shown_as
        self._speed = speed
        self._writer: VideoWriter | None = None

    def add(self, picture: NDArray[np.uint8]) -> None:
        if self._writer is None:
            self._writer = self._open(picture.shape[1], picture.shape[0])
        self._writer.write(np.ascontiguousarray(picture[..., ::-1]))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()

    def _open(self, width: int, height: int) -> VideoWriter:
        cv2 = load_opencv()
        code = cv2.VideoWriter.fourcc(*"mp4v")
        size = (width, height)
        writer: VideoWriter = cv2.VideoWriter(str(self._file), code, self._speed, size)
        if not writer.isOpened():
            raise QuantdetError(
                f"{self._shown_as}: OpenCV cannot write MP4 here; install "
                "opencv-python-headless from wheels, or leave the drawn video out"
            )
        return writer


def _earlier_output(out_dir: Path) -> set[str]:
    """Return the names of files that an earlier call wrote to ``out_dir``."""
    if out_dir.exists() and not out_dir.is_dir():
        raise QuantdetError(f"{out_dir}: is a file; choose another output folder with --out")
    file = out_dir / PREDICTIONS_FILE
    if not file.exists():
        return set()
    try:
        earlier = Predictions.read(file)
    except QuantdetError as error:
        raise QuantdetError(
            f"{error}; choose another output folder with --out, or move this file away"
        ) from None
    # Versions before 0.2 wrote no tables.
    names = (*earlier.drawn_files, *earlier.csv_files)
    return {name for name in names if (out_dir / name).exists()}
