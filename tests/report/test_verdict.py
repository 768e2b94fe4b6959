"""Verdict and checks follow the figures and the thresholds they print."""

from __future__ import annotations

import pytest

from quantdet.report.detection import DetectionView
from quantdet.report.localizer import LocalizerView, half_interval
from quantdet.results import numbers
from quantdet.results.metrics import DetectionMetrics, LocalizerMetrics
from tests.report.made_up_run import detector_metrics, latency, made_up_metrics, variant

VIEW = LocalizerView()


def _metrics(*variants, **parts):
    return LocalizerMetrics.model_validate({"split": "test", "variants": variants, **parts})


@pytest.mark.parametrize(
    ("accuracy", "iou", "tone"),
    [
        (0.800, 0.500, "good"),
        (0.745, 0.500, "good"),  # exactly 0.5 points, though not in binary fractions
        (0.744, 0.500, "fair"),
        (0.730, 0.500, "fair"),
        (0.729, 0.500, "bad"),
        (0.750, 0.494, "fair"),  # classes kept, boxes not
        (0.800, 0.400, "bad"),
    ],
)
def test_verdict_is_the_worse_of_class_and_box(accuracy, iou, tone):
    verdict = VIEW.verdict(
        _metrics(variant("float_keras", 0.75, 0.5), variant("uint8_tflite", accuracy, iou))
    )
    assert verdict is not None
    assert verdict.tone == tone


def test_float_file_stands_in_for_float_keras():
    verdict = VIEW.verdict(_metrics(variant("float_tflite", 0.75), variant("uint8_tflite", 0.76)))
    assert verdict is not None
    assert verdict.text == (
        "uint8 keeps the accuracy of float: class accuracy +1.00 points, mean IoU ±0"
    )


@pytest.mark.parametrize("only", ["float_keras", "uint8_tflite"])
def test_no_verdict_on_one_model(only):
    assert VIEW.verdict(_metrics(variant(only))) is None


def test_interval_agrees_with_wilsons_worked_value():
    # 8 of 10: Wilson interval 0.4902 to 0.9433 (Newcombe 1998 gives the formula).
    assert half_interval(0.8, 10) == pytest.approx((0.9433 - 0.4902) / 2, abs=2e-4)
    assert half_interval(1.0, 10) > 0


def test_slower_is_said():
    metrics = _metrics(
        variant("float_tflite"),
        variant("uint8_tflite"),
        latency=[
            latency("float_tflite", "xnnpack", 1, 2.0),
            latency("uint8_tflite", "xnnpack", 1, 5.0),
        ],
    )
    assert VIEW.tiles(metrics)[-1].change == "2.5× slower"


def test_latency_without_float_in_the_same_setting():
    metrics = _metrics(
        variant("uint8_tflite"),
        latency=[
            latency("float_tflite", "xnnpack", 2, 2.0),
            latency("uint8_tflite", "optimized", 1, 5.0),
        ],
    )
    tile = VIEW.tiles(metrics)[-1]
    assert (tile.title, tile.before, tile.after) == ("latency, optimized, 1 thread", "", "5.00 ms")


@pytest.mark.parametrize(
    ("path", "value", "failed"),
    [
        (("layers", "identical_exact"), 0.9989, "Layer by layer: integers"),
        (("layers", "max_lsb"), 2, "Layer by layer: largest"),
        (("end_to_end", "kernels", 1, "same_class"), 0.97, "End to end: same class"),
        (("end_to_end", "kernels", 1, "class_accuracy"), 0.739, "End to end: class accuracy"),
    ],
)
def test_each_parity_check_can_fail(path, value, failed):
    raw = made_up_metrics()
    raw["variants"][-1]["class_accuracy"] = 0.75
    assert all(check.met for check in VIEW.checks(LocalizerMetrics.model_validate(raw)))
    place = raw["parity"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    names = [
        check.name for check in VIEW.checks(LocalizerMetrics.model_validate(raw)) if not check.met
    ]
    assert len(names) == 1
    assert names[0].startswith(failed)


def test_boxes_out_of_order_fail():
    row = {**variant("uint8_tflite"), "ordered_share": 0.9999}
    (check,) = VIEW.checks(_metrics(row))
    assert not check.met
    assert check.measured == "99.9 %"


def _detector(after, low, high, **parts):
    raw = detector_metrics(after)
    change = raw["differences"][0]
    change["map_voc07_interval"] = [low, high]
    ptq = {**change, "against": "ptq_tflite", "map_voc07": parts.pop("ptq", 0.0)}
    ptq["map_voc07_interval"] = parts.pop("ptq_interval", [-0.01, 0.01])
    raw["differences"].append(ptq)
    raw["parity"]["end_to_end"]["kernels"][0] |= parts
    return DetectionMetrics.model_validate(raw)


@pytest.mark.parametrize(
    ("after", "low", "high", "tone"),
    [
        (0.820, 0.00, 0.03, "good"),
        (0.797, -0.01, -0.001, "good"),  # exactly 0.3 points
        (0.796, -0.01, 0.001, "fair"),
        (0.796, -0.01, 0.0, "fair"),
        (0.796, -0.01, -0.001, "bad"),
        (0.500, -0.40, -0.2, "bad"),
    ],
)
def test_verdict_of_a_detector(after, low, high, tone):
    metrics = _detector(after, low, high)
    verdict = DetectionView().verdict(metrics)
    assert verdict.tone == tone
    check = next(c for c in DetectionView().checks(metrics) if "float → uint8" in c.name)
    assert check.met == (tone != "bad")


@pytest.mark.parametrize(
    ("parts", "failed"),
    [
        ({"ptq": -0.02, "ptq_interval": [-0.03, -0.001]}, "VOC07 mAP, converter's PTQ → uint8"),
        ({"same_detections": 0.899}, "End to end: same detections"),
    ],
)
def test_each_check_of_a_detector_can_fail(parts, failed):
    view = DetectionView()
    assert all(check.met for check in view.checks(_detector(0.8, -0.01, 0.01)))
    assert all(check.met for check in view.checks(_detector(0.8, -0.01, 0.01, same_detections=0.9)))
    (name,) = [c.name for c in view.checks(_detector(0.8, -0.01, 0.01, **parts)) if not c.met]
    assert name.startswith(failed)


def test_figures_as_text():
    assert numbers.plain(1234.5, 2) == "1,234.50"
    assert numbers.plain(None, 2) == "–"
    assert numbers.percent(0.9999999, 3) == "99.999"
    assert numbers.percent(1.0, 3) == "100.000"
    assert numbers.difference(-0.004) == "±0"
    assert numbers.difference(-1234.5) == "−1,234.50"
