"""Tables of several runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quantdet.kinds import find_family
from quantdet.report.classes import Models
from quantdet.report.compared import Compared, same_test
from quantdet.report.tables import Cell, Row, Table, row
from quantdet.report.verdict import setting
from quantdet.results.figures import FIGURES, VOC07, Figure
from quantdet.results.intervals import paired_difference
from quantdet.results.metrics import Latency
from quantdet.results.numbers import NOTHING, megabytes, percent, plain


def headline_table(compared: Sequence[Compared]) -> Table:
    """Return what runs are and how good, small and fast they are: one column a run."""
    measured = [item.uint8 for item in compared]
    rows = [
        row("model", *(_model(item) for item in compared)),
        row("pictures trained on", *(_trained_on(item) for item in compared)),
        row("test pictures", *(plain(item.pictures if item else None, 0) for item in measured)),
    ]
    tested = [item for item in compared if item.uint8 is not None]
    # Of figures from different pictures none is the best.
    comparable = all(same_test(tested[0], item) for item in tested[1:])
    for figure in _figures(compared):
        values = [figure.value(item) for item in measured]
        texts = [figure.number(value) for value in values]
        shown = _best(values, texts) if comparable else texts
        changes = [
            figure.change(_minus(value, figure.value(item.floats)))
            for value, item in zip(values, compared, strict=True)
        ]
        unit, points = (f", {text}".rstrip(", ") for text in (figure.unit, figure.points))
        rows += [
            row(f"{figure.title} of uint8{unit}", *shown, main=True, first=True),
            row("95 % interval", *(figure.between(item) for item in measured)),
            row(f"{figure.title} of float{unit}", *(figure.text(item.floats) for item in compared)),
            row(f"float → uint8{points}", *changes),
        ]
    sizes = [item.bytes if item else None for item in measured]
    texts = [megabytes(size) if size else NOTHING for size in sizes]
    rows.append(row("file, MB", *_best([-(size or np.inf) for size in sizes], texts), first=True))
    return Table("Runs side by side", ("figure", *(item.name for item in compared)), tuple(rows))


def difference_table(compared: Sequence[Compared]) -> Table | None:
    """Return the uint8 file of each run against the first's, paired where the test is the same."""
    first = compared[0]
    rows: list[Row] = []
    for item in compared[1:]:
        for number, figure in enumerate(_figures(compared)):
            change = _minus(figure.value(item.uint8), figure.value(first.uint8))
            if change is None:
                continue
            rows.append(
                row(
                    Cell(item.name, tone="repeat" if number else ""),
                    f"{figure.title}, {figure.points}".rstrip(", "),
                    figure.change(change),
                    _paired(first, item, figure),
                    first=not number,
                )
            )
    header = ("run", "figure", f"against {first.name}", "paired 95 % interval")
    return Table("Differences", header, tuple(rows), texts=2) if rows else None


def class_table(models: Models) -> Table:
    """Return AP of each class in each run, and the change against the first."""
    figures = [model.per_class for _, model in models]
    first = figures[0]
    rows = []
    for label in dict.fromkeys(label for item in figures for label in item):
        values = [item[label].ap_voc07 if label in item else None for item in figures]
        objects = first[label].objects if label in first else None
        changes = [VOC07.change(_minus(value, values[0])) for value in values[1:]]
        rows.append(row(label, plain(objects, 0), *map(percent, values), *changes))
    names = [name for name, _ in models]
    header = (
        *("class", "objects", *(f"{name} %" for name in names)),
        *(f"{name}, change, points" for name in names[1:]),
    )
    return Table("VOC07 AP of each class", header, tuple(rows))


def error_table(compared: Sequence[Compared]) -> Table | None:
    """Return how many errors of each kind the uint8 file of each run makes."""
    errors = {
        item.name: item.results.details.variants["uint8_tflite"].errors
        for item in compared
        if item.results.details and "uint8_tflite" in item.results.details.variants
    }
    kinds = dict.fromkeys(kind for counts in errors.values() for kind in counts)
    rows = [
        row(kind, *(plain(counts.get(kind), 0) for counts in errors.values())) for kind in kinds
    ]
    return Table("Errors by kind", ("kind", *errors), tuple(rows)) if rows else None


def latency_table(compared: Sequence[Compared]) -> Table | None:
    """Return the median of every setting in which a uint8 file was timed."""
    times = {item.name: _times(item) for item in compared}
    settings = dict.fromkeys(name for found in times.values() for name in found)
    rows = []
    for name in settings:
        values = [found[name].median_ms if name in found else None for found in times.values()]
        negative = [-value if value is not None else None for value in values]
        rows.append(row(name, *_best(negative, [plain(value, 2) for value in values])))
    return Table("Latency, ms", ("kernels, threads", *times), tuple(rows)) if rows else None


def settings_table(compared: Sequence[Compared]) -> Table | None:
    """Return the settings that differ; None if none does."""
    flat = [_flat(item.config.model_dump(mode="json")) for item in compared]
    keys = dict.fromkeys(key for item in flat for key in item)
    rows = [
        row(key, *(str(item.get(key, NOTHING)) for item in flat))
        for key in keys
        if len({str(item.get(key)) for item in flat}) > 1
    ]
    header = ("setting", *(item.name for item in compared))
    return Table("Settings that differ", header, tuple(rows)) if rows else None


def _figures(compared: Sequence[Compared]) -> tuple[Figure, ...]:
    families = [find_family(item.metrics.task) for item in compared if item.metrics is not None]
    return FIGURES[families[0]].headline if families else ()


def _model(item: Compared) -> str:
    model = item.config.model
    return f"{model.name}, {model.backbone} {model.width:g}×, {model.input_size} pixels"


def _trained_on(item: Compared) -> str:
    train = item.results.train
    return plain(train.identity.pictures[0], 0) if train and train.identity.pictures else NOTHING


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _best(values: Sequence[float | None], texts: Sequence[str]) -> list[Cell]:
    """Return cells, the highest value marked unless several have it."""
    most = max((value for value in values if value is not None), default=None)
    alone = values.count(most) == 1
    return [
        Cell(f"{text} ◂ best", tone="best") if alone and value == most else Cell(text)
        for value, text in zip(values, texts, strict=True)
    ]


def _paired(first: Compared, other: Compared, figure: Figure) -> str:
    details = first.results.details, other.results.details
    if not same_test(first, other):
        known = all(item and item.test_fingerprint for item in details)
        return "other test pictures" if known else "not known: evaluate again"
    drawn = [
        np.array(item.variants["uint8_tflite"].draws.get(figure.key, ()), np.float64)
        for item in details
        if item and "uint8_tflite" in item.variants
    ]
    if len(drawn) < len(details) or not drawn[0].size or drawn[0].shape != drawn[1].shape:
        return NOTHING
    before, after = figure.value(first.uint8), figure.value(other.uint8)
    if before is None or after is None:
        return NOTHING
    change = paired_difference((after, drawn[1]), (before, drawn[0]))
    return figure.changes((change.low, change.high))


def _times(item: Compared) -> dict[str, Latency]:
    rows = item.metrics.latency if item.metrics else ()
    return {setting(found): found for found in rows if found.variant == "uint8_tflite"}


def _flat(values: Mapping[str, object], before: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found
