"""Charts of ``analysis.json``: noise and ranges of the layers that quantization hurts most.

A net has a hundred layers; a page has room for the names of twenty. The others are in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quantdet.report.charts import HURTS, SERIES, SOFT, TEXT, Drawing, Look
from quantdet.results.analysis import Analysis, LayerNoise
from quantdet.results.numbers import percent, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LAYERS = 20
# Quantizing nothing but pixels is exact; the axis ends here.
_TOP_DB = 70.0
_WIDTH, _PER_LAYER, _AROUND = 430, 21, 96
_LONGEST_NAME = 26
# Beyond this, ranges are drawn on a logarithmic scale: one wide layer would flatten the others.
_LINEAR = 8.0
_TICKS = (-1000, -100, -30, -8, 0, 8, 30, 100, 1000)


def worst_layers(analysis: Analysis) -> list[LayerNoise]:
    """Return the layers that hurt most, at most :data:`MOST_LAYERS`, in the order of the net."""
    worst = {id(item) for item in analysis.worst_first()[:MOST_LAYERS]}
    return [item for item in analysis.layers if id(item) in worst]


def noise_drawing(analysis: Analysis) -> Drawing:
    """Return own and accumulated SQNR of the worst layers, and their share of the noise."""
    layers = worst_layers(analysis)
    hurts = {finding.layer for finding in analysis.findings}

    def paint(panel: Axes) -> None:
        accumulated = [min(item.sqnr_db, _TOP_DB) for item in layers]
        panel.plot(accumulated, range(len(layers)), **_mark(SOFT, "|"), label="all noise up to it")
        own = [min(item.sqnr_own_db, _TOP_DB) for item in layers]
        panel.plot(own, range(len(layers)), **_mark(SERIES[0], "o"), label="its own noise")
        _mark_hurts(panel, layers, own, hurts)
        _shares(panel, layers)
        _layer_axis(panel, layers, hurts)
        panel.set_xlabel("signal / noise, dB (more is better)")
        panel.figure.legend(loc="outside upper left", ncols=2)

    text = "least signal to noise: " + ", ".join(
        f"{item.layer} {plain(item.sqnr_own_db, 1)} dB"
        for item in sorted(layers, key=lambda item: item.sqnr_own_db)[:3]
    )
    if hurts:
        text += f"; layers that hurt: {', '.join(sorted(hurts))}"
    return Drawing(f"Noise, {_which(analysis)}", text, _size(layers), paint)


def range_drawing(analysis: Analysis) -> Drawing:
    """Return the range of each layer's integers beside the values seen."""
    layers = worst_layers(analysis)

    def paint(panel: Axes) -> None:
        places = range(len(layers))
        low, high = [item.minimum for item in layers], [item.maximum for item in layers]
        bar = {"color": SERIES[0], "alpha": 0.4, "linewidth": 7}
        panel.hlines(places, low, high, label="range of the integers", **bar)
        seen = [item.seen_minimum for item in layers], [item.seen_maximum for item in layers]
        panel.hlines(places, *seen, color=SERIES[1], linewidth=1.6, label="float values seen")
        panel.set_xscale("symlog", linthresh=_LINEAR, linscale=1.5)
        ends = min(*low, *seen[0]), max(*high, *seen[1])
        inside = [tick for tick in _TICKS if ends[0] <= tick <= ends[1]]
        panel.set_xticks(inside, [f"{tick:g}" for tick in inside])
        panel.minorticks_off()
        _layer_axis(panel, layers, set())
        panel.set_xlabel("activations")
        panel.figure.legend(loc="outside upper left", ncols=2)

    clipped = max(layers, key=lambda item: item.clipped)
    text = f"most is clipped in {clipped.layer}: {percent(clipped.clipped, 3)} % of its values"
    return Drawing(f"Ranges, {_which(analysis)}", text, _size(layers), paint)


def weight_drawing(analysis: Analysis) -> Drawing | None:
    """Return the largest weight of the widest and of the narrowest channel; None without any."""
    weighted = [(item, item.weights) for item in worst_layers(analysis) if item.weights]
    known = [(item, found) for item, found in weighted if found.largest]
    if not known:
        return None
    layers = [item for item, _ in known]

    def paint(panel: Axes) -> None:
        most = [found.largest or 0.0 for _, found in known]
        least = [found.smallest or 0.0 for _, found in known]
        panel.hlines(range(len(known)), least, most, color=SERIES[0], linewidth=2)
        panel.plot(most, range(len(known)), **_mark(SERIES[0], "o"), label="largest")
        panel.plot(least, range(len(known)), **_mark(SERIES[1], "D"), label="smallest")
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.minorticks_off()
        _layer_axis(panel, layers, set())
        panel.set_xlabel("max |w| of channels")
        panel.figure.legend(loc="outside upper left", ncols=2)

    item, widest = max(known, key=lambda pair: pair[1].spread)
    text = f"weights of channels differ most in {item.layer}: {plain(widest.spread, 0)} times"
    return Drawing(f"Weights, {_which(analysis)}", text, _size(layers), paint)


def _which(analysis: Analysis) -> str:
    count = len(analysis.layers)
    return f"worst {MOST_LAYERS} of {count} layers" if count > MOST_LAYERS else "every layer"


def _mark_hurts(
    panel: Axes, layers: Sequence[LayerNoise], own: Sequence[float], hurts: set[str]
) -> None:
    places = [place for place, item in enumerate(layers) if item.layer in hurts]
    if places:
        values = [own[place] for place in places]
        panel.plot(values, places, **_mark(HURTS, "X"), label="layers that hurt")


def _shares(panel: Axes, layers: Sequence[LayerNoise]) -> None:
    """Write each layer's share of the noise at the outputs at the right edge."""
    for place, item in enumerate(layers):
        if item.sensitivity is not None:
            at = panel.get_yaxis_transform()
            text = f"{percent(item.sensitivity.share, 0)} %"
            panel.text(1.02, place, text, transform=at, va="center", fontsize=10.5, color=SOFT)


def _layer_axis(panel: Axes, layers: Sequence[LayerNoise], hurts: set[str]) -> None:
    panel.set_yticks(range(len(layers)), [_short(item.layer) for item in layers], fontsize=10.5)
    panel.set_ylim(len(layers) - 0.4, -0.6)
    panel.tick_params(axis="y", labelcolor=TEXT, length=0)
    for item, label in zip(layers, panel.get_yticklabels(), strict=True):
        if item.layer in hurts:
            label.set_color(HURTS)
            label.set_fontweight("bold")


def _short(name: str) -> str:
    """Return a name that leaves room for the drawing; its end tells layers apart."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def _mark(color: str, marker: str) -> Look:
    wide: Look = {"markersize": 9, "markeredgewidth": 2} if marker == "|" else {"markersize": 5}
    return {"color": color, "marker": marker, "linestyle": "", **wide}


def _size(layers: Sequence[LayerNoise]) -> tuple[int, int]:
    return _WIDTH, _AROUND + _PER_LAYER * len(layers)
