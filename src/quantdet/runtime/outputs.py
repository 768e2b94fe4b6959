"""Where ``predict`` writes: names that write over nothing of the user, pictures and videos."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantdet.errors import DataError, QuantdetError
from quantdet.runtime.journal import Journal
from quantdet.runtime.predictions import PREDICTIONS_FILE, Predictions
from quantdet.runtime.sources import Source, frame_count, frames_per_second, load_opencv
from quantdet.system.atomic import atomic_path, atomic_stream

if TYPE_CHECKING:
    from cv2 import VideoWriter

_JPEG_QUALITY = 92
_TABLE_SUFFIX = ".csv"
_DRAWN_SUFFIXES = (".jpg", ".mp4")
_NAME_BYTES = 255

Canvas = Callable[[NDArray[np.uint8]], None]
"""Takes a drawn picture (uint8 RGB) and keeps it."""


class OurFiles(NamedTuple):
    """Names of all files in an output folder that ``predict`` wrote."""

    drawn: tuple[str, ...]
    tables: tuple[str, ...]
    records: tuple[str, ...]


class OutputNames:
    """Chooses file names in ``out_dir``.

    A name is free if no file has it, or if the file was written by an earlier call (then it is
    listed in ``predictions.json`` as "drawn_files", "csv_files" or "record_files", or in the
    journal of a call that was killed). An input is never written over.

    Raises:
        QuantdetError: ``out_dir`` is a file, or its predictions.json is not ours.
    """

    def __init__(self, out_dir: Path, sources: Sequence[Source]) -> None:
        self._out_dir = out_dir
        self._inputs = {source.path.resolve() for source in sources if source.path is not None}
        listed = _earlier_output(out_dir)
        self._journal = Journal(out_dir)
        self._earlier = {
            name for name in listed | self._journal.earlier if (out_dir / name).exists()
        }
        self._used: set[str] = set()
        self._chosen: list[str] = []

    def all_ours(self) -> OurFiles:
        """Return what is ours in ``out_dir``: what earlier calls wrote, and this one."""
        written = {name for name in self._chosen if (self._out_dir / name).exists()}
        names = sorted(self._earlier | written)
        return OurFiles(
            drawn=tuple(name for name in names if name.endswith(_DRAWN_SUFFIXES)),
            tables=tuple(name for name in names if name.endswith(_TABLE_SUFFIX)),
            records=tuple(
                name for name in names if not name.endswith((*_DRAWN_SUFFIXES, _TABLE_SUFFIX))
            ),
        )

    def close(self) -> None:
        """Forget what was chosen: ``predictions.json`` lists it now."""
        self._journal.close()

    def choose(self, source: Source) -> Path:
        """Return where the drawn picture or video of ``source`` goes."""
        suffix = ".jpg" if source.kind == "picture" else ".mp4"
        return self.choose_file(plain_stem(source.name), suffix)

    def choose_file(self, stem: str, suffix: str, folder: str = "") -> Path:
        """Return where a file goes: STEM.SUFFIX, or with a number where that is not free.

        Args:
            stem: of the name.
            suffix: of the name.
            folder: within the output folder, ending in "/"; it is made when the file is written.
        """
        number = 1
        name = folder + file_name(stem, suffix)
        while not self._is_free(name):
            number += 1
            name = folder + file_name(stem, f"-{number}{suffix}")
        # Some file systems take A.jpg and a.jpg for the same.
        self._used.add(name.lower())
        self._journal.add(name)
        self._chosen.append(name)
        return self._out_dir / name

    def _is_free(self, name: str) -> bool:
        target = self._out_dir / name
        if name.lower() in self._used or target.resolve() in self._inputs:
            return False
        return name in self._earlier or not target.exists()


def plain_stem(source: str) -> str:
    """Return what files about a source are called: a file's stem, else its name without signs."""
    if "://" in source or source.startswith("camera:"):
        return re.sub(r"[^\w.]+", "-", source)
    return Path(source).stem


def file_name(stem: str, suffix: str) -> str:
    """Return ``stem`` and ``suffix`` as a name that file systems take: of 255 bytes at most."""
    room = _NAME_BYTES - len(os.fsencode(suffix))
    if len(os.fsencode(stem)) > room:
        stem = os.fsencode(stem)[:room].decode("utf-8", "ignore")
    return stem + suffix


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
            video.check()


def _save_jpeg(picture: NDArray[np.uint8], target: Path) -> None:
    with atomic_stream(target) as stream:
        Image.fromarray(picture).save(stream, quality=_JPEG_QUALITY)


class _Video:
    """An MP4 that opens with its first frame, which says the size."""

    def __init__(self, file: Path, shown_as: Path, speed: float) -> None:
        self._file = file
        self._shown_as = shown_as
        self._speed = speed
        self._writer: VideoWriter | None = None
        self._frames = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        if self._writer is None:
            self._writer = self._open(picture.shape[1], picture.shape[0])
        cv2 = load_opencv()
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        # Last: a frame that Ctrl-C kept from being written is not missing.
        self._frames += 1

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()

    def check(self) -> None:
        """Make sure that the closed file holds every frame; OpenCV says nothing of a full disk.

        Raises:
            QuantdetError: frames are missing.
        """
        if not self._frames:
            return
        try:
            found = frame_count(Source("video", str(self._shown_as), path=self._file))
        except DataError:
            found = -1
        if found < self._frames and found:  # 0: nobody knows
            raise QuantdetError(
                f"{self._shown_as}: was not written completely; free some space or choose another "
                "folder"
            )

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
    # Versions before 0.2 wrote pictures only.
    return {*earlier.drawn_files, *earlier.csv_files, *earlier.record_files}
