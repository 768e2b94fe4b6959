"""What the report says of a detector of many objects."""

from __future__ import annotations

from collections.abc import Iterator

from quantdet.config import Config
from quantdet.report.classes import class_section
from quantdet.report.found import found_checks, shown_cells, shown_tile, shown_titles, told_first
from quantdet.report.plots import difference_chart
from quantdet.report.tables import Cell, Row, Table, row
from quantdet.report.verdict import (
    EVALUATE_AGAIN,
    FLOATS,
    NOT_MEASURED,
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
from quantdet.results.figures import COCO, COCO_AP, VOC07, VOC10
from quantdet.results.metrics import (
    Counts,
    DetectionDifference,
    DetectionMetrics,
    DetectionVariant,
    EndToEnd,
)
from quantdet.results.numbers import NOTHING, difference, megabytes, percent

# Largest loss from float to uint8, in points of VOC07 mAP.
KEEPS = 0.3
# End to end: least share of detections that a kernel set has in common with the simulation.
SAME_DETECTIONS = 0.9


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
        verdict = accuracy_verdict([_change(change)], KEEPS, _caution(metrics, after))
        return told_first(verdict, after)

    def tiles(self, metrics: DetectionMetrics) -> list[Tile]:
        """Return accuracy, size and speed of uint8 beside float."""
        after, before = metrics.variant("uint8_tflite"), metrics.variant(*FLOATS)
        if after is None:
            return []
        return [
            shown_tile(metrics, before, after),
            figure_tile(VOC07, before, after),
            figure_tile(COCO_AP, before, after),
            *size_and_speed(metrics, after),
        ]

    def checks(self, metrics: DetectionMetrics) -> list[Check]:
        """Return what must hold before a model is shipped."""
        whole = metrics.parity.end_to_end if metrics.parity else None
        return [
            *found_checks(metrics),
            *_accuracy_checks(metrics),
            *file_checks(metrics),
            _kernel_check(whole),
        ]

    def sections(self, metrics: DetectionMetrics) -> dict[str, object]:
        """Return what the template of the accuracy section shows."""
        return {
            "table": accuracy_table(metrics),
            "coco": coco_table(metrics),
            "differences": difference_table(metrics) if metrics.differences else None,
            "chart": difference_chart(_against_float(metrics), KEEPS),
            "thresholds": metrics.thresholds,
            "objects": metrics.objects,
            "difficult": metrics.difficult,
        }

    def classes(self, metrics: DetectionMetrics) -> dict[str, object]:
        """Return what the template of the classes shows: float and uint8, or what there is."""
        before, after = metrics.variant(*FLOATS), metrics.variant("uint8_tflite")
        shown = [item for item in (before, after) if item is not None] or [metrics.variants[-1]]
        paired = metrics.difference("uint8_tflite", *FLOATS)
        changes = paired.per_class if paired and len(shown) > 1 else None
        return class_section([(item.name, item) for item in shown], class_table(shown), changes)


def accuracy_table(metrics: DetectionMetrics) -> Table:
    """Return the mean APs of every measured form of the model."""
    rows = []
    for item in metrics.variants:
        change = metrics.difference(item.variant, *FLOATS)
        points = (
            Cell(VOC07.change(change.map_voc07), tone=tone_of(_change(change), KEEPS))
            if change
            else Cell(NOTHING)
        )
        rows.append(
            row(
                item.name,
                *shown_cells(item),
                VOC07.text(item),
                VOC07.between(item),
                points,
                VOC10.text(item),
                VOC10.between(item),
                megabytes(item.bytes),
                main=item.variant == "uint8_tflite",
            )
        )
    header = (
        *("model", *shown_titles(), VOC07.header, "95 % interval", "change, points"),
        *(VOC10.header, "95 % interval", "MB"),
    )
    return Table("Mean average precision and size of every form of the model", header, tuple(rows))


def coco_table(metrics: DetectionMetrics) -> Table:
    """Return COCO's figures of every measured form of the model."""
    rows = [
        row(
            item.name,
            *(figure.text(item) for figure in COCO),
            main=item.variant == "uint8_tflite",
        )
        for item in metrics.variants
    ]
    titles = (figure.title for figure in COCO)
    return Table("COCO metrics, %", ("model", *titles), tuple(rows))


def difference_table(metrics: DetectionMetrics) -> Table:
    """Return the differences of pairs of models on the same pictures."""
    names = {item.variant: item.name for item in metrics.variants}
    rows: list[Row] = []
    for number, item in enumerate(metrics.differences):
        group = number and metrics.differences[number - 1].against == item.against
        rows.append(
            row(
                Cell(names.get(item.against, item.against), tone="repeat" if group else ""),
                names.get(item.variant, item.variant),
                VOC07.change(item.map_voc07),
                VOC07.changes(item.map_voc07_interval),
                VOC10.change(item.map_voc10),
                VOC10.changes(item.map_voc10_interval),
                main=item.variant == "uint8_tflite",
                first=not group,
            )
        )
    header = (
        *("against", "model"),
        *(f"{VOC07.title}, points", "95 % interval"),
        *(f"{VOC10.title}, points", "95 % interval"),
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
        counts = shown[-1].by_class.get(label)
        cells += [Cell(_of(counts, "objects")), Cell(_of(counts, "shown"))]
        rows.append(row(label, f"{figures.objects:,}", *cells))
    header = ["class", "objects", *(f"{item.name} %" for item in shown)]
    if len(shown) > 1:
        header.append("change, points")
    header += [f"recall of {shown[-1].name} %", "precision %"]
    return Table("VOC07 AP of each class", tuple(header), tuple(rows))


def _change(item: DetectionDifference) -> Change:
    return Change(VOC07, item.map_voc07, item.map_voc07_interval)


def _of(counts: Counts | None, whole: str) -> str:
    """Return the share of right ones of what is shown, or of the objects."""
    number = getattr(counts, whole, None)
    return percent((counts.right or 0) / number) if counts and number else NOTHING


def _against_float(metrics: DetectionMetrics) -> list[tuple[str, Change]]:
    found = ((item.name, metrics.difference(item.variant, *FLOATS)) for item in metrics.variants)
    return [(name, _change(change)) for name, change in found if change is not None]


def _caution(metrics: DetectionMetrics, after: DetectionVariant) -> str:
    return (
        f"Measured on {after.pictures:,} pictures with {metrics.objects:,} objects: uint8 has "
        f"an mAP of {VOC07.between(after)} % (95 % interval). Float and uint8 saw the "
        "same pictures, so their difference is firmer than that."
    )


def _accuracy_checks(metrics: DetectionMetrics) -> Iterator[Check]:
    change = metrics.difference("uint8_tflite", *FLOATS)
    if change is not None:
        yield from accuracy_checks([_change(change)], KEEPS)
    change = metrics.difference("uint8_tflite", "ptq_tflite")
    if change is not None:
        yield Check(
            f"{VOC07.title}, converter's PTQ → uint8",
            "does not fall, or the interval reaches 0",
            _change(change).text(),
            change.map_voc07 >= 0 or change.map_voc07_interval[1] >= 0,
            "Ship the converter's file, or train the quantized model longer (qat.epochs).",
        )


def _kernel_check(whole: EndToEnd | None) -> Check:
    rows = whole.kernels if whole else ()
    known = [
        (item.same_detections, item.kernels) for item in rows if item.same_detections is not None
    ]
    share, kernels = min(known, default=(0.0, ""))
    nothing = "no kernel set shows a box, so there is nothing to compare" if rows else NOT_MEASURED
    return Check(
        "End to end: same detections as training simulated, every kernel set",
        f"at least {percent(SAME_DETECTIONS, 0)} %",
        f"{percent(share)} % ({kernels}, {whole.pictures} pictures)"
        if whole and known
        else nothing,
        len(known) == len(rows) > 0 and share >= SAME_DETECTIONS,
        "See Parity: which kernel set differs, and in which layer." if rows else EVALUATE_AGAIN,
    )
