"""Where boxes go wrong, and what is taken for what: tables of ``details.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantdet.report.tables import Cell, Table, row
from quantdet.report.verdict import FLOATS
from quantdet.results.details import Details
from quantdet.results.metrics import AnyMetrics, DetectionVariant
from quantdet.results.numbers import NOTHING, difference, plain

_KINDS = {
    "right": "right class, IoU ≥ 0.5 with an object that nothing better has found",
    "localisation": "right class, but IoU with the object only 0.1 to 0.5",
    "class": "IoU ≥ 0.5 with an object of another class",
    "both": "wrong class and IoU 0.1 to 0.5",
    "duplicate": "a second box of an object that a better one has found",
    "background": "IoU < 0.1 with every object",
    "missed": "objects that nothing has found and no error above explains",
}
_MOST_MIXED_UP = 10


@dataclass(frozen=True)
class HeatCell:
    """One cell of a matrix: a count, and its share of the row, 0 to 1."""

    count: int
    share: float
    right: bool


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: (name of the row, its cells)."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]


def error_section(details: Details, metrics: AnyMetrics) -> dict[str, object] | None:
    """Return what the section shows, None if neither float nor uint8 is in the details."""
    keys = [next((k for k in FLOATS if k in details.variants), ""), "uint8_tflite"]
    names = {item.variant: item.name for item in metrics.variants}
    keys = [key for key in keys if key in details.variants and key in names]
    if not keys:
        return None
    shown = {names[key]: details.variants[key] for key in keys}
    costs = {}
    for key in keys:
        variant = metrics.variant(key)
        if isinstance(variant, DetectionVariant) and variant.error_costs:
            costs[names[key]] = variant.error_costs
    matrices = {name: item.confusion for name, item in shown.items() if item.confusion}
    return {
        "table": error_table({name: item.errors for name, item in shown.items()}, costs),
        "kinds": _KINDS,
        "costs": bool(costs),
        "thresholds": sorted(set(details.thresholds.values())),
        "mixed_up": mixed_up_table(details.labels, matrices),
        "matrices": [_matrix(name, details.labels, counts) for name, counts in matrices.items()],
    }


def error_table(
    counts: Mapping[str, Mapping[str, int]], costs: Mapping[str, Mapping[str, float]]
) -> Table:
    """Return errors by kind: how many each model makes, and what they cost in points of mAP.

    Args:
        counts: model → kind → number.
        costs: model → kind → mean AP, 0 to 1; may be empty.
    """
    most = max((value for item in costs.values() for value in item.values()), default=0.0)
    rows = []
    for kind in _KINDS:
        numbers = [item.get(kind) for item in counts.values()]
        cells: list[str | Cell] = [plain(value, 0) for value in numbers]
        if len(numbers) > 1:
            cells.append(_change(numbers[0], numbers[-1]))
        for item in costs.values():
            value = item.get(kind)
            bar = max(value, 0.0) / most if value is not None and most > 0 else None
            cells.append(Cell(plain(100 * value, 2) if value is not None else NOTHING, bar=bar))
        rows.append(row(kind, *cells, main=kind == "right"))
    header = ["kind", *(f"{name}, count" for name in counts)]
    if len(counts) > 1:
        header.append("change")
    header += [f"{name}, points of mAP lost" for name in costs]
    return Table("Errors by kind", tuple(header), tuple(rows))


def _change(before: int | None, after: int | None) -> str:
    return NOTHING if before is None or after is None else difference(after - before, 0)


def mixed_up_table(
    labels: Sequence[str], matrices: Mapping[str, Sequence[Sequence[int]]]
) -> Table | None:
    """Return the pairs of classes that the last model mixes up most, None if there are none."""
    if not matrices:
        return None
    last = [*matrices.values()][-1]
    count = len(labels)
    pairs = sorted(
        ((i, j) for i in range(count) for j in range(count) if i != j and last[i][j]),
        key=lambda pair: -last[pair[0]][pair[1]],
    )
    rows = [
        row(labels[i], labels[j], *(plain(item[i][j], 0) for item in matrices.values()))
        for i, j in pairs[:_MOST_MIXED_UP]
    ]
    header = ("object", "found as", *(f"{name}, count" for name in matrices))
    return Table("Classes mixed up most", header, tuple(rows), texts=2) if rows else None


def _matrix(name: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Matrix:
    rows = []
    for place, (label, numbers) in enumerate(zip([*labels, "no such object"], counts, strict=True)):
        total = sum(numbers) or 1
        cells = tuple(
            HeatCell(number, number / total, place == column and place < len(labels))
            for column, number in enumerate(numbers)
        )
        # Nothing there and nothing found is no event.
        rows.append((label, cells[:-1] if place == len(labels) else cells))
    return Matrix(f"Confusion, {name}", (*labels, "not found"), tuple(rows))
