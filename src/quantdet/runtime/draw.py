"""Draw detections on a picture."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from quantdet.boxes import clip, ordered
from quantdet.detections import Detections
from quantdet.runtime.label_places import LabelPlaces, Rectangle

# The first seven: Okabe & Ito, "Color Universal Design" (2008), without black, told apart by
# colour-blind people. Each further one is the farthest from all before it in OKLab (lightness
# counting 0.8) among colours light enough for dark pictures; then "person" of VOC got a bright one.
PALETTE = (
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
    *("#9600FF", "#FFD2FF", "#FF0FF0", "#786900", "#00D200", "#B40069", "#1E3CFF"),
    *("#00FFD2", "#8778F0", "#FF2D69", "#785A78", "#96C396", "#FF87FF", "#96FF00", "#B43CC3"),
)
_INK = (0, 0, 0)
_PAPER = (255, 255, 255)
_SMALLEST_FONT = 7
# Objects that get the largest letters; so many more get the smallest.
_FEW = 3
_CROWD = 20
# Widest alphabets first: Linux, macOS, Windows.
_SYSTEM_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "arial.ttf",
)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def class_color(class_id: int) -> tuple[int, int, int]:
    """Return the RGB colour of a class, always the same; colours repeat after 22 classes."""
    red, green, blue = ImageColor.getrgb(PALETTE[class_id % len(PALETTE)])[:3]
    return red, green, blue


def draw_detections(
    image_rgb: NDArray[np.uint8], detections: Detections, *, scores: bool = True
) -> NDArray[np.uint8]:
    """Return a copy of the picture with boxes, class names and percentages.

    Lines and letters grow with the picture; both are finer if there is much to draw. Every
    label is inside the picture. Better detections are drawn over worse ones and choose the
    place of their label first; in a crowd a label gets smaller, and is left out where it would
    hide others.

    Args:
        image_rgb: uint8 (H, W, 3).
        detections: in pixels of this picture.
        scores: False leaves the percentages out.

    Returns:
        uint8 (H, W, 3), a new array.
    """
    picture = Image.fromarray(image_rgb)
    canvas = ImageDraw.Draw(picture)
    height, width = image_rgb.shape[:2]
    corners = clip(ordered(detections.boxes_xyxy), (height, width)).round().astype(int)
    boxes: list[Rectangle] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in corners.tolist()]
    colors = [class_color(i) for i in detections.class_ids.tolist()]
    best_first = np.argsort(-detections.scores, kind="stable").tolist()
    diagonal = float(np.hypot(height, width))
    for i in reversed(best_first):
        _frame(canvas, boxes[i], colors[i], _line(boxes[i], diagonal))
    places = LabelPlaces((height, width), boxes)
    font_size = round(diagonal / (36 + min(max(len(boxes) - _FEW, 0), _CROWD)))
    names = detections.names()
    for i in best_first:
        text = f"{names[i]} {detections.scores[i]:.0%}" if scores else names[i]
        for size in (font_size, round(0.75 * font_size)):
            if _label(canvas, (text, size), colors[i], (places, i)):
                break
    return np.array(picture, dtype=np.uint8)


def _line(box: Rectangle, diagonal: float) -> int:
    """Return how thick the lines of a box are; those of small objects are thin."""
    side = min(box[2] - box[0], box[3] - box[1])
    return max(1, min(round(diagonal / 220), side // 12))


def _frame(
    canvas: ImageDraw.ImageDraw, box: Rectangle, color: tuple[int, int, int], line: int
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
    text_and_size: tuple[str, int],
    color: tuple[int, int, int],
    place: tuple[LabelPlaces, int],
) -> bool:
    """Write a label on a field of its class colour, if there is a place for it."""
    pad = max(1, text_and_size[1] // 5)
    text, font = _fit(*text_and_size, canvas.im.size[0] - 2 * pad)
    if not text:
        return False
    left, top, right, bottom = (int(v) for v in font.getbbox(text))
    places, index = place
    field = places.take(index, (right - left + 2 * pad, bottom - top + 2 * pad))
    if field is None:
        return False
    canvas.rectangle((field[0], field[1], field[2] - 1, field[3] - 1), fill=color)
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    ink = _INK if luminance > 110 else _PAPER
    canvas.text((field[0] + pad - left, field[1] + pad - top), text, fill=ink, font=font)
    return True


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
    return _own_font(size), text


@lru_cache(maxsize=8)
def _own_font(size: int) -> _Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=8)
def _system_font(size: int) -> ImageFont.FreeTypeFont | None:
    for name in _SYSTEM_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except (OSError, ImportError):  # not there, or a Pillow without FreeType
            continue
    return None
