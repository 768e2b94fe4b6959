"""What ``predict`` reads: pictures, folders, globs, video files and cameras."""

from __future__ import annotations

import glob
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import DataError, DependencyError
from quantdet.runtime.preprocess import PICTURE_SUFFIXES, read_image
from quantdet.system.listing import shown_files

if TYPE_CHECKING:
    from types import ModuleType

    from cv2 import VideoCapture

PICTURE_FILES = frozenset(chain.from_iterable(PICTURE_SUFFIXES.values()))
VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"))
_CAMERA = "camera:"
_USUAL_FPS = 25.0


@dataclass(frozen=True)
class Source:
    """One thing that gives pictures.

    Attributes:
        kind: a picture gives one, video and camera give many.
        name: as shown to the user, the path or "camera:0".
        path: of the file; None for a camera.
        camera: its index; None for a file.
    """

    kind: Literal["picture", "video", "camera"]
    name: str
    path: Path | None = None
    camera: int | None = None


def find_sources(inputs: Sequence[str | Path]) -> list[Source]:
    """Expand what the user gave into single sources, each file once.

    Args:
        inputs: picture or video files, folders (their pictures, not those of folders within,
            sorted), globs such as ``"photos/**/*.jpg"``, ``"camera:0"`` or ``"0"``.

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


def read_frames(source: Source) -> Generator[NDArray[np.uint8], None, None]:
    """Yield the pictures of a source as uint8 RGB (H, W, 3), one after the other.

    Raises:
        DataError: file or camera cannot be read.
        DependencyError: a video or camera, and OpenCV is not installed.
    """
    if source.kind == "picture" and source.path is not None:
        yield read_image(source.path)
        return
    capture = _open_capture(source)
    count = 0
    try:
        while True:
            good, frame_bgr = capture.read()
            if not good:
                break
            count += 1
            yield np.ascontiguousarray(frame_bgr[..., ::-1])
    finally:
        capture.release()
    if not count:
        raise DataError(
            f"{source.name}: delivers no picture; check the video, or that no other program uses "
            "the camera"
        )


def frame_count(source: Source) -> int:
    """Return how many pictures a source gives; 0 where that is not known.

    Raises:
        DataError, DependencyError: as :func:`read_frames`.
    """
    if source.kind == "picture":
        return 1
    if source.kind == "camera":
        return 0
    return max(0, int(_property(source, "CAP_PROP_FRAME_COUNT")))


def frames_per_second(source: Source) -> float:
    """Return the speed of a video or camera, 25 where it does not say.

    Raises:
        DataError, DependencyError: as :func:`read_frames`.
    """
    speed = _property(source, "CAP_PROP_FPS")
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
            'videos and cameras need OpenCV: pip install "quantdet[video]"'
        ) from None
    return cv2


def _expand(item: str | Path) -> list[Source]:
    text = str(item)
    path = Path(item).expanduser()
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
            f"{folder}: holds no picture ({', '.join(sorted(PICTURE_FILES))}); for pictures in "
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
    capture: VideoCapture = cv2.VideoCapture(
        source.camera if source.path is None else str(source.path)
    )
    if not capture.isOpened():
        capture.release()
        remedy = (
            "check the index and that no other program uses it"
            if source.kind == "camera"
            else "not a video that OpenCV can read, or damaged; convert it to mp4"
        )
        raise DataError(f"{source.name}: cannot be opened; {remedy}")
    return capture


def _property(source: Source, name: str) -> float:
    capture = _open_capture(source)
    try:
        return float(capture.get(getattr(load_opencv(), name)))
    finally:
        capture.release()
