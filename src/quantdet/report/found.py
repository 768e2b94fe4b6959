"""Does the model find anything? What people see at the threshold they get, and on how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quantdet.report.verdict import (
    EVALUATE_AGAIN,
    NOT_MEASURED,
    TONES,
    Check,
    Tile,
    Tone,
    Verdict,
    figure_tile,
)
from quantdet.results.figures import F1, PRECISION, RECALL, SHOWN, Figure
from quantdet.results.metrics import AnyMetrics, Counts, Variant
from quantdet.results.numbers import percent

LEAST_OBJECTS, LEAST_PICTURES = 100, 30
"""With fewer, a share near one half is uncertain by more than 10 points."""
_NEEDED = f"{LEAST_OBJECTS} objects in {LEAST_PICTURES} pictures"
FLOOR = 0.5
"""Of precision and recall, with their 95 % intervals; guessing one of two reaches it."""
CLASS_OBJECTS, CLASS_RECALL = 20, 0.2
"""A class with at least so many objects must not be lost; of fewer nothing can be told."""
_NAMED = 3


def found_checks(metrics: AnyMetrics) -> Iterator[Check]:
    """Yield what must hold of what people see of the uint8 file."""
    row: Variant | None = metrics.variant("uint8_tflite")
    if row is None:
        return
    yield _size_check(row)
    score = f", score ≥ {metrics.thresholds.scores()}" if metrics.thresholds else ""
    yield _floor_check(RECALL, f"Recall: objects found{score}", row)
    yield _floor_check(PRECISION, f"Precision: shown boxes that are right{score}", row)
    yield _class_check(row)


def told_first(verdict: Verdict, row: Variant) -> Verdict:
    """Return the verdict; of a model that finds little, or was hardly tested, that comes first.

    A loss from float to uint8 says nothing of a model that finds nothing.
    """
    if row.recall is None:
        text = "It was not measured what people see at the threshold"
        return replace(verdict, tone=_worse(verdict.tone, "fair"), text=text)
    if row.recall <= FLOOR:
        text = f"uint8 finds {row.right:,} of {row.objects:,} objects at the score that people see"
        return replace(verdict, tone="bad", text=text)
    if _too_few(row):
        text = f"Too few to tell: {_tested(row)}; at least {_NEEDED} are needed"
        return replace(verdict, tone=_worse(verdict.tone, "fair"), text=text)
    return verdict


def _worse(tone: Tone, other: Tone) -> Tone:
    return min(tone, other, key=TONES.index)


def _too_few(row: Variant) -> bool:
    return (row.objects or 0) < LEAST_OBJECTS or row.pictures < LEAST_PICTURES


def _tested(row: Variant) -> str:
    return f"{row.objects or 0:,} objects in {row.pictures:,} pictures"


def shown_tile(metrics: AnyMetrics, before: Variant | None, after: Variant) -> Tile:
    """Return F1 of float beside that of uint8, with precision and recall of uint8."""
    tile = figure_tile(F1, before, after)
    score = f", score ≥ {metrics.thresholds.scores()}" if metrics.thresholds else ""
    note = ", ".join(f"{item.title} {item.text(after)}\u00a0%" for item in (PRECISION, RECALL))
    return Tile(f"{F1.title}{score}", tile.before, tile.after, tile.change, note)


def shown_titles() -> tuple[str, ...]:
    """Return the heads of the columns of :func:`shown_cells`."""
    return tuple(figure.header for figure in SHOWN)


def shown_cells(row: Variant) -> tuple[str, ...]:
    """Return what people see of one form of the model."""
    return tuple(figure.text(row) for figure in SHOWN)


def _size_check(row: Variant) -> Check:
    few = _too_few(row)
    return Check(
        "Test objects",
        f"at least {_NEEDED}",
        f"too few to tell: {_tested(row)}" if few else _tested(row),
        not few,
        "Annotate more test pictures, or move some of the training split there.",
    )


def _floor_check(figure: Figure, name: str, row: Variant) -> Check:
    value, bounds = figure.value(row), figure.interval(row)
    known = value is not None and bounds is not None
    return Check(
        name,
        f"more than {percent(FLOOR, 0)} %, with its 95 % interval",
        f"{figure.text(row)} % ({figure.between(row)})" if known else _nothing(row),
        value is not None and bounds is not None and min(value, bounds[0]) > FLOOR,
        _remedy(row, figure),
    )


def _nothing(row: Variant) -> str:
    return f"{NOT_MEASURED}: nothing is shown" if row.shown == 0 else NOT_MEASURED


def _remedy(row: Variant, figure: Figure) -> str:
    if row.shown is None:
        return EVALUATE_AGAIN
    if figure is RECALL or not row.shown:
        return (
            "Too little is found: look at “Where boxes go wrong”, train longer, annotate more, "
            "or lower predict.score_threshold."
        )
    return (
        "Too much that is shown is wrong: look at “Where boxes go wrong”, check the annotations, "
        "or raise predict.score_threshold."
    )


def _class_check(row: Variant) -> Check:
    told = {label: item for label, item in row.by_class.items() if _told(item)}
    lost = [label for label, item in told.items() if _recall(item) < CLASS_RECALL]
    worst = sorted(lost or told, key=lambda label: _recall(told[label]))[:_NAMED]
    names = ", ".join(f"{label} {told[label].right} of {told[label].objects}" for label in worst)
    untold = len(row.by_class) - len(told)
    few = f"; {untold} with fewer objects" if untold else ""
    return Check(
        f"Objects found of each class with at least {CLASS_OBJECTS}",
        f"at least {percent(CLASS_RECALL, 0)} % of each",
        f"lowest: {names}{few}" if told else "too few to tell: no class has so many",
        bool(told) and not lost,
        "Annotate more of the classes that are not found, or leave them out (data.classes)."
        if told
        else "",
    )


def _told(item: Counts) -> bool:
    return item.right is not None and (item.objects or 0) >= CLASS_OBJECTS


def _recall(item: Counts) -> float:
    return (item.right or 0) / (item.objects or 1)
