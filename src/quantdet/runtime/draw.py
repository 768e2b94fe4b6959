"""Draw detections on a picture."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from quantdet.boxes import clip, ordered
from quantdet.detections import Detections

# Okabe & Ito, "Color Universal Design" (2008), without black: told apart by colour-blind people.
_PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
_INK = (0, 0, 0)
_PAPER = (255, 255, 255)
_SMALLEST_FONT = 7
# Widest alphabets first: Linux, macOS, Windows.
_SYSTEM_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "arial.ttf",
)

_Rectangle = tuple[int, int, int, int]
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def class_color(class_id: int) -> tuple[int, int, int]:
    """Return the RGB colour of a class, always the same; colours repeat after seven classes."""
    red, green, blue = ImageColor.getrgb(_PALETTE[class_id % len(_PALETTE)])[:3]
    return red, green, blue


def draw_detections(image_rgb: NDArray[np.uint8], detections: Detections) -> NDArray[np.uint8]:
    """Return a copy of the picture with boxes, class names and percentages.

    Lines and letters grow with the picture. Every label lies inside the picture; better
    detections are drawn over worse ones, and labels avoid each other where there is room.

    Args:
        image_rgb: uint8 (H, W, 3).
        detections: in pixels of this picture.

    Returns:
        uint8 (H, W, 3), a new array.
    """
    picture = Image.fromarray(image_rgb)
    canvas = ImageDraw.Draw(picture)
    height, width = image_rgb.shape[:2]
    corners = clip(ordered(detections.boxes_xyxy), (height, width)).round().astype(int)
    boxes: list[_Rectangle] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in corners.tolist()]
    colors = [class_color(i) for i in detections.class_ids.tolist()]
    best_first = np.argsort(-detections.scores, kind="stable").tolist()
    diagonal = float(np.hypot(height, width))
    line = max(1, round(diagonal / 220))
    for i in reversed(best_first):
        _frame(canvas, boxes[i], colors[i], line)
    taken: list[_Rectangle] = []
    names = detections.names()
    for i in best_first:
        text = f"{names[i]} {detections.scores[i]:.0%}"
        _label(canvas, text, colors[i], (boxes[i], round(diagonal / 36)), taken)
    return np.array(picture, dtype=np.uint8)


def _frame(
    canvas: ImageDraw.ImageDraw, box: _Rectangle, color: tuple[int, int, int], line: int
) -> None:
    """Draw a box with a thin dark rim, so that it shows on any background."""
    x1, y1, x2, y2 = box
    # Pillow counts the far corner as part of the rectangle.
    x2, y2 = max(x1, x2 - 1), max(y1, y2 - 1)
    rim = max(1, line // 3)
    canvas.rectangle((x1 - rim, y1 - rim, x2 + rim, y2 + rim), outline=_INK, width=line + 2 * rim)
    canvas.rectangle((x1, y1, x2, y2), outline=color, width=line)


def _label(
    canvas: ImageDraw.ImageDraw,
    text: str,
    color: tuple[int, int, int],
    place: tuple[_Rectangle, int],
    taken: list[_Rectangle],
) -> None:
    """Write a label on a field of its class colour; ``taken`` grows by its rectangle."""
    box, font_size = place
    width, height = canvas.im.size
    pad = max(1, font_size // 5)
    text, font = _fit(text, font_size, width - 2 * pad)
    if not text:
        return
    left, top, right, bottom = (int(v) for v in font.getbbox(text))
    size = (right - left + 2 * pad, bottom - top + 2 * pad)
    if size[1] > height:
        return
    field = _free_place(box, size, (width, height), taken)
    taken.append(field)
    canvas.rectangle((field[0], field[1], field[2] - 1, field[3] - 1), fill=color)
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    ink = _INK if luminance > 110 else _PAPER
    canvas.text((field[0] + pad - left, field[1] + pad - top), text, fill=ink, font=font)


def _free_place(
    box: _Rectangle, size: tuple[int, int], picture: tuple[int, int], taken: list[_Rectangle]
) -> _Rectangle:
    """Return the first free field: above the box, inside its top, inside its bottom, below."""
    x1, y1, _, y2 = box
    x = max(0, min(x1, picture[0] - size[0]))
    fields = []
    for wanted in (y1 - size[1], y1, y2 - size[1], y2):
        y = max(0, min(wanted, picture[1] - size[1]))
        field = (x, y, x + size[0], y + size[1])
        if y == wanted and not any(_overlap(field, other) for other in taken):
            return field
        fields.append(field)
    return fields[0]


def _overlap(a: _Rectangle, b: _Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _fit(text: str, size: int, max_width: int) -> tuple[str, _Font]:
    """Return the text and a font in which it is at most ``max_width`` wide.

    First the letters shrink, then the text is cut; "" where not even one letter fits.
    """
    size = max(size, _SMALLEST_FONT)
    font, text = _font(size, text)
    needed = font.getlength(text)
    if needed > max_width:
        size = max(_SMALLEST_FONT, int(size * max_width / needed))
        font, text = _font(size, text)
    while text and font.getlength(text) > max_width:
        text = text[:-1]
    return text, font


def _font(size: int, text: str) -> tuple[_Font, str]:
    """Return a font and the text as far as that font can write it.

    Pillow's own font knows ASCII only. For other letters a font of the system is taken; where
    there is none, accents are dropped and unknown letters become "?".
    """
    if not text.isascii():
        system = _system_font(size)
        if system is not None:
            return system, text
        plain = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in plain if not unicodedata.combining(c))
        text = text.encode("ascii", "replace").decode("ascii")
    return ImageFont.load_default(size), text


@lru_cache(maxsize=8)
def _system_font(size: int) -> ImageFont.FreeTypeFont | None:
    for name in _SYSTEM_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except (OSError, ImportError):  # not there, or a Pillow without FreeType
            continue
    return None
