"""What the report says of a single-object model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from quantdet.config import Config
from quantdet.kinds import LOCALIZER
from quantdet.report.tables import Cell, Table, row
from quantdet.report.verdict import (
    FLOATS,
    Check,
    Tile,
    Tone,
    Verdict,
    figure_tile,
    file_checks,
    size_and_speed,
)
from quantdet.results.figures import CLASS_ACCURACY, FIGURES, HIT_SHARE, MEAN_IOU
from quantdet.results.metrics import EndToEnd, LocalizerMetrics, LocalizerVariant
from quantdet.results.numbers import NOTHING, difference, megabytes, percent, plain

# Largest loss from float to uint8, in points of class accuracy and of 100 × mean IoU.
KEEPS, LOSES_A_LITTLE = 0.5, 2.0
# End to end, every kernel set against fake-quantized Keras.
SAME_CLASS, KERNEL_SPREAD = 0.98, 0.5

_SENTENCES: dict[Tone, str] = {
    "good": "uint8 keeps the accuracy of float",
    "fair": "uint8 loses a little accuracy",
    "bad": "uint8 loses accuracy",
}
_RULE = (
    "“Keeps”: neither class accuracy nor 100 × mean IoU falls by more than "
    f"{KEEPS} points. “Loses a little”: by no more than {LOSES_A_LITTLE:g}."
)


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
        changes = _changes(before, after)
        tone = tone_of(min(changes))
        text = (
            f"{_SENTENCES[tone]}: class accuracy {difference(changes[0])} points, "
            f"mean IoU {difference(changes[1] / 100, 3)}"
        )
        return Verdict(tone, text, _RULE, _caution(after))

    def tiles(self, metrics: LocalizerMetrics) -> list[Tile]:
        """Return accuracy, box, size and speed of uint8 beside float."""
        after = metrics.variant("uint8_tflite")
        if after is None:
            return []
        before = metrics.variant(*FLOATS)
        return [
            *(figure_tile(figure, before, after) for figure in FIGURES[LOCALIZER].headline),
            *size_and_speed(metrics, after),
        ]

    def checks(self, metrics: LocalizerMetrics) -> list[Check]:
        """Return what must hold before a model is shipped, as far as it was measured."""
        found = [*_accuracy_checks(metrics), *file_checks(metrics)]
        return found + list(_kernel_checks(metrics.parity.end_to_end)) if metrics.parity else found

    def sections(self, metrics: LocalizerMetrics) -> dict[str, Any]:
        """Return what the template of the accuracy section shows."""
        base = metrics.variant(*FLOATS) or metrics.variants[0]
        return {"table": accuracy_table(metrics), "target": metrics.target, "base": base.name}

    def classes(self, metrics: LocalizerMetrics) -> None:
        """Return nothing: figures of each class are not measured."""


def tone_of(change: float) -> Tone:
    """Return how bad a change in points is; a gain is good."""
    if change >= -KEEPS:
        return "good"
    return "fair" if change >= -LOSES_A_LITTLE else "bad"


def accuracy_table(metrics: LocalizerMetrics) -> Table:
    """Return every measured form of the model, differences against float beside."""
    base = metrics.variant(*FLOATS)
    rows = []
    for item in metrics.variants:
        changes = [Cell(NOTHING), Cell(NOTHING)]
        if base is not None and item is not base:
            points, overlap = _changes(base, item)
            changes = [
                Cell(difference(points), tone=tone_of(points)),
                Cell(difference(overlap / 100, 3), tone=tone_of(overlap)),
            ]
        rows.append(
            row(
                item.name,
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
        *("model", CLASS_ACCURACY.header, "change, points"),
        *(MEAN_IOU.header, "change", HIT_SHARE.header, "MB"),
    )
    return Table("Accuracy and size of every form of the model", header, tuple(rows))


def half_interval(share: float, count: int) -> float:
    """Return half the 95 % interval of a share of ``count`` pictures (Wilson 1927)."""
    z = 1.96
    spread = math.sqrt(max(share * (1 - share), 0.0) / count + (z / (2 * count)) ** 2)
    return z * spread / (1 + z * z / count)


def _changes(before: LocalizerVariant, after: LocalizerVariant) -> tuple[float, float]:
    """Return (class accuracy, mean IoU) in points, rounded as they are printed."""
    return (
        round(100 * (after.class_accuracy - before.class_accuracy), 2),
        round(100 * (after.mean_iou - before.mean_iou), 2),
    )


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
        names = ("Class accuracy, float → uint8", "Mean IoU × 100, float → uint8")
        for name, change in zip(names, _changes(before, after), strict=True):
            measured = f"{difference(change)} points"
            yield Check(name, f"falls by at most {KEEPS} points", measured, change >= -KEEPS)
    if after.ordered_share is not None:
        yield Check(
            "Boxes with left ≤ right and top ≤ bottom",
            "100 %",
            f"{percent(after.ordered_share)} %",
            after.ordered_share >= 1,
        )


def _kernel_checks(whole: EndToEnd) -> Iterator[Check]:
    same = [
        (item.same_class, item.kernels) for item in whole.kernels if item.same_class is not None
    ]
    if same:
        share, kernels = min(same)
        yield Check(
            "End to end: same class as training simulated, every kernel set",
            f"at least {percent(SAME_CLASS, 0)} % of pictures",
            f"{percent(share)} % ({kernels}, {whole.pictures} pictures)",
            share >= SAME_CLASS,
        )
    accuracies = [item.class_accuracy for item in whole.kernels if item.class_accuracy is not None]
    if len(accuracies) > 1:
        spread = round(100 * (max(accuracies) - min(accuracies)), 2)
        yield Check(
            "End to end: class accuracy of best and worst kernel set",
            f"at most {KERNEL_SPREAD} points apart",
            f"{plain(spread, 2)} points ({whole.pictures} pictures)",
            spread <= KERNEL_SPREAD,
        )
