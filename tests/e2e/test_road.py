"""The whole road on the command line: folder → float → QAT → uint8 → measured → boxes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from quantdet.quant.litert_file import read_litert
from quantdet.runtime.detector import Detector
from tests.e2e.conftest import quantdet, quantdet_here, settings


def test_run_folder_is_complete(finished):
    for name in (
        "config.toml",
        "manifest.json",
        "metrics.json",
        "report.html",
        "float/model.keras",
        "qat/model.keras",
        "export/model.tflite",
        "export/model.contract.json",
    ):
        assert (finished / name).is_file(), name
    leftovers = [p for p in finished.rglob(".*") if p.is_file()]
    assert leftovers == []


def test_metrics_cover_every_variant(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    names = [row["variant"] for row in metrics["variants"]]
    assert names == ["float_keras", "float_tflite", "ptq_tflite", "qat_keras", "uint8_tflite"]
    by_name = {row["variant"]: row for row in metrics["variants"]}
    assert all(row["ordered_share"] == 1.0 for row in metrics["variants"])
    # Same pixels, same decoder: the float file answers as float Keras does.
    for key in ("class_accuracy", "mean_iou"):
        assert by_name["float_tflite"][key] == pytest.approx(by_name["float_keras"][key], abs=1e-3)
    layers = metrics["parity"]["layers"]
    assert layers["identical_exact"] == 1.0
    assert layers["max_lsb"] <= 1
    kernels = {row["kernels"]: row for row in metrics["parity"]["end_to_end"]["kernels"]}
    assert kernels.keys() >= {"reference", "xnnpack", "tflite-micro"}
    for row in kernels.values():
        assert row["exact"]["identical"] == 1.0, row


def test_file_is_integer_from_end_to_end(finished):
    file = read_litert(finished / "export" / "model.tflite")
    assert not [t.name for t in file.tensors if "float" in t.dtype]
    assert {file.tensors[i].dtype for i in (*file.inputs.values(), *file.outputs.values())} == {
        "uint8"
    }


def test_prediction_equals_evaluation_pixels(finished, scenes):
    """One decoder and one resize kernel: predict sees what the evaluator saw."""
    from quantdet.data.cache import build_cache
    from quantdet.data.dataset import load_dataset

    samples = load_dataset(scenes, splits=("test",)).splits["test"]
    detector = Detector(finished, threshold=0.0)
    size = detector.contract.input.size_hw
    cache = build_cache(samples, size, finished / "cache")
    for pixels, sample in zip(cache.images, cache.samples, strict=True):
        a = detector.detect_pixels(np.array(pixels), sample.size_hw)
        b = detector.predict(sample.image_path)
        np.testing.assert_array_equal(a.boxes_xyxy, b.boxes_xyxy)
        np.testing.assert_array_equal(a.scores, b.scores)


def test_predict_writes_pictures_and_json(finished, scenes, tmp_path):
    pictures = sorted((scenes / "JPEGImages").glob("*.jpg"))[:2]
    done = quantdet(
        "predict", finished, *pictures, "--out", tmp_path / "p", "--threshold", 0, "--json", check=0
    )
    answers = json.loads(done.stdout)
    assert len(answers) == 2
    for answer in answers:
        assert answer["detections"][0]["label"]
        drawn = Image.open(tmp_path / "p" / answer["drawn"])
        assert drawn.size == Image.open(pictures[0]).size


def test_stages_again_change_nothing(finished):
    before = (finished / "qat" / "model.keras").read_bytes()
    quantdet_here("qat", finished, check=0)
    assert (finished / "qat" / "model.keras").read_bytes() == before


def test_benchmark_and_other_formats(finished):
    done = quantdet_here(
        "benchmark", finished / "export/model.tflite", "--runs", 3, "--json", check=0
    )
    rows = json.loads(done.stdout)
    assert {(row["kernels"], row["threads"]) for row in rows} >= {("xnnpack", 1), ("optimized", 2)}
    quantdet_here("export", finished, "--format", "int8", "--format", "float16", check=0)
    assert read_litert(finished / "export/model-int8.tflite").tensors


def test_single_file_is_enough(finished, scenes, tmp_path):
    lone = tmp_path / "lone.tflite"
    lone.write_bytes((finished / "export/model.tflite").read_bytes())
    picture = next((scenes / "JPEGImages").glob("*.jpg"))
    answers = []
    for model in (finished, lone):
        done = quantdet(
            "predict", model, picture, "--out", tmp_path, "--threshold", 0, "--json", check=0
        )
        (answer,) = json.loads(done.stdout)
        answers.append(answer["detections"])
    assert answers[0] == answers[1]


def test_formats_made_from_the_file(finished, tmp_path):
    formats = ("--format", "labels", "--format", "c-array")
    quantdet("export", finished, *formats, check=0)
    quantdet("export", finished / "export/model.tflite", *formats, "--out", tmp_path, check=0)
    for name in ("model.labels.txt", "model.h", "model.c", "quantdet_model.h"):
        assert (tmp_path / name).read_bytes() == (finished / "export" / name).read_bytes()


def test_other_settings_in_the_same_folder_are_refused(finished, scenes):
    wider = settings("model.width=0.5")
    done = quantdet_here("train", "--data", scenes, "--out", finished, *wider, check=2)
    assert "another" in done.stderr
    assert "--out" in done.stderr
