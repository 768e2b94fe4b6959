"""A contact sheet: many pictures with their boxes in one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from quantdet.data.images import read_image
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.errors import DataError, QuantdetError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import atomic_stream

_GAP = 10
_CAPTION = 20
_NAME = 17
_PAPER = (250, 250, 250)
_INK = (60, 60, 60)
_PALETTE = (
    "#e6194b",
    "#1f77d0",
    "#1a9850",
    "#f58231",
    "#8e44ad",
    "#00a3a3",
    "#d81b9a",
    "#6b8e00",
    "#a0522d",
    "#3f51b5",
)


def contact_sheet(  # noqa: PLR0913 - one call with names is the public interface
    samples: Sequence[Sample],
    labels: Sequence[str],
    path: Path | str,
    *,
    columns: int = 4,
    count: int = 16,
    seed: int | None = None,
    tile_px: int = 320,
    progress: Tick = no_tick,
) -> tuple[Sample, ...]:
    """Draw pictures with boxes and class names on one sheet and write it to ``path``.

    A class keeps its colour. Difficult objects have a dashed box, truncated ones the mark "…".

    Args:
        samples: what to choose from.
        labels: class names in the order of class ids.
        path: picture file to write, e.g. a .png.
        columns: pictures in a row.
        count: pictures on the sheet, at most.
        seed: None shows the first samples, a number a random choice.
        tile_px: longer side of one picture on the sheet.
        progress: called with (pictures drawn, all pictures).

    Returns:
        The samples shown.

    Raises:
        DataError: no sample, or a picture is not readable.
        QuantdetError: ``path`` cannot be written.
    """
    path = Path(path)
    if not samples:
        raise DataError("no picture to show: the split holds no sample")
    kind = _picture_format(path)
    shown = _choose(samples, count, seed)
    tiles = []
    for done, sample in enumerate(shown, start=1):
        tiles.append(_tile(sample, labels, tile_px))
        progress(done, len(shown))
    sheet = _lay_out(tiles, [_caption(sample) for sample in shown], columns)
    with atomic_stream(path) as stream:
        sheet.save(stream, kind)
    return shown


def _picture_format(path: Path) -> str:
    """Return the name that Pillow has for the suffix of a file."""
    found = Image.registered_extensions().get(path.suffix.lower())
    if found not in Image.SAVE:
        raise QuantdetError(f"{path}: is no name of a picture; choose e.g. sheet.png or sheet.jpg")
    return found


def _choose(samples: Sequence[Sample], count: int, seed: int | None) -> tuple[Sample, ...]:
    if seed is None:
        return tuple(samples[:count])
    order = np.random.default_rng(seed).permutation(len(samples))[:count]
    return tuple(samples[index] for index in order)


def _caption(sample: Sample) -> str:
    if not sample.annotated:
        return f"{sample.image_id}  (no annotations)"
    number = len(sample.objects)
    return f"{sample.image_id}  {number} object{'' if number == 1 else 's'}"


def _tile(sample: Sample, labels: Sequence[str], tile_px: int) -> Image.Image:
    picture = Image.fromarray(read_image(sample.image_path))
    scale = tile_px / max(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    tile = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(tile)
    # Names last, so that no box crosses them.
    for item in sample.objects:
        _draw_box(draw, item, _color(item, labels), scale)
    for item in sample.objects:
        _draw_name(draw, item, _color(item, labels), (scale, *tile.size))
    return tile


def _color(item: ObjectAnnotation, labels: Sequence[str]) -> str:
    position = list(labels).index(item.label) if item.label in labels else 0
    return _PALETTE[position % len(_PALETTE)]


def _draw_box(draw: ImageDraw.ImageDraw, item: ObjectAnnotation, color: str, scale: float) -> None:
    x1, y1, x2, y2 = (value * scale for value in item.box_xyxy)
    x2, y2 = max(x1, x2 - 1), max(y1, y2 - 1)
    if not item.difficult:
        draw.rectangle((x1, y1, x2, y2), outline="white", width=4)
        draw.rectangle((x1 + 1, y1 + 1, x2 - 1, y2 - 1), outline=color, width=2)
        return
    for start in np.arange(x1, x2, 8.0):
        for y in (y1, y2):
            draw.line((start, y, min(start + 4, x2), y), fill=color, width=2)
    for start in np.arange(y1, y2, 8.0):
        for x in (x1, x2):
            draw.line((x, start, x, min(start + 4, y2)), fill=color, width=2)


def _draw_name(
    draw: ImageDraw.ImageDraw,
    item: ObjectAnnotation,
    color: str,
    tile: tuple[float, int, int],
) -> None:
    scale, tile_width, tile_height = tile
    text = item.label + (" …" if item.truncated else "")
    font = ImageFont.load_default(size=13)
    width = draw.textlength(text, font=font) + 8
    x1, y1, _, y2 = (value * scale for value in item.box_xyxy)
    # Inside a large box; beside a small one, which it would hide; never off the picture.
    if y2 - y1 < 3 * _NAME:
        y1 = y1 - _NAME if y1 >= _NAME else y2
    x = min(max(0.0, x1), max(0.0, tile_width - width))
    y = min(max(0.0, y1), tile_height - _NAME)
    draw.rectangle((x, y, x + width, y + _NAME), fill=color)
    draw.text((x + 4, y + 1), text, fill="white", font=font)


def _lay_out(tiles: Sequence[Image.Image], captions: Sequence[str], columns: int) -> Image.Image:
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    cell = max(tile.width for tile in tiles)
    heights = [max(tile.height for tile in row) + _CAPTION for row in rows]
    width = min(columns, len(tiles)) * (cell + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(heights) + _GAP * (len(rows) + 1)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    y = _GAP
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            x = _GAP + column * (cell + _GAP)
            draw.text((x, y + 1), captions[number * columns + column], fill=_INK, font=font)
            sheet.paste(tile, (x, y + _CAPTION))
        y += heights[number] + _GAP
    return sheet
