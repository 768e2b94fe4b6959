"""What `quantdet evaluate` prints: percent, points, signs."""

import copy

import pytest

from quantdet.cli.metrics_text import metrics_table
from quantdet.kinds import DEFAULT_KIND, find_family
from quantdet.results.metrics import METRICS
from tests.report.made_up_run import detector_metrics, made_up_metrics


def lines(metrics):
    metrics = METRICS[find_family(metrics.get("task", DEFAULT_KIND))].model_validate(metrics)
    return [" ".join(line.split()) for line in metrics_table(metrics).splitlines()]


def detector():
    metrics = copy.deepcopy(detector_metrics(after=0.775))
    for row in metrics["variants"]:
        row["coco"] = {"ap": 0.5, "ap50": 0.8125, "ap75": 0.25}
    for row in metrics["parity"]["end_to_end"]["kernels"]:
        row["max_lsb"] = 9.0
    return metrics


def test_a_detector():
    text = lines(detector())
    assert text[0] == "200 pictures of split 'test'"
    uint8 = next(line for line in text if line.startswith("the uint8_tflite"))
    assert "77.5 75.0–85.0 81.0 50.0 81.2 25.0 3.00" in uint8
    change = next(line for line in text if "against" in line and "uint8_tflite" in line)
    assert "−2.50 −1.00 … +1.00 −0.10" in change
    cat = next(line for line in text if line.startswith("cat"))
    assert cat == "cat 9 90.0 90.0 90.0 90.0"


def test_a_localizer():
    text = lines(made_up_metrics())
    uint8 = next(line for line in text if "uint8" in line)
    assert " 74.2 – 0.505 " in uint8
    assert uint8.endswith("3.00 2.00")


@pytest.mark.parametrize("metrics", [detector(), made_up_metrics()])
def test_kernels(metrics):
    text = lines(metrics)
    xnnpack = next(line for line in text if line.startswith("xnnpack"))
    assert xnnpack.startswith("xnnpack 60.0 2.25 9 0.0010")
    assert any("99." in line and "layer by layer" in line for line in text)


@pytest.mark.parametrize("metrics", [detector(), made_up_metrics()])
def test_what_people_see(metrics):
    text = lines(metrics)
    head = next(number for number, line in enumerate(text) if line.startswith("at score"))
    assert text[head] == "at score 0.42 (chosen by best F1 on the 160 objects of split “val”):"
    assert text[head + 1].startswith("model precision % recall % F1 % 95 % interval right shown")
    uint8 = next(line for line in text[head:] if "uint8_tflite" in line)
    assert uint8 == "the uint8_tflite 90.0 85.0 87.0 83.0–91.0 170 189 200"
