"""What ``predict`` reads: pictures, folders, globs, video files, cameras and streams."""

from __future__ import annotations

import glob
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import DataError, DependencyError
from quantdet.runtime.preprocess import PICTURE_SUFFIXES, read_image
from quantdet.system.listing import shown_entries, shown_files

if TYPE_CHECKING:
    from types import ModuleType

    from cv2 import VideoCapture

PICTURE_FILES = frozenset(chain.from_iterable(PICTURE_SUFFIXES.values()))
VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"))
_CAMERA = "camera:"
_DEVICE = re.compile(r"/dev/video(\d+)")
_STREAM = re.compile(r"(?:rtsps?|rtmps?|https?|udp|tcp|srt)://.+", re.IGNORECASE)
_SECRET = re.compile(r"//[^/@]*@")
_USUAL_FPS = 25.0
# Headers of whole videos may promise a few frames more than there are.
_MISSING_SHARE, _MISSING_FRAMES = 0.01, 2


class BrokenOffError(DataError):
    """A video ends before its header says so; the frames up to there are good.

    Args:
        message: for people.
        frames: how many there were.
    """

    def __init__(self, message: str, frames: int) -> None:
        super().__init__(message)
        self.frames = frames


_MOST_FRAMES = 1e9
_REMEDIES = {
    "camera": "check the index and that no other program uses it",
    "stream": "check the address, user and password, and that it answers",
    "video": "not a video that OpenCV can read, or damaged; convert it to mp4",
}


@dataclass(frozen=True)
class Source:
    """One thing that gives pictures.

    Attributes:
        kind: a picture gives one, the others many.
        name: as shown to the user: the path, "camera:0", or the URL without a password.
        path: of the file; None for a camera or stream.
        camera: its index; None for others.
        url: of a stream; None for others.
    """

    kind: Literal["picture", "video", "camera", "stream"]
    name: str
    path: Path | None = None
    camera: int | None = None
    url: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether it goes on whether it is read or not."""
        return self.kind in {"camera", "stream"}


def find_sources(inputs: Sequence[str | Path]) -> list[Source]:
    """Expand what the user gave into single sources, each file once.

    Args:
        inputs: picture or video files, folders (their pictures, not those of folders within,
            sorted), globs such as ``"photos/**/*.jpg"``, ``"camera:0"``, ``"0"`` or
            ``"/dev/video0"``, and streams that OpenCV opens: ``"rtsp://…"``, ``"http://…"``.

    Raises:
        DataError: a path is missing, or a folder or glob holds no picture.
    """
    found: dict[str, Source] = {}
    for item in inputs:
        for source in _expand(item):
            key = source.name if source.path is None else str(source.path.resolve())
            found.setdefault(key, source)
    if not found:
        raise DataError("nothing to predict; give pictures, a folder, a glob, a video or camera:0")
    return list(found.values())


def skipped_files(inputs: Sequence[str | Path]) -> list[Path]:
    """Return what is left out of the folders of ``inputs``, so that it can be named.

    Those are files that are no pictures (videos, too, which are given by their own name), and what
    has the name of a picture but is no file: a link to nothing, a pipe, a folder.
    """
    folders = [Path(item).expanduser() for item in inputs]
    found = [path for folder in folders if folder.is_dir() for path in shown_entries(folder)]
    return [path for path in found if path.is_file() != (path.suffix.lower() in PICTURE_FILES)]


def read_frames(source: Source, every: int = 1) -> Generator[NDArray[np.uint8], None, None]:
    """Yield the pictures of a source as uint8 RGB (H, W, 3), one after the other.

    Args:
        source: one of :func:`find_sources`.
        every: take each so many-th frame; those between are not decoded.

    Raises:
        BrokenOffError: after the last good frame of a video whose header promises more.
        DataError: it cannot be read.
        DependencyError: not a picture, and OpenCV is not installed.
    """
    if source.kind == "picture" and source.path is not None:
        yield read_image(source.path)
        return
    capture = _open_capture(source)
    try:
        promised = _promised(capture) if source.kind == "video" else 0
        count = yield from _decoded(capture, every)
    finally:
        capture.release()
    _check_whole(source, count, promised)


def _decoded(capture: VideoCapture, every: int) -> Generator[NDArray[np.uint8], None, int]:
    """Yield frames until there are no more; return how many there were."""
    cv2 = load_opencv()
    count = 0
    while capture.grab():
        if count % every == 0:
            good, frame_bgr = capture.retrieve()
            if not good:
                break
            yield cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2RGB)
        count += 1
    return count


def _check_whole(source: Source, count: int, promised: int) -> None:
    if not count:
        raise DataError(
            f"{source.name}: delivers no picture; check the video, or that no other program uses "
            "the camera"
        )
    if count < promised - max(_MISSING_FRAMES, _MISSING_SHARE * promised):
        raise BrokenOffError(
            f"{source.name}: breaks off after {count} of {promised} frames; copy or convert it "
            "again",
            count,
        )


def frame_count(source: Source) -> int:
    """Return how many pictures a source gives; 0 where that is not known.

    Raises:
        DataError, DependencyError: as :func:`read_frames`.
    """
    if source.kind == "picture":
        return 1
    if source.is_live:
        return 0
    capture = _open_capture(source)
    try:
        return _promised(capture)
    finally:
        capture.release()


def frames_per_second(source: Source) -> float:
    """Return the speed of a video, 25 where it does not say, and of what is live.

    A camera is not opened twice for it, and its frames come as fast as they are looked at.

    Raises:
        DataError, DependencyError: as :func:`read_frames`.
    """
    if source.is_live:
        return _USUAL_FPS
    capture = _open_capture(source)
    try:
        speed = float(capture.get(load_opencv().CAP_PROP_FPS))
    finally:
        capture.release()
    return speed if 0 < speed < 1000 else _USUAL_FPS


def load_opencv() -> ModuleType:
    """Return the module ``cv2``.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise DependencyError(
            'videos, cameras and streams need OpenCV: pip install "quantdet[video]"'
        ) from None
    return cv2


