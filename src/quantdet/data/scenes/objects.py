"""Things to detect, drawn from primitives on a transparent square.

Every class varies in build, proportions and colour, and all take their colours from the same
paint box: the colour does not tell the class.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from quantdet.data.scenes.noise import Color, hsv, paint_color, shade
from quantdet.data.scenes.pen import GLASS, Pen, Point
from quantdet.data.scenes.vehicles import draw_boat, draw_car


def draw_balloon(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a toy balloon on a string, or a hot-air balloon with its basket."""
    color, other = paint_color(rng), paint_color(rng)
    rx, ry = rng.uniform(0.2, 0.3), rng.uniform(0.28, 0.36)
    cx, cy = 0.5, 0.05 + ry
    hot_air = rng.random() < 0.4
    tip = cy + ry * (1.35 if hot_air else 1.12)
    outline = _drop(cx, cy, rx, ry, tip)
    dark = shade(color, 0.55)
    if hot_air:
        low = min(0.97, tip + rng.uniform(0.1, 0.16))
        half = rng.uniform(0.045, 0.075)
        for side in (-1, 1):
            pen.line(
                [(cx + side * rx * 0.35, tip - 0.03), (cx + side * half, low - 0.06)], dark, 0.008
            )
        pen.box(
            (cx - half, low - 0.08, cx + half, low), hsv(0.08, 0.55, rng.uniform(0.3, 0.55)), 0.01
        )
    else:
        end = min(0.97, tip + rng.uniform(0.12, 0.25))
        sway = rng.uniform(-0.05, 0.05)
        string = [
            (cx + sway * math.sin(4 * t) * t, tip + (end - tip) * t) for t in np.linspace(0, 1, 9)
        ]
        pen.line(string, shade(other, 0.7), 0.009)
        pen.polygon([(cx, tip - 0.03), (cx - 0.03, tip + 0.02), (cx + 0.03, tip + 0.02)], dark)
    pen.polygon(outline, color)
    if hot_air or rng.random() < 0.25:
        for share in (0.75, 0.45, 0.15):
            stripe = _drop(cx, cy, rx * share, ry, tip)
            pen.polygon(stripe, other if round(share * 20) % 2 else color)
            other, color = color, other
    if not hot_air:
        pen.ellipse((cx - rx * 0.4, cy - ry * 0.42), (rx * 0.18, ry * 0.2), shade(color, 1.6))


def draw_house(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a house from the front or in three-quarter view."""
    wall, roof, glass = paint_color(rng), paint_color(rng), GLASS[rng.integers(len(GLASS))]
    left, right = rng.uniform(0.06, 0.2), rng.uniform(0.62, 0.8)
    eaves, ground = rng.uniform(0.36, 0.55), rng.uniform(0.86, 0.95)
    top = eaves - rng.uniform(0.12, 0.28)
    deep = rng.uniform(0.0, 0.94 - right) * (rng.random() < 0.7)
    over = rng.uniform(0.02, 0.05)
    lift = deep * 0.25
    if rng.random() < 0.6:
        x = left + (right - left) * rng.uniform(0.15, 0.8)
        pen.box((x, top - 0.06, x + 0.07, eaves), shade(roof, 0.6))
    if deep:
        side = [
            (right, eaves),
            (right + deep, eaves - lift),
            (right + deep, ground - lift),
            (right, ground),
        ]
        pen.polygon(side, shade(wall, 0.68))
    pen.box((left, eaves, right, ground), wall)
    ridge = (left + right) / 2
    if rng.random() < 0.65:
        pen.polygon([(left, eaves), (ridge, top), (right, eaves)], shade(wall, 0.95))
        pen.polygon(
            [
                (ridge, top - over),
                (ridge + deep, top - lift - over),
                (right + deep + over, eaves - lift + over / 2),
                (right + over, eaves + over / 2),
                (ridge, top),
            ],
            shade(roof, 0.8),
        )
        pen.line(
            [
                (left - over, eaves + over / 2),
                (ridge, top - over / 2),
                (right + over, eaves + over / 2),
            ],
            roof,
            0.035,
        )
    else:
        inset = rng.uniform(0.04, 0.16)
        pen.polygon(
            [
                (left - over, eaves),
                (left + inset, top),
                (right + deep - inset, top - lift),
                (right + deep + over, eaves - lift),
                (right + over, eaves),
            ],
            roof,
        )
    _openings(pen, rng, (left, eaves, right, ground), glass)


def _openings(
    pen: Pen, rng: np.random.Generator, wall: tuple[float, float, float, float], glass: Color
) -> None:
    left, eaves, right, ground = wall
    columns = int(rng.integers(2, 4))
    floors = 2 if ground - eaves > 0.42 and rng.random() < 0.7 else 1
    pitch = (right - left) / columns
    storey = (ground - eaves) / floors
    door_at = int(rng.integers(columns))
    frame = shade((0.95, 0.93, 0.9), rng.uniform(0.5, 1.0))
    for floor in range(floors):
        for column in range(columns):
            x, y = left + pitch * (column + 0.5), eaves + storey * (floor + 0.5)
            if floor == floors - 1 and column == door_at:
                half = pitch * 0.24
                pen.box(
                    (x - half, y - storey * 0.22, x + half, ground), shade(paint_color(rng), 0.7)
                )
                continue
            w, h = pitch * 0.27, storey * 0.25
            pen.box((x - w - 0.012, y - h - 0.012, x + w + 0.012, y + h + 0.012), frame)
            pen.box((x - w, y - h, x + w, y + h), glass)
            pen.line([(x, y - h), (x, y + h)], frame, 0.01)


def draw_tree(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a broad-leaved tree, a conifer or a palm."""
    bark = hsv(rng.uniform(0.03, 0.1), rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.5))
    natural = rng.random() < 0.55
    leaf = hsv(rng.uniform(0.17, 0.4), rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.65))
    leaf = leaf if natural else paint_color(rng)
    kind = rng.integers(3)
    if kind == 0:
        _broad_leaved(pen, rng, bark, leaf)
    elif kind == 1:
        _conifer(pen, rng, bark, leaf)
    else:
        _palm(pen, rng, bark, leaf)


