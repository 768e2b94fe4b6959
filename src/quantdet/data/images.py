"""Picture files. Decoding and resizing are the runtime's own, so that there is one kernel."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from PIL import ExifTags

from quantdet.errors import DataError
from quantdet.runtime.preprocess import PICTURE_SUFFIXES, open_picture, read_image, resize

__all__ = ["IMAGE_SUFFIXES", "picture_size", "read_image", "resize"]

IMAGE_SUFFIXES = tuple(chain.from_iterable(PICTURE_SUFFIXES.values()))
"""Of files that count as pictures; where one name has several, the earlier one is taken."""

_QUARTER_TURNS = (5, 6, 7, 8)


def picture_size(path: Path) -> tuple[int, int]:
    """Return (height, width) as seen upright (EXIF applied), from the header alone.

    Raises:
        DataError: missing, or not a picture.
    """
    try:
        with open_picture(path) as image:
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS
    except FileNotFoundError:
        raise DataError(f"{path}: picture not found; restore it or take it off the list") from None
    except Exception as error:  # Pillow raises about every kind on damaged bytes
        raise DataError(
            f"{path}: not a readable picture ({error}); replace it or take it off the list"
        ) from None
    return (width, height) if turned else (height, width)
