"""``analysis.json`` as plain text."""

from __future__ import annotations

from quantdet.cli.tables import table
from quantdet.results.analysis import Analysis, LayerNoise
from quantdet.results.numbers import EXACT_DB

_SHOWN = 15
_NOTHING = "–"


def analysis_text(result: Analysis, all_layers: bool = False) -> str:
    """Return the layers, worst first, with the ones that hurt in words below.

    Args:
        result: of ``run_analyse``.
        all_layers: show every layer instead of the 15 worst.
    """
    rows = result.worst_first()
    shown = rows if all_layers else rows[:_SHOWN]
    measured = rows[0].sensitivity is not None
    header = ("layer", "kind", "own dB", "all dB", "cosine", "clipped %", "range use %", "spread")
    more = ("output dB", "share %") if measured else ()
    outputs = ", ".join(f"{name} {value:.1f} dB" for name, value in result.outputs.items())
    parts = [
        f"{result.pictures} pictures of split {result.split!r}; outputs: {outputs}",
        table((*header, *more), [_cells(row) for row in shown]),
    ]
    if len(rows) > len(shown):
        parts.append(f"{len(rows) - len(shown)} more layers; --all shows them")
    return "\n".join([*parts, "", *_findings(result, measured)])


def _cells(row: LayerNoise) -> tuple[str, ...]:
    weights, moved = row.weights, row.sensitivity
    cells = (
        row.layer,
        row.kind,
        _decibels(row.sqnr_own_db),
        _decibels(row.sqnr_db),
        _NOTHING if row.cosine is None else f"{row.cosine:.4f}",
        f"{100 * row.clipped:.3f}",
        f"{100 * row.range_use:.0f}",
        _NOTHING if weights is None else f"{weights.spread:.3g}",
    )
    if moved is None:
        return cells
    return (*cells, _decibels(moved.output_sqnr_db), f"{100 * moved.share:.1f}")


def _decibels(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return "exact" if value >= EXACT_DB else f"{value:.1f}"


def _findings(result: Analysis, measured: bool) -> list[str]:
    where = "noise at the outputs" if measured else "noise of all layers, each against its signal"
    if not result.findings:
        return [f"no layer stands out: the {where} is spread over the net"]
    return [
        f"{item.layer}: {100 * item.share:.0f} % of the {where}. {item.text}"
        for item in result.findings
    ]
