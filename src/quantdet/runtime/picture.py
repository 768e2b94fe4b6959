"""A picture as users give it: a file, pixels, or a Pillow image."""

from __future__ import annotations

import io
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantdet.detections import Detections
from quantdet.errors import DataError
from quantdet.runtime.preprocess import read_image, rgb_pixels

Picture = Path | str | NDArray[np.uint8] | Image.Image
"""A picture file, uint8 RGB pixels (H, W, 3), or a Pillow image."""
Pictures = (
    list[Path]
    | list[str]
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
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"picture is {type(image).__name__}; give a path, uint8 RGB of shape (height, width, "
            "3), or a Pillow image"
        )
    if image.dtype != np.uint8 or image.ndim != _PIXELS_NDIM or image.shape[2] != 3:
        raise DataError(
            f"picture is {image.dtype} of shape {image.shape}; "
            "give uint8 RGB of shape (height, width, 3)"
        )
    if image.size == 0:
        raise DataError(f"picture of shape {image.shape} has no pixels")
    return image


def drawer(image: Picture) -> Callable[[Detections], bytes | None]:
    """Return a function that draws detections on ``image`` and gives a PNG.

    It gives None once the picture is gone: it knows a file by its path, and everything else only
    as long as somebody else keeps it, so that the detections of a video do not hold its frames.
    """
    if isinstance(image, Path | str):
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
