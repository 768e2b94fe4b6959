"""What the report says of a detector of many objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantdet.config import Config
from quantdet.report.classes import class_section
from quantdet.report.metrics import (
    Bounds,
    DetectionMetrics,
    DetectionVariant,
    Difference,
    EndToEnd,
)
from quantdet.report.numbers import NOTHING, difference, megabytes, percent
from quantdet.report.tables import Cell, Table, kernel_table, row
from quantdet.report.verdict import (
    FLOATS,
    Check,
    Tile,
    Tone,
    Verdict,
    file_checks,
    size_and_speed,
)

# Largest loss from float to uint8, in points of VOC07 mAP.
KEEPS = 0.3
# End to end: least share of detections that a kernel set has in common with the simulation.
SAME_DETECTIONS = 0.9

_SENTENCES: dict[Tone, str] = {
    "good": "uint8 keeps the accuracy of float",
    "fair": "uint8 may lose a little accuracy",
    "bad": "uint8 loses accuracy",
}
_RULE = (
    f"“Keeps”: VOC07 mAP falls by at most {KEEPS} points. “May lose a little”: it falls by more, "
    "but the 95 % interval of the difference on the same pictures reaches 0."
)
_COCO = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar1": "AR1",
    "ar10": "AR10",
    "ar100": "AR100",
}


class DetectionView:
    """The view of models "ssd" and "ssdlite"."""

    template = "accuracy_detection"

    def architecture(self, config: Config) -> str:
        """Return what kind of detector it is."""
        return f"{config.model.name} ({config.model.anchors} anchors)"

    def asked(self, config: Config) -> str:
        """Return which objects the model learned."""
        return f"every object of a picture; {config.model.name} ignores the difficult ones"

    def verdict(self, metrics: DetectionMetrics) -> Verdict | None:
        """Return the headline, None unless both float and uint8 were measured."""
        after = metrics.variant("uint8_tflite")
        change = metrics.difference("uint8_tflite", *FLOATS)
        if after is None or change is None:
            return None
        tone = tone_of(change)
        text = f"{_SENTENCES[tone]}: VOC07 mAP {_change(change)}"
        return Verdict(tone, text, _RULE, _caution(metrics, after))

    def tiles(self, metrics: DetectionMetrics) -> list[Tile]:
        """Return accuracy, size and speed of uint8 beside float."""
        after, before = metrics.variant("uint8_tflite"), metrics.variant(*FLOATS)
        if after is None:
            return []
        return [
            _tile(
                "VOC07 mAP",
                before.map_voc07 if before else None,
                after.map_voc07,
                f"95 % interval {_range(after.map_voc07_interval)}",
            ),
            _tile("COCO AP", before.coco.get("ap") if before else None, after.coco.get("ap")),
            *size_and_speed(metrics, after),
        ]

    def checks(self, metrics: DetectionMetrics) -> list[Check]:
        """Return what must hold before a model is shipped, as far as it was measured."""
        found = [*_accuracy_checks(metrics), *file_checks(metrics)]
        return found + list(_kernel_checks(metrics.parity.end_to_end)) if metrics.parity else found

    def sections(self, metrics: DetectionMetrics) -> dict[str, Any]:
        """Return what the template of the accuracy section shows."""
        return {
            "table": accuracy_table(metrics),
            "coco": coco_table(metrics),
            "differences": difference_table(metrics) if metrics.differences else None,
            "objects": metrics.objects,
            "difficult": metrics.difficult,
        }

    def classes(self, metrics: DetectionMetrics) -> dict[str, Any]:
        """Return what the template of the classes shows: float and uint8, or what there is."""
        before, after = metrics.variant(*FLOATS), metrics.variant("uint8_tflite")
        shown = [item for item in (before, after) if item is not None] or [metrics.variants[-1]]
        return class_section([(item.name, item) for item in shown], class_table(shown))

    def kernels(self, whole: EndToEnd) -> Table:
        """Return every kernel set against fake-quantized Keras."""
        return kernel_table(
            whole,
            (
                ("same detections %", lambda item: item.same_detections),
                ("VOC07 mAP %", lambda item: item.map_voc07),
            ),
        )


def tone_of(change: Difference) -> Tone:
    """Return how bad a difference of VOC07 mAP is; a gain is good."""
    if round(100 * change.map_voc07, 2) >= -KEEPS:
        return "good"
    return "fair" if change.map_voc07_interval[1] >= 0 else "bad"


def accuracy_table(metrics: DetectionMetrics) -> Table:
    """Return the mean APs of every measured form of the model."""
    rows = []
    for item in metrics.variants:
        change = metrics.difference(item.variant, *FLOATS)
        points = (
            Cell(difference(100 * change.map_voc07), tone=tone_of(change))
            if change
            else Cell(NOTHING)
        )
        rows.append(
            row(
                item.name,
                percent(item.map_voc07),
                _range(item.map_voc07_interval),
                points,
                percent(item.map_voc10),
                _range(item.map_voc10_interval),
                megabytes(item.bytes),
                main=item.variant == "uint8_tflite",
            )
        )
    header = (
        "model",
        "VOC07 mAP %",
        "95 % interval",
        "change, points",
        "VOC10 mAP %",
        "95 % interval",
        "MB",
    )
    return Table("Mean average precision and size of every form of the model", header, tuple(rows))


def coco_table(metrics: DetectionMetrics) -> Table:
    """Return COCO's figures of every measured form of the model."""
    rows = [
        row(
            item.name,
            *(percent(item.coco.get(key)) for key in _COCO),
            main=item.variant == "uint8_tflite",
        )
        for item in metrics.variants
    ]
    return Table("COCO metrics, %", ("model", *_COCO.values()), tuple(rows))


