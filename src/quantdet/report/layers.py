"""What quantization does to every layer: ``analysis.json`` as charts and a table."""

from __future__ import annotations

from quantdet.report.charts import draw_chart
from quantdet.report.layer_plots import noise_drawing, range_drawing, weight_drawing
from quantdet.report.tables import Table, row
from quantdet.results.analysis import Analysis, LayerNoise
from quantdet.results.numbers import EXACT_DB, NOTHING, percent, plain


def layer_section(analysis: Analysis) -> dict[str, object]:
    """Return what the section shows."""
    weights = weight_drawing(analysis)
    return {
        "analysis": analysis,
        "noise": draw_chart(noise_drawing(analysis)),
        "ranges": draw_chart(range_drawing(analysis)),
        "weights": draw_chart(weights) if weights else None,
        "table": noise_table(analysis),
    }


def noise_table(analysis: Analysis) -> Table:
    """Return every layer with its noise and ranges, in the order of the net."""
    rows = [
        row(
            item.layer,
            item.kind,
            _decibels(item.sqnr_own_db),
            _decibels(item.sqnr_db),
            percent(item.sensitivity.share) if item.sensitivity else NOTHING,
            _between(item.minimum, item.maximum),
            _between(item.seen_minimum, item.seen_maximum),
            percent(item.clipped, 3),
            percent(item.range_use, 0),
            *_weights(item),
            main=item.layer in {finding.layer for finding in analysis.findings},
        )
        for item in analysis.layers
    ]
    header = (
        *("layer", "type", "own noise, dB", "all noise, dB", "share at outputs %"),
        *("range of the integers", "float values seen", "clipped %", "range used %"),
        *("max |w| of channels", "largest / smallest"),
    )
    return Table("Every layer", header, tuple(rows), texts=2)


def _weights(item: LayerNoise) -> tuple[str, str]:
    if item.weights is None:
        return NOTHING, NOTHING
    between = _between(item.weights.smallest, item.weights.largest)
    return between, plain(item.weights.spread, 1)


def _between(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return NOTHING
    return f"{low:.3g} … {high:.3g}".replace("-", "−")


def _decibels(value: float) -> str:
    return "exact" if value >= EXACT_DB else plain(value, 1)
