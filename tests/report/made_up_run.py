"""A run folder with small made-up result files, and a parser of the report made from it."""

from __future__ import annotations

import copy
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from quantdet.config import Config
from quantdet.report.html import write_report
from quantdet.runs import Run
from quantdet.runtime.predictions import (
    FORMAT,
    PREDICTIONS_FILE,
    FoundObject,
    PredictionRecord,
    Predictions,
)
from quantdet.system.atomic import write_json
from tests.report.test_analysis import made_up as made_up_analysis

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
        self.drawings, self.regions, self.headings = [], 0, []
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
        if values.get("role") == "img":
            self.drawings.append(values)
        self.regions += values.get("role") == "region"
        if (tag == "h2" and "id" in values) or values.get("class") == "body":
            self.headings.append(values["id"])
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """An SVG element that closes itself."""
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

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


def shown(precision=0.9, recall=0.85, objects=200):
    """What people see: figures with intervals of 4 points to either side."""
    right = round(recall * objects)
    counts = {"objects": objects, "shown": round(right / precision), "right": right}
    figures = {"precision": precision, "recall": recall, "f1": 0.87}
    return {
        **counts,
        **figures,
        **{f"{name}_interval": [v - 0.04, min(v + 0.04, 1)] for name, v in figures.items()},
        "by_class": {
            "cat": {"objects": objects // 2, "shown": right // 2, "right": right // 2},
            HOSTILE: {"objects": 9, "shown": 4, "right": 1},
        },
    }


_SOUND = {
    "thresholds": {
        **{"score": 0.42, "chosen": "validation", "split": "val", "pictures": 80, "objects": 160},
        **{"precision": 0.91, "recall": 0.86, "f1": 0.88},
    },
    "data": {"unchanged": True, "in_training": 0, "in_validation": 0},
    "float_tensors": 0,
}
"""What metrics.json says of thresholds, data and tensors where nothing is wrong."""


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
        **shown(),
    }


def localizer_difference(accuracy=-0.008, iou=0.005, low=-0.015, high=0.015):
    return {
        **{"variant": "uint8_tflite", "against": "float_keras"},
        **{"class_accuracy": accuracy, "class_accuracy_interval": [low, high]},
        **{"mean_iou": iou, "mean_iou_interval": [low, high]},
    }


