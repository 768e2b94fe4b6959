"""One self-contained HTML file about a run. Reads result files only, never models."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

from quantdet.atomic import write_text
from quantdet.errors import DependencyError
from quantdet.runs import Run

# Differences of class accuracy in points, float to uint8, for the verdict.
KEEPS, LOSES_A_LITTLE = 0.5, 2.0
_MOST_PICTURES = 12
_PICTURE_PX = 480

_STAGES = {
    "train": "quantdet train --data DATA --out {run}",
    "qat": "quantdet qat {run}",
    "export": "quantdet export {run} --format uint8 --format float32 --format int8-ptq",
    "evaluate": "quantdet evaluate {run}",
}
_CURVES = {
    "Head on the frozen backbone": "float/frozen/curves.png",
    "All layers, float": "float/finetune/curves.png",
    "Quantization-aware training": "qat/finetune/curves.png",
}


def write_report(run: Run) -> Path:
    """Write ``report.html`` into the run folder; what is missing is said in it.

    Raises:
        DependencyError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise DependencyError('the report needs jinja2: pip install "quantdet[train]"') from None
    environment = Environment(
        loader=PackageLoader("quantdet.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    write_text(run.report_file, template.render(**collect(run)))
    return run.report_file


def collect(run: Run) -> dict[str, Any]:
    """Return everything that the template shows."""
    manifest, metrics = run.manifest(), _read_json(run.metrics_file)
    variants = {row["variant"]: row for row in metrics.get("variants", [])}
    return {
        "name": run.root.resolve().name,
        "config": run.load_config().to_toml(),
        "manifest": manifest,
        "metrics": metrics,
        "variants": variants,
        "latency": _fastest(metrics.get("latency", [])),
        "verdict": verdict(variants),
        "missing": {
            stage: command.format(run=run.root.name)
            for stage, command in _STAGES.items()
            if stage not in manifest
        },
        "curves": [
            (title, _data_uri(run.root / file))
            for title, file in _CURVES.items()
            if (run.root / file).is_file()
        ],
        "pictures": _pictures(run),
    }


def verdict(variants: dict[str, Any]) -> dict[str, str] | None:
    """Return {"class", "text"}: what quantization did to the accuracy; None if not measured."""
    base, quantized = variants.get("float_keras"), variants.get("uint8_tflite")
    if base is None or quantized is None:
        return None
    change = 100 * (quantized["class_accuracy"] - base["class_accuracy"])
    box = quantized["mean_iou"] - base["mean_iou"]
    figures = f"class accuracy {change:+.1f} points, mean IoU {box:+.3f}"
    if change >= -KEEPS:
        return {"class": "good", "text": f"uint8 keeps the accuracy of float: {figures}"}
    if change >= -LOSES_A_LITTLE:
        return {"class": "fair", "text": f"uint8 loses a little: {figures}"}
    return {"class": "bad", "text": f"uint8 loses accuracy: {figures}"}


def _fastest(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return variant → lowest median in milliseconds over all settings."""
    best: dict[str, float] = {}
    for row in rows:
        best[row["variant"]] = min(row["median_ms"], best.get(row["variant"], float("inf")))
    return best


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def _data_uri(path: Path) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _pictures(run: Run) -> list[tuple[str, str]]:
    """Return (name, data URI) of drawn predictions in or beside the run folder, downscaled."""
    from PIL import Image

    for folder in (run.root / "predictions", run.root.parent / "predictions"):
        if folder.is_dir():
            files = sorted(p for p in folder.iterdir() if p.suffix in (".jpg", ".png"))
            break
    else:
        return []
    shown = []
    for path in files[:_MOST_PICTURES]:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
            small.thumbnail((_PICTURE_PX, _PICTURE_PX))
            memory = io.BytesIO()
            small.save(memory, "JPEG", quality=85)
        encoded = base64.b64encode(memory.getvalue()).decode()
        shown.append((path.name, f"data:image/jpeg;base64,{encoded}"))
    return shown
