"""What the report says of a single-object model."""

from __future__ import annotations

import math
from collections.abc import Iterator

from quantdet.config import Config
from quantdet.kinds import LOCALIZER
from quantdet.report.charts import Chart
from quantdet.report.found import found_checks, shown_cells, shown_tile, shown_titles, told_first
from quantdet.report.plots import difference_chart
from quantdet.report.tables import Cell, Table, row
from quantdet.report.verdict import (
    EVALUATE_AGAIN,
    FLOATS,
    NOT_MEASURED,
    REPORT_DEFECT,
    Change,
    Check,
    Tile,
    Verdict,
    accuracy_checks,
    accuracy_verdict,
    figure_tile,
    file_checks,
    size_and_speed,
    tone_of,
)
from quantdet.results.figures import CLASS_ACCURACY, FIGURES, HIT_SHARE, MEAN_IOU, Figure
from quantdet.results.metrics import EndToEnd, LocalizerMetrics, LocalizerVariant
from quantdet.results.numbers import NOTHING, megabytes, percent, plain

# Largest loss from float to uint8, in points of class accuracy and of 100 × mean IoU.
KEEPS = 0.5
# End to end, every kernel set against fake-quantized Keras.
SAME_CLASS, KERNEL_SPREAD = 0.98, 0.5


class LocalizerView:
    """The view of model "localizer"."""

    template = "accuracy_localizer"

    def architecture(self, config: Config) -> str:
        """Return what kind of localizer it is."""
        return f"{config.model.name} ({config.model.head} head)"

    def asked(self, config: Config) -> str:
        """Return which objects the model learned."""
        target = config.target
        kept = {True: "left out", False: "kept"}
        return (
            f"the {target.choose} of a picture; difficult ones are {kept[target.skip_difficult]}, "
            f"truncated ones {kept[target.skip_truncated]}; pictures with none left are not "
            "counted above"
        )

    def verdict(self, metrics: LocalizerMetrics) -> Verdict | None:
        """Return the headline, None unless both float and uint8 were measured."""
        before, after = metrics.variant(*FLOATS), metrics.variant("uint8_tflite")
        if before is None or after is None:
            return None
        verdict = accuracy_verdict(_changes(metrics, after), KEEPS, _caution(after))
        return told_first(verdict, after)

    def tiles(self, metrics: LocalizerMetrics) -> list[Tile]:
        """Return accuracy, box, size and speed of uint8 beside float."""
        after = metrics.variant("uint8_tflite")
        if after is None:
            return []
        before = metrics.variant(*FLOATS)
        return [
            shown_tile(metrics, before, after),
            *(figure_tile(figure, before, after) for figure in FIGURES[LOCALIZER].headline),
            *size_and_speed(metrics, after),
        ]

    def checks(self, metrics: LocalizerMetrics) -> list[Check]:
        """Return what must hold before a model is shipped."""
        whole = metrics.parity.end_to_end if metrics.parity else None
        return [
            *found_checks(metrics),
            *_accuracy_checks(metrics),
            *file_checks(metrics),
            *_kernel_checks(whole),
        ]

    def sections(self, metrics: LocalizerMetrics) -> dict[str, object]:
        """Return what the template of the accuracy section shows."""
        base = metrics.variant(*FLOATS) or metrics.variants[0]
        return {
            "table": accuracy_table(metrics),
            "charts": _charts(metrics),
            "thresholds": metrics.thresholds,
            "target": metrics.target,
            "base": base.name,
        }

    def classes(self, metrics: LocalizerMetrics) -> None:
        """Return nothing: figures of each class are not measured."""


def accuracy_table(metrics: LocalizerMetrics) -> Table:
    """Return every measured form of the model, differences against float beside."""
    base = metrics.variant(*FLOATS)
    rows = []
    for item in metrics.variants:
        changes = [Cell(NOTHING), Cell(NOTHING)]
        if base is not None and item is not base:
            changes = [
                Cell(change.figure.change(change.value), tone=tone_of(change, KEEPS))
                for change in _changes(metrics, item)
            ]
        rows.append(
            row(
                item.name,
                *shown_cells(item),
                CLASS_ACCURACY.text(item),
                changes[0],
                MEAN_IOU.text(item),
                changes[1],
                HIT_SHARE.text(item),
                megabytes(item.bytes),
                main=item.variant == "uint8_tflite",
            )
        )
    header = (
        *("model", *shown_titles(), CLASS_ACCURACY.header, "change, points"),
        *(MEAN_IOU.header, "change", HIT_SHARE.header, "MB"),
    )
    return Table("Accuracy and size of every form of the model", header, tuple(rows))


