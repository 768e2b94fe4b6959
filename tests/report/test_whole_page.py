"""The whole page: every word, figure, sign, tone and link, without drawings.

`pytest --snapshot-update` writes the pages anew; look at their difference before you commit it.
"""

from __future__ import annotations

import re

import pytest

from quantdet import __version__
from quantdet.config import Config
from quantdet.report.compare import write_comparison
from quantdet.report.html import write_report
from tests.report.made_up_run import (
    complete_detector,
    complete_run,
    detector_metrics,
    made_up_metrics,
)

_LEFT_OUT = re.compile(r"<style>.*?</style>|<svg.*?</svg>|data:image/[^\"]*|<head>.*?</head>", re.S)


def page(text, folder):
    """Return the body of a page, a tag a line, without what depends on the machine or the day."""
    text = _LEFT_OUT.sub("", text).replace(str(folder), "RUNS")
    text = re.sub(r"\d{4}-\d\d-\d\d( [\d:]+)?", "DATE", text)
    text = text.replace(f"=={__version__}", "==VERSION")
    lines = (
        re.sub(r"\s+", " ", line).strip() for line in re.split(r"(?=<(?:tr|p|li|h\d)\b)", text)
    )
    return "\n".join(filter(None, lines))


def _poor_detector():
    """Worse than float and than PTQ, few boxes, other pictures than at training."""
    metrics = detector_metrics(after=0.7)
    metrics["differences"][0]["map_voc07_interval"] = [-0.15, -0.05]
    worse = {"variant": "uint8_tflite", "against": "ptq_tflite", "per_class": {}}
    intervals = {"map_voc07_interval": [-0.15, -0.02], "map_voc10_interval": [-0.2, -0.01]}
    metrics["differences"].append({**worse, "map_voc07": -0.1, "map_voc10": -0.1, **intervals})
    metrics["variants"][-1] |= {"recall": 0.2, "recall_interval": [0.1, 0.3], "right": 40}
    metrics["data"] = {"unchanged": False, "in_training": 3, "in_validation": 2}
    metrics["float_tensors"] = 4
    return metrics


def _poor_localizer():
    metrics = made_up_metrics()
    metrics["differences"][0] |= {"class_accuracy": -0.03, "mean_iou": -0.02}
    metrics["differences"][0]["class_accuracy_interval"] = [-0.05, -0.01]
    metrics["differences"][0]["mean_iou_interval"] = [-0.04, -0.005]
    metrics["thresholds"] = None
    for row in metrics["parity"]["end_to_end"]["kernels"]:
        row |= {"same_class": 0.5, "class_accuracy": 0.7, "exact": None}
    metrics["parity"]["layers"] |= {"identical_exact": 0.9, "max_lsb": 7}
    return metrics


_DETECTOR = {"model": {"name": "ssdlite", "input_size": 192}}


@pytest.mark.parametrize(
    ("metrics", "config"),
    [
        pytest.param(None, {}, id="localizer"),
        pytest.param(_poor_localizer(), {}, id="poor localizer"),
        pytest.param(_poor_detector(), _DETECTOR, id="poor detector"),
    ],
)
def test_run(snapshot, tmp_path, metrics, config):
    run = complete_run(tmp_path / "voc", metrics, Config.model_validate(config))
    assert page(write_report(run).read_text("utf-8"), tmp_path) == snapshot


def test_without_boxes_or_float(snapshot, tmp_path):
    """No kernel set shows a box; float was not measured."""
    metrics = detector_metrics()
    for row in metrics["parity"]["end_to_end"]["kernels"]:
        row["same_detections"] = None
    metrics["variants"] = metrics["variants"][2:]
    metrics["differences"] = []
    run = complete_run(tmp_path / "voc", metrics, Config.model_validate(_DETECTOR))
    assert page(write_report(run).read_text("utf-8"), tmp_path) == snapshot


def test_localizer_without_paired_differences(snapshot, tmp_path):
    """As versions before 0.2 wrote them: the change is the difference of the figures."""
    metrics = made_up_metrics()
    metrics["differences"] = []
    run = complete_run(tmp_path / "voc", metrics)
    assert page(write_report(run).read_text("utf-8"), tmp_path) == snapshot


def test_complete_detector(snapshot, tmp_path):
    run = complete_detector(tmp_path / "voc")
    assert page(write_report(run).read_text("utf-8"), tmp_path) == snapshot


def test_comparison(snapshot, tmp_path):
    first = complete_detector(tmp_path / "first")
    second = complete_detector(tmp_path / "second", after=0.81, draws=(0.76, 0.81, 0.87))
    out = write_comparison([first, second], tmp_path / "both.html")
    assert page(out.read_text("utf-8"), tmp_path) == snapshot