def _broad_leaved(pen: Pen, rng: np.random.Generator, bark: Color, leaf: Color) -> None:
    half = rng.uniform(0.025, 0.055)
    crown = rng.uniform(0.32, 0.42)
    pen.polygon(
        [
            (0.5 - half * 1.5, 0.97),
            (0.5 - half * 0.6, crown),
            (0.5 + half * 0.6, crown),
            (0.5 + half * 1.5, 0.97),
        ],
        bark,
    )
    for side in (-1, 1):
        pen.line([(0.5, crown + 0.22), (0.5 + side * 0.16, crown + 0.05)], bark, half)
    spread, tall = rng.uniform(0.22, 0.34), rng.uniform(0.2, 0.28)
    for layer, tone in ((18, 0.72), (14, 0.95), (9, 1.2)):
        for _ in range(layer):
            angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random())
            lift = (tone - 0.72) * 0.12
            x = 0.5 + math.cos(angle) * reach * spread - lift
            y = crown + math.sin(angle) * reach * tall - lift
            r = rng.uniform(0.05, 0.1) * (1.25 - 0.4 * (tone > 1))
            pen.ellipse(
                (x, y), (r, r * rng.uniform(0.8, 1.0)), shade(leaf, tone * rng.uniform(0.88, 1.1))
            )


def _conifer(pen: Pen, rng: np.random.Generator, bark: Color, leaf: Color) -> None:
    pen.box((0.47, 0.8, 0.53, 0.97), bark)
    tiers = int(rng.integers(3, 7))
    width = rng.uniform(0.18, 0.34)
    for tier in range(tiers, 0, -1):
        low = 0.12 + 0.76 * tier / tiers
        high = max(0.03, low - 0.76 / tiers * 1.9)
        half = width * (0.25 + 0.75 * tier / tiers)
        tone = rng.uniform(0.85, 1.1)
        fringe = [
            (0.5 + half * t, low + (0.025 if i % 2 else -0.01) - 0.04 * abs(t))
            for i, t in enumerate(np.linspace(1, -1, 9))
        ]
        pen.polygon([(0.5, high), *fringe], shade(leaf, tone))
        pen.polygon(
            [(0.5, high), (0.5 + half * 0.25, low - 0.02), *fringe[:3]], shade(leaf, tone * 0.75)
        )


def _palm(pen: Pen, rng: np.random.Generator, bark: Color, leaf: Color) -> None:
    lean = rng.uniform(-0.14, 0.14)
    top = rng.uniform(0.26, 0.36)
    trunk = [(0.5 - lean * (1 - t) ** 2, 0.97 - (0.97 - top) * t) for t in np.linspace(0, 1, 10)]
    pen.line(trunk, bark, rng.uniform(0.035, 0.055))
    for x, y in trunk[::2]:
        pen.line([(x - 0.02, y), (x + 0.02, y - 0.008)], shade(bark, 0.7), 0.008)
    head = trunk[-1]
    for angle in np.linspace(0, 2 * math.pi, int(rng.integers(7, 12)), endpoint=False):
        reach = rng.uniform(0.26, 0.36)
        dx, dy = math.cos(angle), math.sin(angle) * 0.7
        curve = [
            (head[0] + dx * reach * t, head[1] + dy * reach * 0.8 * t + 0.2 * reach * t * t * 2)
            for t in np.linspace(0, 1, 7)
        ]
        lower = [(x, y + 0.05 * math.sin(math.pi * i / 6)) for i, (x, y) in enumerate(curve)]
        pen.polygon([*curve, *lower[::-1]], shade(leaf, rng.uniform(0.75, 1.2)))


