"""Charts of ``analysis.json``: noise and ranges of every layer, in the order of the net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantdet.report.charts import HURTS, SERIES, SOFT, Drawing
from quantdet.results.analysis import Analysis, LayerNoise, WeightFigures
from quantdet.results.numbers import percent, plain

# Quantizing nothing but pixels is exact; the axis ends here.
_TOP_DB = 70.0
_PER_LAYER = 11
_LEAST_WIDTH, _MOST_WIDTH = 640, 1850
# All names fit below a net of so many layers; of larger ones only those that hurt are named.
_MOST_NAMES = 160
# Beyond this, ranges are drawn on a logarithmic scale: one wide layer would flatten the others.
_LINEAR = 8.0
_TICKS = (-1000, -300, -100, -30, -10, -5, 0, 5, 10, 30, 100, 300, 1000)


def noise_drawing(analysis: Analysis) -> Drawing:
    """Return each layer's own and accumulated SQNR, and its share of the noise at the outputs."""
    layers = analysis.layers
    hurts = {finding.layer for finding in analysis.findings}
    shares = [100 * item.sensitivity.share for item in layers if item.sensitivity]
    measured = len(shares) == len(layers)

    def paint(panels: Any) -> None:
        _draw_noise(panels[0], layers, hurts)
        if measured:
            colors = [HURTS if item.layer in hurts else SERIES[0] for item in layers]
            panels[1].bar(range(len(layers)), shares, color=colors, width=0.75)
            panels[1].set_ylabel("share of noise\nat outputs, %")
        _name_layers(panels, layers, hurts)

    text = "least signal to noise: " + ", ".join(
        f"{item.layer} {plain(item.sqnr_own_db, 1)} dB"
        for item in sorted(layers, key=lambda item: item.sqnr_own_db)[:3]
    )
    if hurts:
        text += f"; layers that hurt: {', '.join(sorted(hurts))}"
    heights = (2, 1) if measured else (1,)
    size = _width(layers), 230 + 130 * len(heights)
    return Drawing("Signal to noise of every layer", text, size, paint, heights)


def ranges_drawing(analysis: Analysis) -> Drawing:
    """Return the range of each layer's integers beside the values seen, and of its weights."""
    layers = analysis.layers
    weighted = [
        (place, item.weights)
        for place, item in enumerate(layers)
        if item.weights is not None and item.weights.largest
    ]

    def paint(panels: Any) -> None:
        _draw_activations(panels[0], layers)
        if weighted:
            _draw_weights(panels[1], dict(weighted))
        _name_layers(panels, layers, set())

    clipped = max(layers, key=lambda item: item.clipped)
    text = f"most is clipped in {clipped.layer}: {percent(clipped.clipped, 3)} % of its values"
    spread = max(weighted, key=lambda item: item[1].spread, default=None)
    if spread is not None:
        place, weights = spread
        name = layers[place].layer
        text += f"; weights of channels differ most in {name}: {plain(weights.spread, 0)} times"
    heights = (3, 2) if weighted else (1,)
    size = _width(layers), 200 + 150 * len(heights)
    return Drawing("Ranges of every layer", text, size, paint, heights)


def _draw_noise(panel: Any, layers: Sequence[LayerNoise], hurts: set[str]) -> None:
    accumulated = [min(item.sqnr_db, _TOP_DB) for item in layers]
    panel.plot(range(len(layers)), accumulated, color=SOFT, label="all noise up to here")
    own = {place: min(item.sqnr_own_db, _TOP_DB) for place, item in enumerate(layers)}
    _dots(panel, own, SERIES[0], "o", "noise of this layer alone")
    worst = {place: own[place] for place, item in enumerate(layers) if item.layer in hurts}
    if worst:
        _dots(panel, worst, HURTS, "X", "layers that hurt")
    panel.set_ylabel("signal / noise, dB\n(more is better)")
    panel.figure.legend(loc="outside upper left", ncols=3)


def _draw_activations(panel: Any, layers: Sequence[LayerNoise]) -> None:
    places = range(len(layers))
    low, high = [item.minimum for item in layers], [item.maximum for item in layers]
    bar = {"color": SERIES[0], "alpha": 0.4, "linewidth": 6}
    panel.vlines(places, low, high, label="range of the integers", **bar)
    seen = [item.seen_minimum for item in layers], [item.seen_maximum for item in layers]
    panel.vlines(places, *seen, color=SERIES[1], linewidth=1.6, label="float values seen")
    panel.set_yscale("symlog", linthresh=_LINEAR, linscale=1.5)
    inside = [tick for tick in _TICKS if min(low) <= tick <= max(high)]
    panel.set_yticks(inside, [f"{tick:g}" for tick in inside])
    panel.set_ylabel("activations")
    panel.figure.legend(*panel.get_legend_handles_labels(), loc="outside upper left", ncols=2)


def _draw_weights(panel: Any, weighted: Mapping[int, WeightFigures]) -> None:
    most = {place: item.largest or 0.0 for place, item in weighted.items()}
    least = {place: item.smallest or 0.0 for place, item in weighted.items()}
    bounds = list(least.values()), list(most.values())
    panel.vlines(list(most), *bounds, color=SERIES[0], linewidth=2)
    _dots(panel, most, SERIES[0], "o", "largest")
    _dots(panel, least, SERIES[1], "D", "smallest")
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter("{x:g}")
    panel.minorticks_off()
    panel.set_ylabel("max |w| of channels")


def _dots(panel: Any, points: Mapping[int, float], color: str, marker: str, label: str) -> None:
    panel.plot(
        list(points),
        list(points.values()),
        linestyle="",
        marker=marker,
        markersize=5,
        color=color,
        label=label,
    )


def _width(layers: Sequence[LayerNoise]) -> int:
    return min(max(_LEAST_WIDTH, 90 + _PER_LAYER * len(layers)), _MOST_WIDTH)


def _name_layers(panels: Any, layers: Sequence[LayerNoise], hurts: set[str]) -> None:
    for panel in panels:
        panel.set_xlim(-0.8, len(layers) - 0.2)
    names = [item.layer for item in layers]
    shown = [
        place for place, name in enumerate(names) if len(names) <= _MOST_NAMES or name in hurts
    ]
    panels[-1].set_xticks(shown, [names[place] for place in shown], rotation=90, fontsize=9)
    for label in panels[-1].get_xticklabels():
        if label.get_text() in hurts:
            label.set_color(HURTS)
            label.set_fontweight("bold")
