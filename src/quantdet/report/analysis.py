"""``analysis.json`` as a picture: noise of every layer, in the order of the net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantdet.atomic import atomic_path

_OWN = "#1f5fa8"
_ALL = "#8a8a8a"
_HURTS = "#c8321e"
# Quantizing nothing but pixels is exact; the axis ends here.
_TOP_DB = 70.0
# All names fit below a net of so many layers; of larger ones only those that hurt are named.
_MOST_NAMES = 160


def draw_analysis(result: Mapping[str, Any], path: Path) -> None:
    """Draw each layer's own and accumulated SQNR, and its share of the noise at the outputs.

    Args:
        result: content of ``analysis.json``.
        path: of the PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = result["layers"]
    measured = layers[0]["sensitivity"] is not None
    width = min(max(7.0, 1.6 + 0.155 * len(layers)), 28.0)
    figure = Figure(figsize=(width, 7.2 if measured else 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [2, 1] if measured else [1]
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
    hurts = {finding["layer"] for finding in result["findings"]}
    _draw_noise(panels[0, 0], layers, hurts)
    if measured:
        _draw_shares(panels[1, 0], layers, hurts)
    _name_layers(panels[-1, 0], layers, hurts)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _draw_noise(panel: Any, layers: Sequence[Mapping[str, Any]], hurts: set[str]) -> None:
    places = range(len(layers))
    own = [min(row["sqnr_own_db"], _TOP_DB) for row in layers]
    accumulated = [min(row["sqnr_db"], _TOP_DB) for row in layers]
    panel.plot(places, accumulated, color=_ALL, linewidth=1.6, label="all noise up to here")
    panel.scatter(places, own, s=22, color=_OWN, label="noise of this layer alone", zorder=3)
    worst = [place for place in places if layers[place]["layer"] in hurts]
    if worst:
        chosen = [own[place] for place in worst]
        panel.scatter(worst, chosen, s=46, color=_HURTS, label="layers that hurt", zorder=4)
    panel.set_ylabel("signal / noise, dB (more is better)")
    panel.set_title("What quantization adds to each layer", loc="left", fontsize=11)
    _plain(panel)


def _draw_shares(panel: Any, layers: Sequence[Mapping[str, Any]], hurts: set[str]) -> None:
    shares = [100 * row["sensitivity"]["share"] for row in layers]
    colours = [_HURTS if row["layer"] in hurts else _OWN for row in layers]
    panel.bar(range(len(layers)), shares, color=colours, width=0.75)
    panel.set_ylabel("share, %")
    panel.set_title("Noise at the outputs if only this layer is quantized", loc="left", fontsize=11)
    _plain(panel)


def _plain(panel: Any) -> None:
    panel.grid(color="0.92", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(x=0.01)


def _name_layers(panel: Any, layers: Sequence[Mapping[str, Any]], hurts: set[str]) -> None:
    names = [row["layer"] for row in layers]
    shown = [
        place for place, name in enumerate(names) if len(names) <= _MOST_NAMES or name in hurts
    ]
    panel.set_xticks(shown, [names[place] for place in shown], rotation=90, fontsize=7)
    for label in panel.get_xticklabels():
        if label.get_text() in hurts:
            label.set_color(_HURTS)
            label.set_fontweight("bold")