def draw_fish(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a fish from the side."""
    color, other = paint_color(rng), paint_color(rng)
    length, tall = rng.uniform(0.32, 0.36), rng.uniform(0.11, 0.24)
    cx, cy = 0.42, 0.5
    top, low = [], []
    for t in np.linspace(-1, 1, 24):
        bulge = tall * (1 - t * t) ** 0.62 * (1 - 0.28 * t)
        top.append((cx + t * length, cy - bulge))
        low.append((cx + t * length, cy + bulge * 0.92))
    fin = shade(other, 0.85)
    tail_h, fork = rng.uniform(0.12, 0.22), rng.uniform(0.0, 0.1)
    root = cx + length * 0.93
    pen.polygon([(root, cy), (0.96, cy - tail_h), (0.96 - fork, cy), (0.96, cy + tail_h)], fin)
    rise = tall + rng.uniform(0.05, 0.14)
    pen.polygon(
        [
            (cx - 0.14, cy - tall * 0.8),
            (cx + rng.uniform(-0.02, 0.1), cy - rise),
            (cx + 0.2, cy - tall * 0.55),
        ],
        fin,
    )
    pen.polygon(
        [(cx, cy + tall * 0.75), (cx + 0.1, cy + rise * 0.85), (cx + 0.17, cy + tall * 0.5)], fin
    )
    pen.polygon([*top, *low[::-1]], color)
    belly = [(x, cy + (y - cy) * 0.45) for x, y in low]
    pen.polygon([*belly, *low[::-1]], shade(color, 1.35))
    _fish_pattern(pen, rng, (cx, cy, length, tall), other)
    gill = [
        (cx - length * 0.48 + 0.025 * math.cos(a), cy + tall * 0.6 * math.sin(a))
        for a in np.linspace(-1.3, 1.3, 8)
    ]
    pen.line(gill, shade(color, 0.6), 0.01)
    pen.polygon([(cx - 0.1, cy + 0.02), (cx + 0.06, cy + 0.1), (cx + 0.02, cy)], shade(fin, 0.8))
    eye = (cx - length * 0.7, cy - tall * 0.22)
    size = rng.uniform(0.022, 0.034)
    pen.ellipse(eye, (size, size), (0.97, 0.97, 0.94))
    pen.ellipse(eye, (size * 0.55, size * 0.55), (0.05, 0.05, 0.06))


def _fish_pattern(
    pen: Pen, rng: np.random.Generator, body: tuple[float, float, float, float], color: Color
) -> None:
    cx, cy, length, tall = body
    kind = rng.integers(3)
    if kind == 0:
        for t in np.linspace(-0.25, 0.75, int(rng.integers(2, 6))):
            bulge = tall * (1 - t * t) ** 0.62 * (1 - 0.28 * t) * 0.96
            x = cx + t * length
            pen.polygon(
                [
                    (x - 0.018, cy - bulge),
                    (x + 0.018, cy - bulge),
                    (x + 0.03, cy + bulge * 0.85),
                    (x, cy + bulge * 0.85),
                ],
                color,
            )
    elif kind == 1:
        for _ in range(int(rng.integers(5, 14))):
            t, s = rng.uniform(-0.3, 0.6), rng.uniform(-0.5, 0.5)
            r = rng.uniform(0.01, 0.022)
            pen.ellipse((cx + t * length, cy + s * tall), (r, r), color)


def _drop(cx: float, cy: float, rx: float, ry: float, tip: float) -> list[Point]:
    """Return a balloon's outline: an ellipse whose lower half runs out to a tip."""
    points = []
    for angle in np.linspace(0, 2 * math.pi, 40, endpoint=False):
        x, y = math.cos(angle), math.sin(angle)
        narrow = 1 - 0.35 * max(0.0, y) ** 2
        points.append((cx + rx * x * narrow, cy + (y * ry if y < 0 else y * (tip - cy))))
    return points


SCENE_OBJECTS: dict[str, tuple[Callable[[Pen, np.random.Generator], None], float]] = {
    "balloon": (draw_balloon, 25.0),
    "boat": (draw_boat, 12.0),
    "car": (draw_car, 12.0),
    "fish": (draw_fish, 40.0),
    "house": (draw_house, 6.0),
    "tree": (draw_tree, 10.0),
}
"""Class → how it is drawn, and by how many degrees it may be tilted to either side."""

SCENE_CLASSES = tuple(SCENE_OBJECTS)
