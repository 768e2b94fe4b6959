"""A run folder with small made-up result files, and a parser of the report made from it."""

from __future__ import annotations

import copy
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from quantdet.atomic import write_json
from quantdet.config import Config
from quantdet.report.html import write_report
from quantdet.runs import Run

HOSTILE = "<script>alert('x')</script>"
SHA256 = "ab" * 32


class Page(HTMLParser):
    """Tags, words, links, images and table cells of a page."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.tags, self.links, self.ids, self.images = [], [], [], []
        self.attributes, self.parts, self.rows, self._open = [], [], [], []
        self.feed(text)
        self.close()
        self.words = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.attributes += [key for key, _ in attrs]
        self.links += [values[key] for key in ("src", "href") if key in values]
        self.ids += [values["id"]] if "id" in values else []
        if tag == "img":
            self.images.append(values)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.parts.append(data)
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data.strip()

    def row(self, first):
        """Return the cells after the first of the only row that begins with ``first``."""
        (found,) = [row for row in self.rows if row and row[0] == first]
        return found[1:]

    @property
    def all_closed(self):
        return not self._open


def report(run):
    return Page(write_report(run).read_text("utf-8"))


def variant(name, accuracy=0.75, iou=0.5, size=3_000_000):
    return {
        "variant": name,
        "name": f"the {name}",
        "file": "x",
        "bytes": size,
        "pictures": 200,
        "class_accuracy": accuracy,
        "mean_iou": iou,
        "hit_share": 0.4,
        "ordered_share": 1.0,
    }


def latency(name, kernels, threads, milliseconds):
    return {
        "variant": name,
        "kernels": kernels,
        "threads": threads,
        "median_ms": milliseconds,
        "p90_ms": milliseconds + 1,
        "min_ms": milliseconds - 1,
        "runs": 40,
        "bytes": 1,
    }


_LAYERS = {
    "layers": 7,
    "values": 123_456,
    "identical": 0.9981234,
    "identical_exact": 0.9999999,
    "max_lsb": 1,
}
_KERNELS = {
    "kernels": "xnnpack",
    "same_class": 0.99,
    "identical": 0.6,
    "noise_lsb": 2.25,
    "max_lsb": 9.0,
    "class_accuracy": 0.745,
    "exact": {"identical": 0.99998, "noise_lsb": 0.001, "max_lsb": 1.0},
}
_METRICS = {
    "split": "test",
    "target": {"choose": "largest", "skip_difficult": True, "skip_truncated": False},
    "host": {"cpu": "Some CPU", "cores": 2, "system": "Some OS"},
    "variants": [
        variant("float_keras", size=10_900_000),
        variant("float_tflite", size=10_500_000),
        variant("ptq_tflite", 0.70, 0.49),
        variant("qat_keras", size=11_000_000),
        variant("uint8_tflite", 0.742, 0.505),
    ],
    "latency": [
        latency("float_tflite", "optimized", 1, 8.0),
        latency("float_tflite", "xnnpack", 1, 4.5),
        latency("uint8_tflite", "xnnpack", 2, 2.0),
        latency("uint8_tflite", "xnnpack", 1, 3.0),
    ],
    "operators": {"ADD": 10, "CONV_2D": 35},
    "parity": {
        "layers": {
            **_LAYERS,
            "worst_layer": {**_LAYERS, "layer": "block_2", "kind": "QuantConv2D"},
            "by_kind": {"QuantConv2D": _LAYERS},
        },
        "end_to_end": {
            "pictures": 16,
            "quantization_noise_lsb": 3.125,
            "kernels": [_KERNELS, {**_KERNELS, "kernels": "reference"}],
        },
        "skipped": {"tflite-micro": "not installed"},
    },
}


def made_up_metrics():
    return copy.deepcopy(_METRICS)


def history(losses):
    best = min(losses)
    rows = [
        {"epoch": number, "loss": loss / 2, "val_loss": loss, "seconds": 1.0}
        for number, loss in enumerate(losses, 1)
    ]
    best_epoch = losses.index(best) + 1
    return {"monitor": "val_loss", "best_epoch": best_epoch, "seconds": 3.0, "rows": rows}


def contract(file_sha256=SHA256):
    tensor = {"name": "t", "shape": [1, 4], "dtype": "uint8", "scale": 0.25, "zero_point": 7}
    return {
        "task": "localizer",
        "input": {"tensor": {**tensor, "shape": [1, 96, 96, 3]}, "size_hw": [96, 96]},
        "boxes": tensor,
        "scores": tensor,
        "decoder": {"kind": "single"},
        "labels": ["cat", HOSTILE],
        "sha256": file_sha256,
    }


def save_picture(path, size_hw=(30, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size_hw, 3), 200, np.uint8)).save(path)


def save_predictions(folder, names, model_sha256=SHA256):
    for name in names:
        save_picture(folder / name)
    found = [{"label": "cat", "score": 0.931, "box_xyxy": [0, 0, 9, 9]}]
    predictions = [{"drawn": name, "detections": found} for name in names]
    write_json(
        folder / "predictions.json", {"model_sha256": model_sha256, "predictions": predictions}
    )


def complete_run(root, metrics=None):
    """Write every result file of a finished run."""
    run = Run.create(root, Config())
    common = {"seconds": 12.0, "versions": {"python": "3.11", "quantdet": "0.1.0"}}
    identity = {
        "labels": ["cat", HOSTILE],
        "pictures": [1100, 22],
        "skipped": ["000042.jpg: truncated"],
        "weights": {"source": "weights.pth", "sha256": "cd" * 32},
    }
    run.record("train", {**common, "identity": identity, "data_fingerprint": "f1n9e7"})
    trained = {"kept": "calibrated", "loss_calibrated": 0.61, "loss_trained": 0.62}
    run.record("qat", {**common, **trained})
    run.record("export", {**common, "uint8": {"file": "model.tflite", "bytes": 3_000_000}})
    run.record("evaluate", {**common, "metrics": "metrics.json"})
    write_json(run.metrics_file, metrics or made_up_metrics())
    for folder in ("float/frozen", "float/finetune", "qat/finetune"):
        write_json(root / folder / "history.json", history([1.5, 1.125, 1.25]))
        save_picture(root / folder / "curves.png")
    write_json(run.export_dir / "model.contract.json", contract())
    run.model_file.write_bytes(b"12345")
    save_predictions(root / "predictions", ["one.jpg", "two.jpg"])
    return run