def latency(name, kernels, threads, milliseconds):
    return {
        "variant": name,
        "kernels": kernels,
        "threads": threads,
        "median_ms": milliseconds,
        "p90_ms": milliseconds + 1,
        "min_ms": 0.9 * milliseconds,
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
    **_SOUND,
    "differences": [localizer_difference()],
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
    found = FoundObject(label="cat", class_id=0, score=0.931, box_xyxy=(0, 0, 9, 9))
    records = [PredictionRecord(source=name, drawn=name, detections=(found,)) for name in names]
    Predictions(format=FORMAT, model_sha256=model_sha256, predictions=tuple(records)).save(
        folder / PREDICTIONS_FILE
    )


_PER_CLASS = {
    "cat": {"objects": 9, "ap_voc07": 0.9, "ap_voc10": 0.9, "precision": [1.0, 0.9, 0.5]},
    HOSTILE: {"objects": 4, "ap_voc07": 0.7, "ap_voc10": 0.7, "precision": [1.0, 0.6, 0.2]},
    "no objects": {"objects": 0, "ap_voc07": None, "ap_voc10": None, "precision": [None] * 3},
}


def detector_variant(name, map_voc07=0.8):
    return {
        **{"variant": name, "name": f"the {name}", "file": "x", "bytes": 3_000_000},
        **{"pictures": 200, "map_voc07": map_voc07, "map_voc07_interval": [0.75, 0.85]},
        **{"map_voc10": 0.81, "map_voc10_interval": [0.76, 0.86], "coco": {"ap": 0.5}},
        **shown(),
        "error_costs": {"localisation": 0.02, "class": 0.1, "missed": 0.0},
        "per_class": _PER_CLASS,
    }


def detector_metrics(after=0.799):
    """Metrics of a detector; the latency and operators of the localizer's."""
    change = {"map_voc07": after - 0.8, "map_voc07_interval": [-0.01, 0.01]}
    per_class = {"cat": {"ap_voc07": -0.02, "ap_voc07_interval": [-0.05, 0.01]}}
    return {
        **_SOUND,
        "task": "ssdlite",
        "split": "test",
        "host": _METRICS["host"],
        "objects": 13,
        "difficult": 2,
        "variants": [
            detector_variant("float_keras"),
            detector_variant("float_tflite"),
            detector_variant("ptq_tflite"),
            detector_variant("uint8_tflite", after),
        ],
        "differences": [
            {
                **{"variant": "uint8_tflite", "against": "float_keras", **change},
                **{"map_voc10": -0.001, "map_voc10_interval": [-0.01, 0.01]},
                "per_class": per_class,
            }
        ],
        "latency": _METRICS["latency"],
        "operators": _METRICS["operators"],
        "parity": {
            **_METRICS["parity"],
            "end_to_end": {
                **_METRICS["parity"]["end_to_end"],
                "kernels": [{**_KERNELS, "same_detections": 0.97, "map_voc07": 0.8}],
            },
        },
    }


def details(draws=(0.75, 0.8, 0.85), fingerprint="f00d"):
    errors = {"right": 9, "localisation": 1, "class": 2, "missed": 1}
    variant_details = {
        "errors": errors,
        "confusion": [[5, 2, 0], [0, 4, 2], [1, 0, 0]],
        "draws": {"map_voc07": list(draws), "map_voc10": list(draws)},
    }
    return {
        "test_fingerprint": fingerprint,
        "labels": ["cat", HOSTILE],
        "thresholds": {"cat": 0.4, HOSTILE: 0.5},
        "variants": {"float_keras": variant_details, "uint8_tflite": variant_details},
    }


_NPU = {"npu": "u55-128", "all": True, "inference_ms": 12.25, "cpu_operators": 0}


def verified(sha256=SHA256, status="passed"):
    measured = {"identical": 0.8, "identical_exact": 0.99999, "max_lsb": 3, "noise_lsb": 0.5}
    return {
        **{"version": 1, "model": "model.tflite", "sha256": sha256, "pictures": 50},
        "baseline": "fake-quantized Keras",
        "noise_of_quantization_lsb": 3.2,
        "targets": [
            {
                **{"target": "tflite-micro", "status": status, "version": "1.2", **measured},
                **{"same_detections": 0.98, "latency_ms": {"1": 4.125}},
                "details": {"arena_bytes": 123456, "operators": ["CONV_2D"], "npus": [_NPU]},
            },
            {"target": HOSTILE, "status": "skipped", "reason": "pip install something"},
        ],
    }


def data_facts():
    split = {
        **{"pictures": 20, "without_objects": 1, "objects": 30, "difficult": 3, "truncated": 6},
        **{"per_class": {"cat": 18, HOSTILE: 12}, "sides": [1, 9, 10, 10], "median_side": 0.4},
        "median_size_hw": [375, 500],
    }
    return {"labels": ["cat", HOSTILE], "splits": {"train": split, HOSTILE: split}}


def save_examples(run):
    """Write one picture of each group, in three columns."""
    cells = [{"file": f"01-{column}.jpg", "text": "cat"} for column in range(3)]
    for cell in cells:
        save_picture(run.examples_dir / cell["file"])
    groups = {"differ": "scores differ by 0.90 in all", "errors": "2 wrong, 1 missed", "spread": ""}
    pictures = [
        {"image_id": f"picture-{group}", "group": group, "note": note, "cells": cells}
        for group, note in groups.items()
    ]
    columns = ["annotated", "float Keras", "uint8 .tflite"]
    write_json(run.examples_dir / "examples.json", {"columns": columns, "pictures": pictures})


def complete_detector(root, after=0.799, draws=(0.75, 0.8, 0.85)):
    """Write every result file, those of the extra stages too."""
    run = complete_run(root, detector_metrics(after), Config.model_validate(_DETECTOR))
    write_json(run.details_file, details(draws))
    made_up_analysis(12).save(run.analysis_file)
    write_json(run.data_file, data_facts())
    write_json(run.verify_file, verified())
    save_examples(run)
    return run


_DETECTOR = {"model": {"name": "ssdlite", "input_size": 192}}


def complete_run(root, metrics=None, config=None):
    """Write every result file of a finished run."""
    run = Run.create(root, config or Config())
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
    write_json(run.export_dir / "model.contract.json", contract())
    run.model_file.write_bytes(b"12345")
    save_predictions(root / "predictions", ["one.jpg", "two.jpg"])
    return run
