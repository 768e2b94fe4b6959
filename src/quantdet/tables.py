"""Results as plain text tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an aligned text table; the first column is left-aligned, the others right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


Row = dict[str, Any]


@dataclass(frozen=True)
class _Columns:
    """What the tables of a task show: (title, value) of each model and of each kernel set."""

    accuracy: tuple[tuple[str, Callable[[Row], str]], ...]
    kernels: tuple[tuple[str, Callable[[Row], str]], ...]


_LOCALIZER = _Columns(
    accuracy=(
        ("class %", lambda row: _percent(row["class_accuracy"])),
        ("mean IoU", lambda row: f"{row['mean_iou']:.3f}"),
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
        ("95 % interval", lambda row: _interval(row["map_voc07_interval"])),
        ("COCO AP %", lambda row: _percent(row["coco"]["ap"])),
    ),
    kernels=(
        ("same detections %", lambda row: _percent(row["same_detections"])),
        ("VOC07 mAP %", lambda row: _percent(row["map_voc07"])),
    ),
)
_COLUMNS = {"localizer": _LOCALIZER, "ssd": _DETECTION, "ssdlite": _DETECTION}
"""metrics["task"] → its columns."""


def metrics_table(metrics: dict[str, Any]) -> str:
    """Return the accuracy table of ``metrics.json``, with parity figures below."""
    latency = {
        (row["variant"], row["threads"]): row["median_ms"]
        for row in metrics["latency"]
        if row["kernels"] == "xnnpack"
    }
    columns = _COLUMNS[metrics.get("task", "localizer")]
    rows = [
        (
            row["name"],
            *(value(row) for _, value in columns.accuracy),
            f"{row['bytes'] / 1e6:.2f}",
            _ms(latency.get((row["variant"], 1))),
            _ms(latency.get((row["variant"], 2))),
        )
        for row in metrics["variants"]
    ]
    titles = (title for title, _ in columns.accuracy)
    header = ("model", *titles, "MB", "ms, 1 thr", "ms, 2 thr")
    pictures = metrics["variants"][0]["pictures"]
    parts = [f"{pictures} pictures of split {metrics['split']!r}", table(header, rows)]
    if "parity" in metrics:
        parts.append(_parity_text(metrics["parity"], columns))
    return "\n".join(parts)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _interval(bounds: Sequence[float]) -> str:
    return f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _parity_text(parity: dict[str, Any], columns: _Columns) -> str:
    layers, whole = parity["layers"], parity["end_to_end"]
    rows = [
        (
            row["kernels"],
            f"{100 * row['identical']:.1f}",
            f"{row['noise_lsb']:.2f}",
            f"{row['max_lsb']:.0f}",
            *(value(row) for _, value in columns.kernels),
        )
        for row in whole["kernels"]
    ]
    header = ("kernels", "identical %", "noise LSB", "max LSB")
    return (
        f"\nlayer by layer: {100 * layers['identical']:.3f} % of {layers['values']} integers "
        f"identical, {100 * layers['identical_two_step']:.4f} % with LiteRT's two-step rounding, "
        f"largest difference {layers['max_lsb']}\n"
        f"end to end, {whole['pictures']} pictures (noise of quantization itself: "
        f"{whole['quantization_noise_lsb']:.2f} LSB)\n"
        + table((*header, *(title for title, _ in columns.kernels)), rows)
    )


def latency_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the latency table of ``quantdet benchmark``."""
    cells = [
        (
            row["kernels"],
            str(row["threads"]),
            f"{row['median_ms']:.2f}",
            f"{row['p90_ms']:.2f}",
            f"{row['min_ms']:.2f}",
        )
        for row in rows
    ]
    return table(("kernels", "threads", "median ms", "p90 ms", "min ms"), cells)


def check_table(result: dict[str, Any]) -> str:
    """Return splits and findings of ``quantdet data check``."""
    splits = table(
        ("split", "pictures", "annotated", "objects"),
        [
            (name, str(row["pictures"]), str(row["annotated"]), str(row["objects"]))
            for name, row in result["splits"].items()
        ],
    )
    findings = [
        f"{item['severity']}: {item['file']}: {item['message']} [{item['code']}]"
        for item in result["findings"]
    ]
    verdict = "training may go on" if result["ok"] else "training would stop; mend the errors"
    return "\n".join([splits, "", *findings, verdict])


def predictions_text(results: Sequence[Any]) -> str:
    """Return what ``quantdet predict`` found: a line per picture, many objects below it."""
    lines = []
    for result in results:
        where = result.source if result.frame is None else f"{result.source} #{result.frame}"
        if result.error:
            lines.append(f"{where}: not read: {result.error}")
            continue
        found = result.to_dict()["detections"]
        width = max((len(item["label"]) for item in found), default=0)
        objects = [
            f"{item['label']:<{width}} {100 * item['score']:3.0f} % at {item['box_xyxy']}"
            for item in found
        ]
        time = f"({result.inference_ms:.1f} ms)"
        if len(objects) > 1:
            lines += [f"{where}: {len(objects)} objects {time}", *(f"  {text}" for text in objects)]
        else:
            lines.append(f"{where}: {objects[0] if objects else 'nothing found'} {time}")
    return "\n".join(lines)


def models_text(found: Sequence[dict[str, Any]]) -> str:
    """Return the table of ``quantdet models``."""
    if not found:
        return "no model comes with this installation; make one with `quantdet run`"
    rows = [
        (
            item["name"],
            f"{item['size_hw'][0]}x{item['size_hw'][1]} {item['input']}",
            f"{item['bytes'] / 1e6:.2f}",
            str(len(item["labels"])),
        )
        for item in found
    ]
    parts = [table(("model", "input", "MB", "classes"), rows)]
    parts += [f"\n{item['name']}: {', '.join(item['labels'])}" for item in found]
    parts.append(f"\nuse: quantdet predict street.jpg --model {found[0]['name']}")
    return "\n".join(parts)
