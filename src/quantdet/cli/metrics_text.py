"""``metrics.json`` as plain text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quantdet.cli.tables import table
from quantdet.kinds import DEFAULT_KIND, DETECTOR, KINDS, LOCALIZER, find_family

Row = dict[str, Any]
_NOTHING = "–"


@dataclass(frozen=True)
class _Columns:
    """What the tables of a task show: (title, value) of each model and of each kernel set."""

    accuracy: tuple[tuple[str, Callable[[Row], str]], ...]
    kernels: tuple[tuple[str, Callable[[Row], str]], ...]


_LOCALIZER = _Columns(
    accuracy=(
        ("class %", lambda row: _percent(row["class_accuracy"])),
        ("mean IoU", lambda row: _number(row["mean_iou"], 3)),
        ("class+IoU≥.5 %", lambda row: _percent(row["hit_share"])),
    ),
    kernels=(
        ("same class %", lambda row: _percent(row["same_class"])),
        ("class %", lambda row: _percent(row["class_accuracy"])),
    ),
)
_DETECTION = _Columns(
    accuracy=(
        ("VOC07 mAP %", lambda row: _percent(row["map_voc07"])),
        ("95 % interval", lambda row: "–".join(map(_percent, row["map_voc07_interval"]))),
        ("VOC10 mAP %", lambda row: _percent(row["map_voc10"])),
        ("COCO AP %", lambda row: _percent(row["coco"]["ap"])),
        ("AP50 %", lambda row: _percent(row["coco"]["ap50"])),
        ("AP75 %", lambda row: _percent(row["coco"]["ap75"])),
    ),
    kernels=(
        ("same detections %", lambda row: _percent(row["same_detections"])),
        ("VOC07 mAP %", lambda row: _percent(row["map_voc07"])),
    ),
)
COLUMNS = {LOCALIZER: _LOCALIZER, DETECTOR: _DETECTION}
"""Family → its columns."""


def metrics_table(metrics: dict[str, Any]) -> str:
    """Return the accuracy table of ``metrics.json``, with what belongs to it below."""
    columns = COLUMNS[_family(metrics)]
    latency = {
        (row["variant"], row["threads"]): row["median_ms"]
        for row in metrics["latency"]
        if row["kernels"] == "xnnpack"
    }
    rows = [
        (
            row["name"],
            *(value(row) for _, value in columns.accuracy),
            f"{row['bytes'] / 1e6:.2f}",
            *(_number(latency.get((row["variant"], threads)), 2) for threads in (1, 2)),
        )
        for row in metrics["variants"]
    ]
    titles = (title for title, _ in columns.accuracy)
    pictures = metrics["variants"][0]["pictures"]
    parts = [
        f"{pictures} pictures of split {metrics['split']!r}",
        table(("model", *titles, "MB", "ms, 1 thr", "ms, 2 thr"), rows),
        _classes_text(metrics),
        _differences_text(metrics),
        _per_class_text(metrics),
        _parity_text(metrics["parity"], columns) if "parity" in metrics else "",
    ]
    return "\n".join(part for part in parts if part)


def _family(metrics: dict[str, Any]) -> str:
    """Return the family that was measured; a file made elsewhere is measured as a detector."""
    task = metrics.get("task", DEFAULT_KIND)
    return find_family(task) if task in KINDS else DETECTOR


def _classes_text(metrics: dict[str, Any]) -> str:
    """Return which classes a file made elsewhere shares with the data."""
    if "classes" not in metrics:
        return ""
    shared, lacks = metrics["classes"]["shared"], metrics["classes"]["model_lacks"]
    text = f"mean over the {len(shared)} classes that model and data share"
    if lacks:
        whole = metrics["variants"][0]["over_all_classes"]
        text += (
            f"; the model lacks {', '.join(lacks)}: mean over all {len(shared) + len(lacks)} "
            f"classes VOC07 {_percent(whole['map_voc07'])}, VOC10 {_percent(whole['map_voc10'])}, "
            f"COCO AP {_percent(whole['coco']['ap'])}"
        )
    dropped = len(metrics["classes"]["data_lacks"])
    return text + (f"; {dropped} labels that the data lack were left out" if dropped else "")


def _differences_text(metrics: dict[str, Any]) -> str:
    names = {row["variant"]: row["name"] for row in metrics["variants"]}
    rows = [
        (
            f"{names[row['variant']]} against {names[row['against']]}",
            _points(row["map_voc07"]),
            " … ".join(_points(end) for end in row["map_voc07_interval"]),
            _points(row["map_voc10"]),
        )
        for row in metrics.get("differences", ())
    ]
    header = ("difference on the same pictures, points", "VOC07 mAP", "95 % interval", "VOC10 mAP")
    return "\n" + table(header, rows) if rows else ""


def _per_class_text(metrics: dict[str, Any]) -> str:
    variants = metrics["variants"]
    rows = [
        (
            label,
            str(figures["objects"]),
            *(_percent(row["per_class"][label]["ap_voc07"]) for row in variants),
        )
        for label, figures in variants[0].get("per_class", {}).items()
    ]
    header = ("VOC07 AP %", "objects", *(row["name"] for row in variants))
    return "\n" + table(header, rows) if rows else ""


def _parity_text(parity: dict[str, Any], columns: _Columns) -> str:
    layers, whole = parity["layers"], parity["end_to_end"]
    rows = [
        (
            row["kernels"],
            _percent(row["identical"]),
            _number(row["noise_lsb"], 2),
            _number(row["max_lsb"], 0),
            _number(row.get("exact", {}).get("noise_lsb"), 4),
            *(value(row) for _, value in columns.kernels),
        )
        for row in whole["kernels"]
    ]
    titles = (title for title, _ in columns.kernels)
    header = ("kernels", "identical %", "noise LSB", "max LSB", "exact, noise LSB", *titles)
    return (
        f"\nlayer by layer: {100 * layers['identical']:.3f} % of {layers['values']} integers "
        f"identical, {100 * layers['identical_exact']:.4f} % with its rounding modelled, "
        f"largest difference {layers['max_lsb']}\n"
        f"end to end, {whole['pictures']} pictures (noise of quantization itself: "
        f"{whole['quantization_noise_lsb']:.2f} LSB; exact: the kernels' rounding modelled)\n"
        + table(header, rows)
    )


def _percent(share: float | None) -> str:
    return _NOTHING if share is None else f"{100 * share:.1f}"


def _points(share: float | None) -> str:
    return _NOTHING if share is None else f"{100 * share:+.2f}"


def _number(value: float | None, digits: int) -> str:
    return _NOTHING if value is None else f"{value:.{digits}f}"
