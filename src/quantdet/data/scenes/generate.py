"""Compose scenes and write them as a VOC data set."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantdet.data.formats.voc_xml import write_annotation
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.data.scenes.backgrounds import BACKGROUNDS
from quantdet.data.scenes.noise import Array, blend, blur, fractal_noise, smooth_noise
from quantdet.data.scenes.objects import SCENE_CLASSES, SCENE_OBJECTS
from quantdet.data.scenes.pen import Pen
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import atomic_folder, write_json, write_text

_VERSION = 1
_SUPERSAMPLING = 4
_OBJECT_COUNT_SHARES = (0.5, 0.27, 0.14, 0.09)
_SPLIT_ENDS = (("train", 0.70), ("val", 0.85), ("test", 1.0))
_FIRST_SIDE = (0.38, 1.05)  # of the picture's shorter side
_NEXT_SIDE = (0.25, 0.65)
_TRIES = 8
_MIN_CONTRAST = 0.14  # mean distance of a colour channel to what is behind
_MIN_INSIDE = 0.5  # share of an object that lies in the picture
_MIN_VISIBLE = 0.35  # share that nothing in front hides
_DIFFICULT_BELOW = 0.5  # visible share under which an object counts as hard to recognise
_DIFFICULT_SIDE = 0.11  # ... or its shorter side, as a share of the picture's shorter side
_WHOLE = 0.04  # an object may exceed its visible box by this share of its side


@dataclass
class _Placed:
    """An object in the picture; masks are (H, W)."""

    label: str
    full_xyxy: tuple[int, int, int, int]  # also what lies beyond the edge
    pixels: int  # of the whole object
    visible: NDArray[np.bool_]


def generate_scenes(
    root: Path | str,
    *,
    count: int = 600,
    seed: int = 0,
    size_hw: tuple[int, int] = (240, 320),
    progress: Tick = no_tick,
) -> Path:
    """Make ``root/VOCdevkit/VOCscenes``, a data set in true VOC layout.

    Picture i depends on ``seed``, i and ``size_hw`` only. The first 70 % are train, the next
    15 % val, the rest test. Objects are listed largest first.

    Args:
        root: folder that gets the VOCdevkit.
        count: number of pictures, at least 3.
        seed: other seeds give other pictures.
        size_hw: (height, width) in pixels, at least 64.
        progress: called with (pictures written, all pictures).

    Returns:
        The VOC folder. If it is there already with the same settings it is left as it is.

    Raises:
        DataError: the folder is there with something else in it, or a setting is too small.
    """
    root = Path(root)
    if count < 3 or min(size_hw) < 64:
        raise DataError(
            f"scenes: count {count} and size {size_hw} are too small; make at least 3 pictures "
            "of 64x64"
        )
    folder = root / "VOCdevkit" / "VOCscenes"
    settings = {"version": _VERSION, "count": count, "seed": seed, "size_hw": list(size_hw)}
    if folder.exists():
        if _settings_of(folder) != settings:
            raise DataError(
                f"{folder}: exists with other content and is not overwritten; remove it or "
                "choose another folder"
            )
        return folder
    with atomic_folder(folder) as whole:
        _write_all(whole, count, seed, size_hw, progress)
        write_json(whole / "scenes.json", settings)
    return folder


def render_scene(
    seed: int, index: int, size_hw: tuple[int, int]
) -> tuple[NDArray[np.uint8], tuple[ObjectAnnotation, ...]]:
    """Return picture number ``index`` of a seed, uint8 (H, W, 3) RGB, and its objects.

    A box is the tight box of what can be seen. ``truncated``: the whole object exceeds its box,
    cut by the edge or hidden. ``difficult``: less than half can be seen, or it is tiny.
    """
    rng = np.random.default_rng((seed, index))
    picture = BACKGROUNDS[rng.integers(len(BACKGROUNDS))](rng, size_hw).astype(np.float32)
    light = rng.uniform(-1, 1)  # from the left to the right
    placed: list[_Placed] = []
    wanted = 1 + int(rng.choice(4, p=_OBJECT_COUNT_SHARES))
    for _ in range(wanted):
        picture = _add_object(rng, picture, light, placed)
    while not placed:
        picture = _add_object(rng, picture, light, placed)
    if rng.random() < 0.25:
        picture = _add_foreground(rng, picture, placed)
    objects = [_annotate(item, size_hw) for item in placed]
    objects.sort(key=_box_area, reverse=True)
    return _photograph(rng, picture), tuple(objects)


def _write_all(
    folder: Path, count: int, seed: int, size_hw: tuple[int, int], progress: Tick
) -> None:
    ids = [f"{index + 1:06d}" for index in range(count)]
    (folder / "JPEGImages").mkdir(parents=True)
    (folder / "Annotations").mkdir()
    for index, image_id in enumerate(ids):
        picture, objects = render_scene(seed, index, size_hw)
        path = folder / "JPEGImages" / f"{image_id}.jpg"
        quality = 88 + index % 6
        # Not by Pillow itself: on a full disk it cuts files off without a word.
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=quality)
        path.write_bytes(stream.getvalue())
        sample = Sample(image_id, path, size_hw, objects)
        write_annotation(folder / "Annotations" / f"{image_id}.xml", sample, folder="VOCscenes")
        progress(index + 1, count)
    start = 0
    for split, end in _SPLIT_ENDS:
        # At least one picture in each, also of three.
        stop = min(
            max(round(end * count), start + 1), count - (split == "train") - (split != "test")
        )
        _write_list(folder, split, ids[start:stop])
        start = stop
        if split == "val":
            _write_list(folder, "trainval", ids[:stop])


def _write_list(folder: Path, split: str, ids: list[str]) -> None:
    write_text(folder / "ImageSets" / "Main" / f"{split}.txt", "\n".join(ids) + "\n")


def _settings_of(folder: Path) -> object:
    try:
        return json.loads((folder / "scenes.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _add_object(
    rng: np.random.Generator, picture: Array, light: float, placed: list[_Placed]
) -> Array:
    height, width = picture.shape[:2]
    label = SCENE_CLASSES[rng.integers(len(SCENE_CLASSES))]
    low, high = _FIRST_SIDE if not placed else _NEXT_SIDE
    side = round(min(height, width) * float(np.exp(rng.uniform(np.log(low), np.log(high)))))
    color, alpha = _render(rng, label, side, light)
    solid = alpha > 0.5
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    for _ in range(_TRIES):
        # A quarter of the square may be outside; objects do not fill theirs.
        top = int(rng.integers(-side // 4, height - 3 * side // 4 + 1))
        left = int(rng.integers(-side // 4, width - 3 * side // 4 + 1))
        mask = _paste(np.zeros((height, width), np.float32), alpha, top, left)
        seen = mask > 0.5
        if seen.sum() < _MIN_INSIDE * solid.sum() or _hides_too_much(seen, placed):
            continue
        canvas = _paste(np.zeros_like(picture), color * alpha[..., None], top, left)
        if np.abs(canvas - picture)[seen].mean() < _MIN_CONTRAST:
            continue
        for other in placed:
            other.visible &= ~seen
        box = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
        full = (int(box[0]), int(box[1]), int(box[2]), int(box[3]))
        placed.append(_Placed(label, full, int(solid.sum()), seen))
        shadow = _shadow(rng, mask, side, light)
        shaded = picture * (1 - shadow[..., None])
        return (shaded * (1 - mask[..., None]) + canvas).astype(np.float32)
    return picture


def _hides_too_much(mask: NDArray[np.bool_], placed: list[_Placed]) -> bool:
    return any((p.visible & ~mask).sum() < _MIN_VISIBLE * p.pixels for p in placed)


def _render(rng: np.random.Generator, label: str, side: int, light: float) -> tuple[Array, Array]:
    """Return the colours (S, S, 3) and the coverage (S, S) in [0, 1] of a new object."""
    draw, tilt = SCENE_OBJECTS[label]
    pen = Pen(side * _SUPERSAMPLING)
    draw(pen, rng)
    image = pen.image.reduce(_SUPERSAMPLING // 2)  # turning the large picture would be slow
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    stretch = rng.uniform(0.8, 1.0)
    angle = float(np.clip(rng.normal(0, tilt / 2), -tilt, tilt))
    image = image.rotate(angle, Image.Resampling.BILINEAR)
    image = image.resize((side, max(8, round(side * stretch))), Image.Resampling.BOX)
    pixels = np.asarray(image, np.float32) / np.float32(255)
    alpha, color = np.ascontiguousarray(pixels[..., 3]), pixels[..., :3]
    columns = np.linspace(-1, 1, alpha.shape[1], dtype=np.float32)[None, :]
    # Thin parts and rims get less light: a cheap stand-in for a round surface.
    thick = blur(alpha, side / 14)
    relief = 0.72 + 0.34 * thick + 0.16 * light * columns
    texture = 0.07 * fractal_noise(rng, (alpha.shape[0], alpha.shape[1]), (side / 8, side / 8), 4)
    lit = color * (relief + texture)[..., None]
    return lit.astype(np.float32), alpha


def _paste(canvas: Array, tile: Array, top: int, left: int) -> Array:
    """Write ``tile`` into the fresh ``canvas`` at a place that may be partly outside."""
    height, width = canvas.shape[:2]
    y1, x1 = max(0, top), max(0, left)
    y2, x2 = min(height, top + tile.shape[0]), min(width, left + tile.shape[1])
    if y2 > y1 and x2 > x1:
        canvas[y1:y2, x1:x2] = tile[y1 - top : y2 - top, x1 - left : x2 - left]
    return canvas


def _shadow(rng: np.random.Generator, mask: Array, side: int, light: float) -> Array:
    """Return how much light the object takes from its surroundings, (H, W) in [0, 1]."""
    down, right = round(side * rng.uniform(0.02, 0.07)), round(-light * side * 0.1)
    moved = np.zeros_like(mask)
    _paste(moved, mask, down, right)
    softness = max(2.0, side * rng.uniform(0.02, 0.06))
    return np.clip(blur(moved, softness), 0, 1) * np.float32(rng.uniform(0.15, 0.5))


def _add_foreground(rng: np.random.Generator, picture: Array, placed: list[_Placed]) -> Array:
    """Let blades of grass or posts of a fence cover a part of the objects."""
    height, width = picture.shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None]
    if rng.random() < 0.6:
        blades = height * (0.82 + 0.12 * smooth_noise(rng, (2, width), (2, 2.5))[0])
        cover = np.clip(rows - blades[None, :], 0, 1).astype(np.float32)
        color = np.array([rng.uniform(0.15, 0.4), rng.uniform(0.3, 0.5), 0.15], np.float32)
    else:
        columns = np.arange(width, dtype=np.float32)[None, :]
        pitch, thick = width / rng.uniform(2, 5), width / rng.uniform(40, 70)
        posts = np.abs((columns + rng.uniform(0, pitch)) % pitch - pitch / 2) < thick / 2
        bars = np.abs(rows - height * rng.uniform(0.75, 0.9)) < thick / 2
        cover = ((posts & (rows > height * 0.6)) | bars).astype(np.float32)
        color = np.full(3, rng.uniform(0.2, 0.7), np.float32) * np.array([1, 0.9, 0.8], np.float32)
    if _hides_too_much(cover > 0.5, placed):
        return picture
    for item in placed:
        item.visible &= cover <= 0.5
    tone = 1 + 0.25 * fractal_noise(rng, (height, width), (6, 2), 2)
    return blend(picture, (color * tone[..., None]).astype(np.float32), cover)


def _photograph(rng: np.random.Generator, picture: Array) -> NDArray[np.uint8]:
    """Return what a small camera makes of the scene: light, vignette, blur, sensor noise."""
    height, width = picture.shape[:2]
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    fall = 1 - rng.uniform(0.0, 0.3) * (rows**2 + columns**2) / 2
    side_light = 1 + rng.uniform(-0.18, 0.18) * columns + rng.uniform(-0.12, 0.12) * rows
    warmth = rng.uniform(-0.08, 0.08)
    tint = np.array([1 + warmth, 1, 1 - warmth], np.float32) * np.float32(rng.uniform(0.85, 1.25))
    exposed = np.clip(picture * (fall * side_light)[..., None] * tint, 0, 1)
    if rng.random() < 0.35:
        small = (round(width / 1.5), round(height / 1.5))
        image = Image.fromarray((exposed * 255).astype(np.uint8))
        image = image.resize(small, Image.Resampling.BILINEAR)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        exposed = np.asarray(image, np.float32) / np.float32(255)
    grain = rng.uniform(0.004, 0.03)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    # Shot noise grows with the root of the light, read-out noise does not.
    noisy = exposed + noise * np.float32(grain) * (0.4 + 0.6 * np.sqrt(exposed))
    result: NDArray[np.uint8] = (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8)
    return result


def _annotate(item: _Placed, size_hw: tuple[int, int]) -> ObjectAnnotation:
    rows = np.flatnonzero(item.visible.any(axis=1))
    columns = np.flatnonzero(item.visible.any(axis=0))
    x1, y1, x2, y2 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    fx1, fy1, fx2, fy2 = item.full_xyxy
    cut_x = max(x1 - fx1, fx2 - x2) > _WHOLE * (fx2 - fx1) + 1
    cut_y = max(y1 - fy1, fy2 - y2) > _WHOLE * (fy2 - fy1) + 1
    hidden = int(item.visible.sum()) < _DIFFICULT_BELOW * item.pixels
    tiny = min(x2 - x1, y2 - y1) < _DIFFICULT_SIDE * min(size_hw)
    return ObjectAnnotation(
        item.label,
        (float(x1), float(y1), float(x2), float(y2)),
        difficult=bool(hidden or tiny),
        truncated=bool(cut_x or cut_y),
    )


def _box_area(item: ObjectAnnotation) -> float:
    x1, y1, x2, y2 = item.box_xyxy
    return (x2 - x1) * (y2 - y1)