def _expand(item: str | Path) -> list[Source]:
    text = str(item)
    path = Path(item).expanduser()
    if _STREAM.fullmatch(text):
        return [Source("stream", _SECRET.sub("//", text), url=text)]
    if device := _DEVICE.fullmatch(text):
        return [Source("camera", text, camera=int(device[1]))]
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return [_file(path)]
    index = text.removeprefix(_CAMERA)
    if index.isascii() and index.isdigit():
        return [Source("camera", f"{_CAMERA}{int(index)}", camera=int(index))]
    if text.startswith(_CAMERA):
        raise DataError(f"{text}: not a camera; write camera:0 for the first one")
    if glob.has_magic(text):
        return _glob(text, str(path))
    raise DataError(f"{text}: no such file or folder; check the path")


def _file(path: Path) -> Source:
    kind: Literal["picture", "video"] = (
        "video" if path.suffix.lower() in VIDEO_SUFFIXES else "picture"
    )
    return Source(kind, str(path), path=path)


def _folder(folder: Path) -> list[Source]:
    pictures = [path for path in shown_files(folder) if path.suffix.lower() in PICTURE_FILES]
    if not pictures:
        raise DataError(
            f"{folder}: holds no picture ({', '.join(sorted(PICTURE_FILES))}); give a video by its "
            "own name; for pictures in "
            f'subfolders give a glob, e.g. "{folder}/**/*.jpg"'
        )
    return [_file(path) for path in pictures]


def _glob(text: str, pattern: str) -> list[Source]:
    # Path.glob takes no absolute pattern.
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    known = PICTURE_FILES | VIDEO_SUFFIXES
    files = [path for path in paths if path.is_file() and path.suffix.lower() in known]
    if not files:
        raise DataError(f"{text}: no picture or video matches; check the glob and its quotes")
    return [_file(path) for path in files]


def _open_capture(source: Source) -> VideoCapture:
    cv2 = load_opencv()
    where = source.url if source.url is not None else source.camera
    capture: VideoCapture = cv2.VideoCapture(where if source.path is None else str(source.path))
    if not capture.isOpened():
        capture.release()
        raise DataError(f"{source.name}: cannot be opened; {_REMEDIES[source.kind]}")
    return capture


def _promised(capture: VideoCapture) -> int:
    """Return the frames of a video by its header; 0 where it does not say."""
    count = float(capture.get(load_opencv().CAP_PROP_FRAME_COUNT))
    return int(count) if 0 < count < _MOST_FRAMES else 0
