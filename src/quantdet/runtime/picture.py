"""A picture as users give it: a file, pixels, or a Pillow image."""

from __future__ import annotations

import io
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantdet.detections import Detections
from quantdet.errors import DataError
from quantdet.runtime.preprocess import decode_image, read_image, rgb_pixels

Picture = Path | str | bytes | BinaryIO | NDArray[np.uint8] | Image.Image
"""A picture file by its path, its content or opened; uint8 RGB pixels (H, W, 3), also as a tensor
of another library in main memory; or a Pillow image."""
Pictures = (
    list[Path]
    | list[str]
    | list[bytes]
    | list[NDArray[np.uint8]]
    | list[Image.Image]
    | list[Picture]
    | tuple[Picture, ...]
)
"""Several of them."""

_PIXELS_NDIM = 3


def pixels_of(image: Picture) -> NDArray[np.uint8]:
    """Return the upright picture, uint8 RGB (H, W, 3).

    Raises:
        DataError: the picture cannot be read, or the array is not RGB pixels.
    """
    if isinstance(image, Path | str):
        return read_image(image)
    if isinstance(image, Image.Image):
        try:
            return rgb_pixels(image)
        except Exception as error:  # Pillow raises about every kind on damaged bytes
            raise DataError(f"Pillow image cannot be decoded ({error}); load it again") from None
    if isinstance(image, bytes):
        return decode_image(io.BytesIO(image), "the picture")
    if isinstance(image, io.IOBase):
        return decode_image(_rewound(image), "the picture")
    return _checked(_array_of(image))


def _rewound(stream: Any) -> BinaryIO:
    """Return an opened file at its start: somebody may have read from it.

    Raises:
        DataError: it is closed.
    """
    if stream.closed:
        raise DataError("the picture: its file is closed; open it again, or give its path")
    if stream.seekable():
        stream.seek(0)
    opened: BinaryIO = stream
    return opened


def _array_of(image: object) -> NDArray[Any]:
    """Return the array of a tensor of another library.

    Raises:
        DataError: it is none, or not in main memory.
    """
    if not hasattr(image, "__array__"):
        raise DataError(
            f"picture is {type(image).__name__}; give a path, the bytes of a file, uint8 RGB of "
            "shape (height, width, 3), or a Pillow image"
        )
    try:
        return np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"picture is a {type(image).__name__} that numpy cannot read ({error}); give its "
            "pixels as a numpy array"
        ) from None


def _checked(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the array.

    Raises:
        DataError: not RGB pixels.
    """
    if image.dtype != np.uint8 or image.ndim != _PIXELS_NDIM or image.shape[2] != 3:
        raise DataError(
            f"picture is {image.dtype} of shape {image.shape}; "
            "give uint8 RGB of shape (height, width, 3)"
        )
    if image.size == 0:
        raise DataError(f"picture of shape {image.shape} has no pixels")
    pixels: NDArray[np.uint8] = image
    return pixels


def drawer(image: Picture) -> Callable[[Detections], bytes | None]:
    """Return a function that draws detections on ``image`` and gives a PNG.

    It gives None once the picture is gone: it knows a file by its path or content, and everything
    else only as long as somebody else keeps it, so that the detections of a video do not hold its
    frames.
    """
    if isinstance(image, Path | str | bytes):
        return partial(_draw, lambda: image)
    return partial(_draw, weakref.ref(image))


def _draw(find: Callable[[], Picture | None], found: Detections) -> bytes | None:
    image = find()
    if image is None:
        return None
    # Fonts and all: only for those who look at it.
    from quantdet.runtime.draw import draw_detections

    try:
        drawn = draw_detections(pixels_of(image), found)
    except DataError:
        return None
    png = io.BytesIO()
    Image.fromarray(drawn).save(png, "png")
    return png.getvalue()
