"""What people read in a terminal, whole: every word, figure, sign and column.

`pytest --snapshot-update` writes the texts anew; look at their difference before you commit it.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from quantdet.boxes import as_boxes
from quantdet.cli.analysis_text import analysis_text
from quantdet.cli.data_text import check_text
from quantdet.cli.metrics_text import metrics_table
from quantdet.cli.patches_text import patches_text
from quantdet.cli.predictions_text import predictions_text
from quantdet.cli.tables import latency_table, models_text, settings_text
from quantdet.cli.verify_text import verify_table
from quantdet.config import Setting
from quantdet.data.check import CheckResult, SplitSummary
from quantdet.data.facts import ClassFacts
from quantdet.data.findings import Finding
from quantdet.detections import Detection, Detections
from quantdet.evaluate.latency import LatencyResult
from quantdet.kinds import DETECTOR, LOCALIZER
from quantdet.quant.patches.choose import Candidate
from quantdet.results.analysis import Analysis
from quantdet.results.metrics import METRICS
from quantdet.results.verification import Verification
from quantdet.runtime.predict import Prediction
from quantdet.stages.patches import FileCost, PatchedExport
from tests.report.made_up_run import detector_metrics, made_up_metrics, verified
from tests.report.test_analysis import made_up as made_up_analysis


def _detector():
    metrics = copy.deepcopy(detector_metrics(after=0.775))
    for row in metrics["variants"]:
        row["coco"] = {"ap": 0.5, "ap50": 0.8125, "ap75": 0.25}
    return metrics


def _foreign():
    """A file made elsewhere: fewer classes, no thresholds, no parity, kernels not modelled."""
    metrics = _detector()
    metrics["variants"] = metrics["variants"][-1:]
    metrics["variants"][0]["over_all_classes"] = {
        **{"map_voc07": 0.31, "map_voc07_interval": [0.28, 0.35]},
        **{"map_voc10": 0.32, "map_voc10_interval": [0.3, 0.36], "coco": {"ap": 0.2}},
    }
    metrics["classes"] = {
        "shared": ["cat", "dog"],
        "model_lacks": ["sofa", "tvmonitor"],
        "data_lacks": ["kite"],
    }
    return {**metrics, "differences": [], "thresholds": None, "parity": None}


def _foreign_subset():
    """The same with a name that is no kind of model, and no label beyond those of the data."""
    metrics = _foreign()
    metrics["classes"] = {"shared": ["cat", "dog"], "model_lacks": [], "data_lacks": []}
    return {**metrics, "task": "detector"}


def _not_modelled():
    metrics = made_up_metrics()
    for row in metrics["parity"]["end_to_end"]["kernels"]:
        row["exact"] = None
    return metrics


@pytest.mark.parametrize(
    ("family", "content"),
    [
        pytest.param(DETECTOR, _detector(), id="detector"),
        pytest.param(DETECTOR, _foreign(), id="foreign"),
        pytest.param(DETECTOR, _foreign_subset(), id="foreign_subset"),
        pytest.param(LOCALIZER, made_up_metrics(), id="localizer"),
        pytest.param(LOCALIZER, _not_modelled(), id="not_modelled"),
    ],
)
def test_metrics(snapshot, family, content):
    assert metrics_table(METRICS[family].model_validate(content)) == snapshot


def _found(*objects):
    """Return detections of (label, score) pairs."""
    labels = tuple(sorted({label for label, _ in objects}))
    return Detections(
        as_boxes([[1.25, 2, 30, 40.5]] * len(objects)),
        np.float32([score for _, score in objects]),
        np.int64([labels.index(label) for label, _ in objects]),
        labels,
    )


_NEAR = Detection("animal", 0, 0.1139, (0.0, 0.0, 1.0, 1.0))
_NEAREST = Detection("dog", 1, 0.99999, (0.0, 0.0, 1.0, 1.0))
_NEARER = Detection("dog", 1, 0.25, (0.0, 0.0, 1.0, 1.0))


@pytest.mark.parametrize(
    "results",
    [
        pytest.param(
            [
                Prediction("many.jpg", detections=_found(("dog", 0.9), ("cow", 0.555))),
                Prediction("one.jpg", detections=_found(("person", 0.5)), inference_ms=12.34),
                Prediction("bad.jpg", error="is truncated"),
                Prediction("v.mp4", frame=7, nearest=_NEAR),
                Prediction("v.mp4", frame=8, nearest=_NEARER),
                Prediction("white.jpg"),
            ],
            id="some of all",
        ),
        pytest.param([Prediction("bad.jpg", error="is truncated")], id="one and bad"),
        pytest.param([Prediction("white.jpg")], id="nothing at all"),
        pytest.param([], id="no picture"),
        pytest.param([Prediction("a.jpg", nearest=_NEAREST)], id="nearly"),
    ],
)
def test_predictions(snapshot, results):
    assert predictions_text(results) == snapshot


def test_latency(snapshot):
    rows = [
        LatencyResult("xnnpack", 1, 10.0, 11.125, 9.5, runs=50, bytes=1),
        LatencyResult("reference", 2, 1234.567, 2000.0, 1111.111, runs=50, bytes=1),
    ]
    assert latency_table(rows) == snapshot


@pytest.mark.parametrize("arena", [None, 300 * 1024 + 900], ids=["no arena", "arena"])
def test_patches(snapshot, arena):
    ordinary = FileCost(arena and 2 * arena, 600_000, 64, 40_040_000, 2.5)
    patched = FileCost(arena, 650_000, 128, 52_060_000, 3.125)
    made = PatchedExport((), Candidate(8, (3, 2), 52_060_000, 0), ordinary, patched)
    assert patches_text(made) == snapshot


def test_models(snapshot):
    known = {"name": "voc", "size_hw": (300, 320), "input": "uint8", "labels": ["cat", "dog"]}
    small = {**known, "name": "small", "size_hw": (96, 128), "labels": ["face"]}
    found = [{**known, "bytes": 4_160_000}, {**small, "bytes": 805_000}]
    assert models_text(found) == snapshot
    assert models_text([]) == snapshot(name="none")


def test_settings(snapshot):
    meaning = "How many pictures are seen before the weights move. " * 3
    settings = [
        Setting("train", "batch_size", 16, "default", meaning),
        Setting("train", "patience", None, "preset ssd", "Epochs without a better one."),
        Setting("predict", "class_thresholds", {"cat": 0.5, "größer": 1}, "--set", "Of classes."),
        Setting("predict", "labels", ["a", "b"], "file.toml", "Names."),
        Setting("predict", "empty", {}, "default", ""),
    ]
    assert settings_text(settings) == snapshot


@pytest.mark.parametrize("status", ["passed", "failed"])
def test_verification(snapshot, status):
    content = verified(status=status)
    accelerator = {
        **{"accelerator": "ethos-u55-128", "npu_operators": 60, "cpu_operators": 2},
        **{"inference_ms": 12.345, "sram_kib": 345.6, "dram_kib": 0.0, "flash_kib": 3999.5},
    }
    content["targets"][0]["details"]["accelerators"] = [accelerator, "no record"]
    content["same_after_quantization"] = 0.97654
    assert verify_table(Verification.build(content)) == snapshot
    bare = {**content, "noise_of_quantization_lsb": None, "targets": content["targets"][1:]}
    assert verify_table(Verification.build(bare)) == snapshot(name=f"bare {status}")


def test_analysis_of_two_outputs(snapshot):
    analysis = made_up_analysis(2, findings=()).model_dump(mode="json")
    analysis["outputs"] = {"boxes": 21.55, "scores": 33.0}
    analysis["layers"][0] |= {"clipped": 0.98765, "range_use": 1.0, "cosine": None}
    assert analysis_text(Analysis.model_validate(analysis)) == snapshot


@pytest.mark.parametrize("count", [3, 15, 16])
@pytest.mark.parametrize("shares", [True, False])
def test_analysis(snapshot, count, shares):
    analysis = made_up_analysis(count, shares, findings=("layer_1", "layer_2")[: count - 14])
    assert analysis_text(analysis) == snapshot
    assert analysis_text(analysis, all_layers=True) == snapshot(name=f"all {count} {shares}")


def _split(used, annotated, *counts, classes):
    return SplitSummary(used, counts[0], annotated, *counts[1:], classes)


def _check(names=("cat", "dog"), findings=()):
    """Return the result of a check: the first class twice as frequent as the second, and so on."""
    counts = {name: 40 // place for place, name in enumerate(names, 1)}
    splits = {
        "train": _split(True, True, 100, 98, 3, 150, 5, 20, classes=counts),
        "val": _split(True, True, 10, 10, 0, 12, 0, 1, classes=dict.fromkeys(names, 1)),
        "extra": _split(False, True, 7, 7, 7, 0, 0, 0, classes=dict.fromkeys(names, 0)),
        "test": _split(True, False, 50, 50, 0, 0, 0, 0, classes=dict.fromkeys(names, 0)),
    }
    sides = {"side_px": (10.0, 45.4, 99.6), "side_share": (0.1, 0.25, 0.5)}
    facts = {
        name: ClassFacts(objects=counts[name], **sides if place else dict.fromkeys(sides, ()))
        for place, name in enumerate(reversed(names))
    }
    return CheckResult(Path("data"), tuple(names), splits, facts, tuple(findings))


_WARNINGS = [
    Finding("warning", "out_of_picture", f"{number}.xml", "reaches 2 px out", "set data.clip")
    for number in range(4)
]
_ERRORS = [
    Finding("error", "broken_xml", "a.xml", "is not XML", "mend it", count=3),
    Finding("error", "broken_xml", "b.xml", "is empty"),
]


@pytest.mark.parametrize(
    ("result", "out"),
    [
        pytest.param(_check(), None, id="good"),
        pytest.param(_check(findings=_WARNINGS[:3]), None, id="three warnings"),
        pytest.param(_check(findings=_WARNINGS), None, id="warnings"),
        pytest.param(_check(findings=_WARNINGS + _ERRORS), Path("all.json"), id="errors"),
        pytest.param(_check([f"c{n}" for n in range(30)]), None, id="30 classes"),
        pytest.param(_check([f"c{n}" for n in range(31)]), None, id="31 classes"),
        pytest.param(_check(names=()), None, id="no class"),
    ],
)
def test_data_check(snapshot, result, out):
    assert check_text(result, 300, out) == snapshot