def difference_table(metrics: DetectionMetrics) -> Table:
    """Return the differences of pairs of models on the same pictures."""
    names = {item.variant: item.name for item in metrics.variants}
    rows: list[Any] = []
    for number, item in enumerate(metrics.differences):
        group = number and metrics.differences[number - 1].against == item.against
        rows.append(
            row(
                Cell(names.get(item.against, item.against), tone="repeat" if group else ""),
                names.get(item.variant, item.variant),
                difference(100 * item.map_voc07),
                _signed(item.map_voc07_interval),
                difference(100 * item.map_voc10),
                _signed(item.map_voc10_interval),
                main=item.variant == "uint8_tflite",
                first=not group,
            )
        )
    header = (
        "against",
        "model",
        "VOC07 mAP, points",
        "95 % interval",
        "VOC10 mAP, points",
        "95 % interval",
    )
    return Table("Differences on the same pictures", header, tuple(rows), texts=2)


def class_table(shown: list[DetectionVariant]) -> Table:
    """Return VOC07 AP of each class, of one or two forms of the model and their difference."""
    rows = []
    for label, figures in shown[-1].per_class.items():
        values = [item.per_class[label].ap_voc07 for item in shown if label in item.per_class]
        cells = [Cell(percent(value)) for value in values[:-1]]
        cells.append(Cell(percent(values[-1]), bar=values[-1] or 0.0))
        if len(shown) > 1:
            known = [value for value in values if value is not None]
            change = difference(100 * (known[-1] - known[0])) if len(known) > 1 else NOTHING
            cells.append(Cell(change))
        rows.append(row(label, f"{figures.objects:,}", *cells))
    header = ["class", "objects", *(f"{item.name} %" for item in shown)]
    if len(shown) > 1:
        header.append("change, points")
    return Table("VOC07 AP of each class", tuple(header), tuple(rows))


def _tile(title: str, before: float | None, after: float | None, note: str = "") -> Tile:
    change = ""
    if before is not None and after is not None:
        change = f"{difference(100 * (after - before))} points"
    shown = f"{percent(before)} %" if before is not None else ""
    return Tile(title, shown, f"{percent(after)} %", change, note)


def _range(bounds: Bounds) -> str:
    return f"{percent(bounds[0])}–{percent(bounds[1])}"


def _signed(bounds: Bounds) -> str:
    return f"{difference(100 * bounds[0])} … {difference(100 * bounds[1])}"


def _change(item: Difference) -> str:
    return (
        f"{difference(100 * item.map_voc07)} points (95 % interval "
        f"{_signed(item.map_voc07_interval)})"
    )


def _caution(metrics: DetectionMetrics, after: DetectionVariant) -> str:
    return (
        f"Measured on {after.pictures:,} pictures with {metrics.objects:,} objects: uint8 has "
        f"an mAP of {_range(after.map_voc07_interval)} % (95 % interval). Float and uint8 saw the "
        "same pictures, so their difference is firmer than that."
    )


def _accuracy_checks(metrics: DetectionMetrics) -> Iterator[Check]:
    change = metrics.difference("uint8_tflite", *FLOATS)
    if change is not None:
        yield Check(
            "VOC07 mAP, float → uint8",
            f"falls by at most {KEEPS} points, or the interval reaches 0",
            _change(change),
            tone_of(change) != "bad",
        )
    change = metrics.difference("uint8_tflite", "ptq_tflite")
    if change is not None:
        yield Check(
            "VOC07 mAP, converter's PTQ → uint8",
            "does not fall, or the interval reaches 0",
            _change(change),
            change.map_voc07 >= 0 or change.map_voc07_interval[1] >= 0,
        )


def _kernel_checks(whole: EndToEnd) -> Iterator[Check]:
    same = [
        (item.same_detections, item.kernels)
        for item in whole.kernels
        if item.same_detections is not None
    ]
    if same:
        share, kernels = min(same)
        yield Check(
            "End to end: same detections as training simulated, every kernel set",
            f"at least {percent(SAME_DETECTIONS, 0)} %",
            f"{percent(share)} % ({kernels}, {whole.pictures} pictures)",
            share >= SAME_DETECTIONS,
        )
