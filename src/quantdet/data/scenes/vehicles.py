"""Cars and boats."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from quantdet.data.scenes.noise import Color, paint_color, shade
from quantdet.data.scenes.pen import GLASS, Pen, Point


def draw_car(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a saloon, hatchback, van or pickup from the side."""
    paint, glass = paint_color(rng), GLASS[rng.integers(3)]
    ground, wheel = 0.74, rng.uniform(0.075, 0.1)
    sill, belt = ground - wheel * 0.55, ground - rng.uniform(0.2, 0.25)
    roof = belt - rng.uniform(0.11, 0.19)
    nose, tail = 0.04, 0.96
    cabins = {
        0: [(0.26, belt), (0.37, roof), (0.66, roof), (0.8, belt)],
        1: [(0.3, belt), (0.42, roof), (0.88, roof), (0.94, belt)],
        2: [(0.1, belt), (0.2, roof - 0.08), (0.93, roof - 0.08), (0.95, belt)],
        3: [(0.28, belt), (0.36, roof), (0.56, roof), (0.58, belt)],
    }
    cabin = cabins[int(rng.integers(4))]
    pen.polygon(cabin, paint)
    pen.box((nose, belt - 0.01, tail, sill), paint, 0.045)
    pen.box((nose, (belt + sill) / 2 + 0.02, tail, sill), shade(paint, 0.72), 0.03)
    _car_windows(pen, cabin, glass, paint, int(rng.integers(1, 4)))
    for x in (rng.uniform(0.19, 0.24), rng.uniform(0.76, 0.81)):
        pen.ellipse((x, ground - wheel), (wheel * 1.18, wheel * 1.18), shade(paint, 0.35))
        pen.ellipse((x, ground - wheel), (wheel, wheel), (0.1, 0.1, 0.11))
        pen.ellipse(
            (x, ground - wheel),
            (wheel * 0.55, wheel * 0.55),
            shade((0.8, 0.8, 0.82), rng.uniform(0.5, 1)),
        )
        pen.ellipse((x, ground - wheel), (wheel * 0.16, wheel * 0.16), (0.2, 0.2, 0.2))
    pen.box((nose, belt + 0.03, nose + 0.045, belt + 0.075), (1.0, 0.95, 0.7), 0.015)
    pen.box((tail - 0.035, belt + 0.03, tail, belt + 0.075), (0.8, 0.1, 0.08), 0.012)
    middle = (cabin[1][0] + cabin[2][0]) / 2
    pen.line([(middle, belt), (middle, sill - 0.01)], shade(paint, 0.55), 0.006)
    pen.box((middle + 0.02, belt + 0.02, middle + 0.06, belt + 0.032), shade(paint, 0.5))


def _car_windows(pen: Pen, cabin: Sequence[Point], glass: Color, paint: Color, count: int) -> None:
    (x1, belt), (x2, roof), (x3, _), (x4, _) = cabin
    cx, cy = (x1 + x2 + x3 + x4) / 4, (belt + roof) / 2
    inner = [(cx + (x - cx) * 0.86, cy + (y - cy) * 0.72) for x, y in cabin]
    pen.polygon(inner, glass)
    pen.polygon(
        [inner[0], inner[1], ((inner[1][0] + inner[2][0]) / 2, inner[1][1])], shade(glass, 1.2)
    )
    for number in range(1, count + 1):
        x = x2 + (x3 - x2) * number / (count + 1)
        pen.line([(x, roof), (x, belt)], paint, 0.018)


def draw_boat(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a sailing boat, a motor boat or a small steamer."""
    hull, other = paint_color(rng), paint_color(rng)
    deck, keel = rng.uniform(0.68, 0.76), rng.uniform(0.86, 0.94)
    bow, stern = 0.05, rng.uniform(0.86, 0.95)
    kind = rng.integers(3)
    if kind == 0:
        _sails(pen, rng, deck, other)
    else:
        _cabin(pen, rng, deck, other, funnel=kind == 2)
    side = [
        (bow, deck - 0.03),
        (stern, deck),
        (stern - 0.06, keel),
        (bow + 0.2, keel),
        (bow + 0.09, (deck + keel) / 2),
    ]
    pen.polygon(side, hull)
    pen.polygon(
        [
            (bow + 0.12, keel - 0.05),
            (stern - 0.035, keel - 0.05),
            (stern - 0.06, keel),
            (bow + 0.2, keel),
        ],
        shade(hull, 0.5),
    )
    pen.line([(bow + 0.02, deck), (stern, deck + 0.025)], shade(other, 1.1), 0.018)
    if rng.random() < 0.4:
        for x in np.linspace(bow + 0.28, stern - 0.14, 4):
            pen.ellipse((x, deck + 0.075), (0.02, 0.02), (0.15, 0.2, 0.28))


def _sails(pen: Pen, rng: np.random.Generator, deck: float, color: Color) -> None:
    mast = rng.uniform(0.4, 0.52)
    pale = rng.random() < 0.5
    cloth = shade((0.95, 0.94, 0.88), rng.uniform(0.8, 1.0)) if pale else color
    top = rng.uniform(0.04, 0.1)
    pen.line([(mast, top), (mast, deck)], (0.35, 0.24, 0.15), 0.018)
    belly = rng.uniform(0.02, 0.07)
    boom = rng.uniform(0.26, 0.36)
    leech = [
        (
            mast + 0.015 + boom * t + belly * math.sin(math.pi * t),
            top + 0.03 + (deck - top - 0.1) * t,
        )
        for t in np.linspace(0, 1, 9)
    ]
    pen.polygon([*leech, (mast + 0.015, deck - 0.06)], cloth)
    pen.line([(mast, deck - 0.055), (mast + boom + 0.02, deck - 0.055)], (0.35, 0.24, 0.15), 0.014)
    if rng.random() < 0.8:
        pen.polygon(
            [(mast - 0.015, top + 0.08), (0.07, deck - 0.05), (mast - 0.015, deck - 0.09)],
            shade(cloth, 0.87),
        )
    if rng.random() < 0.5:
        pen.polygon([(mast, top - 0.01), (mast + 0.09, top + 0.015), (mast, top + 0.04)], color)


def _cabin(pen: Pen, rng: np.random.Generator, deck: float, color: Color, *, funnel: bool) -> None:
    left, right = rng.uniform(0.26, 0.36), rng.uniform(0.62, 0.8)
    top = deck - rng.uniform(0.14, 0.22)
    if funnel:
        x = rng.uniform(left + 0.08, right - 0.12)
        pen.box((x, top - rng.uniform(0.14, 0.22), x + 0.09, top + 0.02), color)
        pen.box((x, top - 0.1, x + 0.09, top - 0.06), shade(color, 0.45))
        pen.line([(left - 0.08, top - 0.15), (left - 0.08, deck)], (0.3, 0.25, 0.2), 0.014)
    pale = shade((0.94, 0.93, 0.9), rng.uniform(0.7, 1.0))
    slope = 0.0 if funnel else 0.08
    pen.polygon(
        [(left, deck + 0.02), (left + slope, top), (right, top), (right, deck + 0.02)], pale
    )
    glass = GLASS[rng.integers(len(GLASS))]
    windows = int(rng.integers(2, 5))
    width = (right - left - slope) / windows
    for number in range(windows):
        x = left + slope + width * number
        pen.box((x + width * 0.2, top + 0.035, x + width * 0.8, top + 0.085), glass, 0.008)
    pen.box((left + slope - 0.02, top - 0.015, right + 0.03, top + 0.005), shade(color, 0.8))
