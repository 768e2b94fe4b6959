"""``metrics.json`` as plain text."""

from __future__ import annotations

from quantdet.cli.tables import table
from quantdet.kinds import DETECTOR, KINDS, find_family
from quantdet.results.figures import COCO_AP, F1, FIGURES, SHOWN, VOC07, VOC10, FamilyFigures
from quantdet.results.metrics import AnyMetrics, DetectionMetrics, Parity, Variant
from quantdet.results.numbers import megabytes, percent, plain


def metrics_table(metrics: AnyMetrics) -> str:
    """Return the accuracy table of ``metrics.json``, with what belongs to it below."""
    figures = FIGURES[_family(metrics)]
    parts = [
        f"{metrics.variants[0].pictures} pictures of split {metrics.split!r}",
        _accuracy_text(metrics, figures),
        _shown_text(metrics),
        *_detection_texts(metrics),
        "" if metrics.parity is None else _parity_text(metrics.parity, figures),
    ]
    return "\n".join(part for part in parts if part)


def _family(metrics: AnyMetrics) -> str:
    """Return the family that was measured; a file made elsewhere is measured as a detector."""
    return find_family(metrics.task) if metrics.task in KINDS else DETECTOR


def _accuracy_text(metrics: AnyMetrics, figures: FamilyFigures) -> str:
    first, *rest = (*figures.headline, *figures.more)
    latency = {
        (row.variant, row.threads): row.median_ms
        for row in metrics.latency
        if row.kernels == "xnnpack"
    }

    def cells(row: Variant) -> tuple[str, ...]:
        return (
            row.name,
            first.text(row),
            first.between(row),
            *(figure.text(row) for figure in rest),
            megabytes(row.bytes),
            *(plain(latency.get((row.variant, threads)), 2) for threads in (1, 2)),
        )

    titles = (first.header, "95 % interval", *(figure.header for figure in rest))
    header = ("model", *titles, "MB", "ms, 1 thr", "ms, 2 thr")
    return table(header, [cells(row) for row in metrics.variants])


def _shown_text(metrics: AnyMetrics) -> str:
    """Return what people see at the threshold that they get."""
    thresholds = metrics.thresholds
    if thresholds is None:
        return ""
    rows = [
        (
            row.name,
            *(figure.text(row) for figure in SHOWN),
            F1.between(row),
            *(plain(count, 0) for count in (row.right, row.shown, row.objects)),
        )
        for row in metrics.variants
    ]
    titles = (*(figure.header for figure in SHOWN), "95 % interval", "right", "shown", "objects")
    head = f"\nat score {thresholds.scores()} ({thresholds.describe()}):\n"
    return head + table(("model", *titles), rows)


def _detection_texts(metrics: AnyMetrics) -> tuple[str, ...]:
    if not isinstance(metrics, DetectionMetrics):
        return ()
    return _classes_text(metrics), _differences_text(metrics), _per_class_text(metrics)


def _classes_text(metrics: DetectionMetrics) -> str:
    """Return which classes a file made elsewhere shares with the data."""
    classes = metrics.classes
    if classes is None:
        return ""
    text = f"mean over the {len(classes.shared)} classes that model and data share"
    if classes.model_lacks:
        whole = metrics.variants[0].over_all_classes
        shown = ", ".join(f"{item.title} {item.text(whole)}" for item in (VOC07, VOC10, COCO_AP))
        count = len(classes.shared) + len(classes.model_lacks)
        text += f"; the model lacks {', '.join(classes.model_lacks)}: "
        text += f"mean over all {count} classes {shown}"
    dropped = len(classes.data_lacks)
    return text + (f"; {dropped} labels that the data lack were left out" if dropped else "")


def _differences_text(metrics: DetectionMetrics) -> str:
    names = {row.variant: row.name for row in metrics.variants}
    rows = [
        (
            f"{names[row.variant]} against {names[row.against]}",
            VOC07.change(row.map_voc07),
            VOC07.changes(row.map_voc07_interval),
            VOC10.change(row.map_voc10),
        )
        for row in metrics.differences
    ]
    header = (
        *("difference on the same pictures, points", VOC07.title),
        *("95 % interval", VOC10.title),
    )
    return "\n" + table(header, rows) if rows else ""


def _per_class_text(metrics: DetectionMetrics) -> str:
    rows = [
        (
            label,
            str(figures.objects),
            *(percent(row.per_class[label].ap_voc07) for row in metrics.variants),
        )
        for label, figures in metrics.variants[0].per_class.items()
    ]
    header = ("VOC07 AP %", "objects", *(row.name for row in metrics.variants))
    return "\n" + table(header, rows) if rows else ""


def _parity_text(parity: Parity, figures: FamilyFigures) -> str:
    layers, whole = parity.layers, parity.end_to_end
    rows = [
        (
            row.kernels,
            percent(row.identical),
            plain(row.noise_lsb, 2),
            plain(row.max_lsb, 0),
            plain(row.exact.noise_lsb if row.exact else None, 4),
            *(figure.text(row) for figure in figures.kernels),
        )
        for row in whole.kernels
    ]
    titles = (figure.header for figure in figures.kernels)
    header = ("kernels", "identical %", "noise LSB", "max LSB", "exact, noise LSB", *titles)
    return (
        f"\nlayer by layer: {percent(layers.identical, 3)} % of {layers.values} integers "
        f"identical, {percent(layers.identical_exact, 4)} % with its rounding modelled, "
        f"largest difference {layers.max_lsb}\n"
        f"end to end, {whole.pictures} pictures (noise of quantization itself: "
        f"{whole.quantization_noise_lsb:.2f} LSB; exact: the kernels' rounding modelled)\n"
        + table(header, rows)
    )