def _charts(metrics: LocalizerMetrics) -> list[Chart]:
    """Return the differences against float, a chart for each figure."""
    compared = [item for item in metrics.variants if metrics.difference(item.variant, *FLOATS)]
    changes = [(item.name, _changes(metrics, item)) for item in compared]
    found = (
        difference_chart([(name, both[number]) for name, both in changes], KEEPS)
        for number in range(len(FIGURES[LOCALIZER].headline))
    )
    return [chart for chart in found if chart is not None]


def half_interval(share: float, count: int) -> float:
    """Return half the 95 % interval of a share of ``count`` pictures (Wilson 1927)."""
    z = 1.96
    spread = math.sqrt(max(share * (1 - share), 0.0) / count + (z / (2 * count)) ** 2)
    return z * spread / (1 + z * z / count)


def _changes(metrics: LocalizerMetrics, after: LocalizerVariant) -> list[Change]:
    """Return class accuracy and mean IoU against float; earlier files know no intervals."""
    paired = metrics.difference(after.variant, *FLOATS)
    changes = []
    for figure in FIGURES[LOCALIZER].headline:
        told = figure.value(paired)
        value = _minus(figure, after, metrics) if told is None else told
        changes.append(Change(figure, value, figure.interval(paired)))
    return changes


def _minus(figure: Figure, after: LocalizerVariant, metrics: LocalizerMetrics) -> float:
    return (figure.value(after) or 0.0) - (figure.value(metrics.variant(*FLOATS)) or 0.0)


def _caution(row: LocalizerVariant) -> str:
    return (
        f"Measured on {row.pictures:,} pictures: one picture is "
        f"{plain(100 / row.pictures, 2)} points, and another draw of as many pictures could move a "
        f"class accuracy by ± {plain(100 * half_interval(row.class_accuracy, row.pictures), 1)} "
        "points (95 %). Float and uint8 saw the same pictures, so their difference is firmer than "
        "that."
    )


def _accuracy_checks(metrics: LocalizerMetrics) -> Iterator[Check]:
    before, after = metrics.variant(*FLOATS), metrics.variant("uint8_tflite")
    if after is None:
        return
    if before is not None:
        yield from accuracy_checks(_changes(metrics, after), KEEPS)
    ordered = after.ordered_share
    yield Check(
        "Boxes with left ≤ right and top ≤ bottom",
        "100 %",
        f"{percent(ordered)} %" if ordered is not None else NOT_MEASURED,
        ordered is not None and ordered >= 1,
        EVALUATE_AGAIN if ordered is None else REPORT_DEFECT,
    )


def _kernel_checks(whole: EndToEnd | None) -> Iterator[Check]:
    rows = whole.kernels if whole else ()
    remedy = "See Parity: which kernel set differs, and in which layer." if rows else EVALUATE_AGAIN
    pictures = f"{whole.pictures} pictures" if whole else ""
    same = [(item.same_class, item.kernels) for item in rows if item.same_class is not None]
    share, kernels = min(same, default=(0.0, ""))
    yield Check(
        "End to end: same class as training simulated, every kernel set",
        f"at least {percent(SAME_CLASS, 0)} % of pictures",
        f"{percent(share)} % ({kernels}, {pictures})" if same else NOT_MEASURED,
        len(same) == len(rows) > 0 and share >= SAME_CLASS,
        remedy,
    )
    right = [item.class_accuracy for item in rows if item.class_accuracy is not None]
    spread = round(100 * (max(right) - min(right)), 2) if right else None
    yield Check(
        "End to end: class accuracy of best and worst kernel set",
        f"at most {KERNEL_SPREAD} points apart",
        f"{plain(spread, 2)} points ({pictures})" if right else NOT_MEASURED,
        spread is not None and spread <= KERNEL_SPREAD,
        remedy,
    )
