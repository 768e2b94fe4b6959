"""What the data set holds: ``data.json`` as tables."""

from __future__ import annotations

from quantdet.report.tables import Cell, Row, Table, row
from quantdet.results.data import DataFacts, SplitFacts
from quantdet.results.numbers import NOTHING, percent, plain


def split_table(data: DataFacts) -> Table:
    """Return pictures, objects and box sizes of each split."""
    rows = [
        row(
            name,
            f"{item.pictures:,}",
            f"{item.without_objects:,}",
            _size(item.median_size_hw),
            f"{item.objects:,}",
            plain(item.objects / item.pictures, 1) if item.pictures else NOTHING,
            _share(item.difficult, item.objects),
            _share(item.truncated, item.objects),
            percent(item.median_side, 0),
        )
        for name, item in data.splits.items()
    ]
    header = (
        *("split", "pictures", "without objects", "median size, pixels", "objects"),
        *("objects a picture", "difficult %", "truncated %", "median side, % of the picture's"),
    )
    return Table("Splits", header, tuple(rows))


def class_count_table(data: DataFacts) -> Table:
    """Return how many objects of each class each split holds, the most frequent first."""
    splits = data.splits

    def counts(label: str) -> list[int]:
        return [item.per_class.get(label, 0) for item in splits.values()]

    order = sorted(data.labels, key=lambda label: -sum(counts(label)))
    most = [max([1, *item.per_class.values()]) for item in splits.values()]
    rows: list[Row] = []
    for label in order:
        cells = [
            Cell(f"{number:,}", bar=number / top)
            for number, top in zip(counts(label), most, strict=True)
        ]
        rows.append(row(label, *cells))
    total = [Cell(f"{_objects(item):,}") for item in splits.values()]
    rows.append(row("all", *total, main=True, first=True))
    return Table("Objects of each class", ("class", *splits), tuple(rows))


def _objects(item: SplitFacts) -> int:
    return sum(item.per_class.values())


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else NOTHING


def _size(size_hw: tuple[int, int] | None) -> str:
    return f"{size_hw[1]}×{size_hw[0]}" if size_hw else NOTHING
