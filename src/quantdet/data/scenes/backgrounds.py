"""Places without objects: landscapes, tables, walls, carpets, water."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from quantdet.data.scenes.noise import (
    Array,
    Color,
    blend,
    enlarge,
    fractal_noise,
    hsv,
    shade,
    smooth_noise,
)

Background = Callable[[np.random.Generator, tuple[int, int]], Array]


def landscape(rng: np.random.Generator, size_hw: tuple[int, int]) -> Array:
    """Return a sky over hills over ground, float32 (H, W, 3) in about [0, 1]."""
    height, width = size_hw
    horizon = round(height * rng.uniform(0.3, 0.62))
    picture = _sky(rng, size_hw)
    rows = np.arange(height, dtype=np.float32)[:, None]
    ground = _GROUNDS[rng.integers(len(_GROUNDS))]
    haze = picture[horizon].mean(axis=0)
    for distance in np.linspace(1.0, 0.35, rng.integers(0, 4)):
        ridge = fractal_noise(rng, (2, width), (2, width / rng.uniform(2, 5)), 5)[0]
        top = horizon - height * (0.05 + 0.13 * distance) * (0.6 + ridge)
        hill = hsv(rng.uniform(0.2, 0.45), rng.uniform(0.15, 0.5), rng.uniform(0.25, 0.55))
        tone = blend(
            np.array([[hill]], np.float32), haze.astype(np.float32), 0.75 * float(distance)
        )
        texture = 1 + 0.18 * fractal_noise(rng, size_hw, (height / 12, width / 12), 3)
        cover = np.clip(rows - top[None, :], 0, 1).astype(np.float32)
        picture = blend(picture, tone * texture[..., None], cover)
    below = np.clip(rows - horizon + 0.5, 0, 1).astype(np.float32) * np.ones((1, width), np.float32)
    return blend(picture, ground(rng, size_hw, horizon), below)


def wood(rng: np.random.Generator, size_hw: tuple[int, int]) -> Array:
    """Return planks with grain, seen from above."""
    height, width = size_hw
    base = hsv(rng.uniform(0.04, 0.11), rng.uniform(0.3, 0.65), rng.uniform(0.35, 0.8))
    planks = int(rng.integers(2, 7))
    edges = np.linspace(0, height, planks + 1).round().astype(int)
    tone = np.zeros(size_hw, np.float32)
    for top, bottom in pairwise(edges):
        size = (max(2, bottom - top), width)
        bend = fractal_noise(rng, size, (size[0] / 1.5, width / 2.5), 3)
        rings = np.sin(bend * rng.uniform(14, 30) + rng.uniform(0, 6))
        fibre = smooth_noise(rng, size, (1.2, width / 6))
        plank = 0.07 * rings + 0.08 * fibre + rng.uniform(-0.09, 0.09)
        plank[0] -= 0.35
        plank[-1] -= 0.12
        tone[top:bottom] = plank[: bottom - top]
    if rng.random() < 0.4:
        tone = np.ascontiguousarray(enlarge(np.ascontiguousarray(tone.T), size_hw))
    return _tinted(base, 1 + tone)


def brick_wall(rng: np.random.Generator, size_hw: tuple[int, int]) -> Array:
    """Return a wall of bricks over a floor."""
    height, width = size_hw
    brick_h, brick_w = height / rng.uniform(9, 18), width / rng.uniform(5, 10)
    rows = np.arange(height, dtype=np.float32)[:, None] / brick_h
    columns = np.arange(width, dtype=np.float32)[None, :] / brick_w + 0.5 * (np.floor(rows) % 2)
    joint = 0.08
    mortar = ((rows % 1) < joint * 1.6) | ((columns % 1) < joint)
    tones = rng.normal(0, 0.09, (64, 64)).astype(np.float32)
    tone = tones[np.floor(rows).astype(int) % 64, np.floor(columns).astype(int) % 64]
    tone = tone + 0.1 * fractal_noise(rng, size_hw, (8, 8), 3)
    base = hsv(rng.uniform(0.0, 0.12), rng.uniform(0.1, 0.6), rng.uniform(0.4, 0.8))
    wall = _tinted(base, 1 + tone)
    wall = blend(wall, shade((0.75, 0.73, 0.7), rng.uniform(0.6, 1.1)), mortar * np.float32(0.8))
    return _with_floor(rng, wall)


def plaster_wall(rng: np.random.Generator, size_hw: tuple[int, int]) -> Array:
    """Return a painted wall with the fall of light over a floor."""
    base = hsv(rng.random(), rng.uniform(0.05, 0.45), rng.uniform(0.5, 0.9))
    grain = 0.03 * fractal_noise(rng, size_hw, (3, 3), 2)
    stain = 0.08 * fractal_noise(rng, size_hw, (size_hw[0] / 2, size_hw[1] / 2), 4)
    tone = 1 + grain + stain
    if rng.random() < 0.35:
        stripes = np.arange(size_hw[1], dtype=np.float32) * rng.uniform(0.12, 0.5)
        tone = tone + 0.07 * np.sign(np.sin(stripes))[None, :].astype(np.float32)
    return _with_floor(rng, _tinted(base, tone))


def carpet(rng: np.random.Generator, size_hw: tuple[int, int]) -> Array:
    """Return woven cloth with a pattern."""
    height, width = size_hw
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]
    thread = rng.uniform(1.4, 2.4)
    weave = 0.08 * np.sin(rows * thread) * np.sin(columns * thread)
    tone = 1 + weave + 0.12 * fractal_noise(rng, size_hw, (24, 24), 5)
    base = hsv(rng.random(), rng.uniform(0.1, 0.65), rng.uniform(0.3, 0.8))
    cloth = _tinted(base, tone.astype(np.float32))
    other = hsv(rng.random(), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.9))
    pitch = rng.uniform(0.06, 0.25)
    kind = rng.integers(3)
    if kind == 0:
        pattern = (np.sin(rows * pitch) > 0.3) ^ (np.sin(columns * pitch) > 0.3)
    elif kind == 1:
        pattern = np.sin((rows + columns * rng.uniform(-1, 1)) * pitch) > 0.4
    else:
        pattern = np.sin(rows * pitch) * np.sin(columns * pitch) > 0.5
    return blend(cloth, other, pattern * np.float32(rng.uniform(0.2, 0.6)))


def underwater(rng: np.random.Generator, size_hw: tuple[int, int]) -> Array:
    """Return water seen from within, with light from above and sand below."""
    height, width = size_hw
    depth = np.linspace(1.15, 0.45, height, dtype=np.float32)[:, None] * np.ones(
        (1, width), np.float32
    )
    base = hsv(rng.uniform(0.45, 0.62), rng.uniform(0.4, 0.85), rng.uniform(0.5, 0.8))
    rays = smooth_noise(rng, (2, width), (2, width / 14))[0][None, :] * depth
    net = 1 - np.abs(fractal_noise(rng, size_hw, (height / 9, width / 6), 2)) * 3
    picture = _tinted(base, depth * (1 + 0.12 * rays + 0.1 * np.clip(net, 0, 1)))
    if rng.random() < 0.6:
        top = round(height * rng.uniform(0.7, 0.9))
        edge = top + 6 * fractal_noise(rng, (2, width), (2, width / 5), 3)[0]
        cover = np.clip((np.arange(height)[:, None] - edge[None, :]) / 4, 0, 1).astype(np.float32)
        picture = blend(picture, _sand(rng, size_hw, top) * 0.75, cover * 0.8)
    return picture


def _sky(rng: np.random.Generator, size_hw: tuple[int, int]) -> Array:
    height, width = size_hw
    top, bottom = _SKIES[rng.integers(len(_SKIES))]
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None] ** 0.8
    picture = blend(
        np.full((height, width, 3), top, np.float32), bottom, ramp * np.ones((1, width), np.float32)
    )
    cloud = fractal_noise(rng, size_hw, (height / 4, width / 2.5), 5)
    cover = np.clip(cloud * 2.2 + rng.uniform(-0.9, 0.5), 0, 1)
    light = 0.75 + 0.25 * np.clip(cloud * 2, -1, 1)
    white = blend(np.ones((height, width, 3), np.float32), bottom, 0.35) * light[..., None]
    return blend(picture, white, cover * rng.uniform(0.4, 0.95))


def _depth_rows(height: int, horizon: int) -> Array:
    """Return 1 at the lower edge to 0 at the horizon, shape (H, 1)."""
    rows = (np.arange(height, dtype=np.float32) - horizon) / max(1, height - horizon)
    return np.clip(rows, 0, 1)[:, None].astype(np.float32)


def _perspective_noise(
    rng: np.random.Generator, size_hw: tuple[int, int], horizon: int, cell: tuple[float, float]
) -> Array:
    """Return noise that gets finer towards the horizon."""
    near = fractal_noise(rng, size_hw, cell, 3)
    far = fractal_noise(rng, size_hw, (cell[0] / 4, cell[1] / 3), 2)
    share = _depth_rows(size_hw[0], horizon)
    return near * share + far * (1 - share) * np.float32(0.7)


def _grass(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Array:
    base = hsv(rng.uniform(0.15, 0.34), rng.uniform(0.35, 0.75), rng.uniform(0.3, 0.62))
    blades = _perspective_noise(rng, size_hw, horizon, (9, 2.2))
    patches = fractal_noise(rng, size_hw, (size_hw[0] / 8, size_hw[1] / 3), 4)
    tone = 0.82 + 0.3 * blades + 0.22 * patches + 0.15 * _depth_rows(size_hw[0], horizon)
    picture = _tinted(base, tone)
    return blend(picture, hsv(0.13, 0.5, 0.6), np.clip(patches - 0.1, 0, 1) * 0.7)


def _sand(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Array:
    base = hsv(rng.uniform(0.07, 0.13), rng.uniform(0.15, 0.45), rng.uniform(0.6, 0.88))
    ripple = _perspective_noise(rng, size_hw, horizon, (7, 60))
    grain = smooth_noise(rng, size_hw, (1, 1))
    return _tinted(base, 0.95 + 0.12 * ripple + 0.06 * grain)


def _snow(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Array:
    drifts = _perspective_noise(rng, size_hw, horizon, (26, 120))
    return _tinted(hsv(0.6, rng.uniform(0.02, 0.1), 0.9), 0.96 + 0.13 * drifts)


def _sea(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Array:
    base = hsv(rng.uniform(0.47, 0.63), rng.uniform(0.25, 0.7), rng.uniform(0.3, 0.65))
    waves = _perspective_noise(rng, size_hw, horizon, (7, 46))
    picture = _tinted(base, 0.9 + 0.28 * waves + 0.2 * (1 - _depth_rows(size_hw[0], horizon)))
    return blend(picture, (0.95, 0.97, 1.0), np.clip(waves * 2.2 - 0.9, 0, 1))


def _asphalt(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Array:
    grain = smooth_noise(rng, size_hw, (1, 1)) + _perspective_noise(rng, size_hw, horizon, (18, 80))
    grey = rng.uniform(0.28, 0.55)
    picture = _tinted(hsv(rng.uniform(0.0, 0.7), 0.05, grey), 1 + 0.09 * grain)
    depth = _depth_rows(size_hw[0], horizon)
    middle = size_hw[1] * rng.uniform(0.2, 0.8)
    columns = np.arange(size_hw[1], dtype=np.float32)[None, :]
    line = np.abs(columns - middle) < 1 + depth * 5
    dashes = np.sin(12 / (depth + 0.12)) > 0
    return blend(picture, (0.9, 0.88, 0.8), (line & dashes) * np.float32(0.75))


def _with_floor(rng: np.random.Generator, wall: Array) -> Array:
    height, width = wall.shape[:2]
    top = round(height * rng.uniform(0.6, 0.95))
    size = (max(2, height - top), width)
    floor = (wood if rng.random() < 0.6 else carpet)(rng, size) * np.float32(rng.uniform(0.6, 1.0))
    # The wall throws a little darkness on the floor where they meet.
    fall = 0.65 + 0.35 * np.clip(np.arange(size[0], dtype=np.float32) / 14, 0, 1)
    result = wall.copy()
    result[top:] = (floor * fall[:, None, None])[: height - top]
    if rng.random() < 0.6:
        board = max(2, height // 34)
        result[max(0, top - board) : top] = shade((0.93, 0.92, 0.88), rng.uniform(0.6, 1.0))
    return result


def _tinted(color: Color, tone: Array) -> Array:
    picture: Array = np.asarray(color, np.float32) * tone[..., None].astype(np.float32)
    return picture


_SKIES: tuple[tuple[Color, Color], ...] = (
    ((0.22, 0.45, 0.80), (0.75, 0.87, 0.96)),
    ((0.36, 0.60, 0.88), (0.90, 0.93, 0.92)),
    ((0.55, 0.60, 0.66), (0.80, 0.82, 0.83)),
    ((0.25, 0.28, 0.50), (0.97, 0.68, 0.45)),
    ((0.45, 0.35, 0.55), (0.98, 0.82, 0.62)),
    ((0.05, 0.08, 0.22), (0.28, 0.33, 0.48)),
    ((0.62, 0.70, 0.75), (0.93, 0.91, 0.86)),
)
_GROUNDS = (_grass, _grass, _sand, _snow, _sea, _asphalt)

BACKGROUNDS: tuple[Background, ...] = (
    landscape,
    landscape,
    landscape,
    wood,
    brick_wall,
    plaster_wall,
    carpet,
    underwater,
)
"""Landscapes are the most frequent."""
