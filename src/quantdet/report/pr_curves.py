"""Precision–recall curves as small drawings inside the page.

They are SVG elements, so that they take the page's colours, light or dark, and cost few bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantdet.report.numbers import percent
from quantdet.report.results import DetectionVariant

WIDTH, HEIGHT = 100, 100


@dataclass(frozen=True)
class Line:
    """One model's curve: ``points`` as SVG wants them, (0, 0) is recall 0 and precision 1."""

    name: str
    points: str


@dataclass(frozen=True)
class Panel:
    """The curves of one class; ``text`` says in words what they show."""

    title: str
    lines: tuple[Line, ...]
    text: str


def draw_curves(shown: Sequence[DetectionVariant]) -> list[Panel]:
    """Return a panel with the mean over classes, and one for each class that has objects."""
    labels = [
        label
        for label, figures in shown[-1].per_class.items()
        if figures.ap_voc07 is not None and figures.precision
    ]
    if not labels:
        return []
    mean = [_mean([_precision(item, label) for label in labels]) for item in shown]
    panels = [_panel("mean of all classes", shown, mean, [item.map_voc07 for item in shown])]
    for label in labels:
        curves = [_precision(item, label) for item in shown]
        values = [item.per_class[label].ap_voc07 for item in shown]
        panels.append(_panel(label, shown, curves, values))
    return panels


def _precision(item: DetectionVariant, label: str) -> list[float]:
    return [value or 0.0 for value in item.per_class[label].precision]


def _mean(curves: Sequence[Sequence[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*curves, strict=True)]


def _panel(
    title: str,
    shown: Sequence[DetectionVariant],
    curves: Sequence[Sequence[float]],
    values: Sequence[float | None],
) -> Panel:
    lines = tuple(
        Line(item.name, _points(curve)) for item, curve in zip(shown, curves, strict=True)
    )
    text = ", ".join(
        f"{item.name} {percent(value)} %" for item, value in zip(shown, values, strict=True)
    )
    return Panel(title, lines, text)


def _points(precision: Sequence[float]) -> str:
    last = max(len(precision) - 1, 1)
    return " ".join(
        f"{WIDTH * i / last:g},{HEIGHT * (1 - value):.1f}" for i, value in enumerate(precision)
    )
