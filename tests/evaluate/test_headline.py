"""The figures that decide whether a model is shipped, each by hand: sign, unit, both directions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from quantdet.boxes import as_boxes
from quantdet.config import Config
from quantdet.data.dataset import load_dataset
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.data.scenes import generate_scenes
from quantdet.evaluate.agreement import same_detections
from quantdet.evaluate.detection import DetectionJudge
from quantdet.evaluate.foreign import evaluate_file
from quantdet.evaluate.single_object import SingleObjectJudge, single_object_metrics
from quantdet.runtime.contract import load_contract
from quantdet.runtime.pretrained import pretrained_file
from tests.evaluate.made_up import LABELS, found

BOX = (0.0, 0.0, 10.0, 10.0)
FAR = (20.0, 20.0, 38.0, 28.0)


def judge_of(pictures, kind=DetectionJudge, **thresholds):
    samples = [
        Sample(f"{n:02}", Path("x"), (30, 40), (ObjectAnnotation("ant", BOX),))
        for n in range(pictures)
    ]
    cache = SimpleNamespace(samples=samples, images=np.zeros((pictures, 8, 8, 3), np.uint8))
    of_labels = np.array([thresholds.get(label, 0.5) for label in LABELS])
    return kind(Config(), LABELS, cache, of_labels)


def test_what_uint8_loses_is_negative():
    right, wrong = found((BOX, 0, 0.9)), found((FAR, 0, 0.9))
    answers = {
        "float_keras": [right] * 10,
        "ptq_tflite": [*[right] * 5, *[wrong] * 5],
        "uint8_tflite": [*[right] * 8, *[wrong] * 2],
    }
    judged = judge_of(10).judge(answers)
    metrics = judged.metrics
    assert metrics["float_keras"]["map_voc07"] == 1.0
    assert metrics["ptq_tflite"]["map_voc10"] < metrics["uint8_tflite"]["map_voc10"] < 1.0
    changes = {(row["variant"], row["against"]): row for row in judged.together["differences"]}
    for kind in ("map_voc07", "map_voc10"):
        change = changes["uint8_tflite", "float_keras"]
        expected = metrics["uint8_tflite"][kind] - metrics["float_keras"][kind]
        assert change[kind] == pytest.approx(expected, abs=1e-5)
        assert change[f"{kind}_interval"][0] <= change[kind] <= change[f"{kind}_interval"][1]
        gain = changes["uint8_tflite", "ptq_tflite"][kind]
        assert gain == pytest.approx(
            metrics["uint8_tflite"][kind] - metrics["ptq_tflite"][kind], abs=1e-5
        )
        assert gain > 0


def test_same_detections_are_asked_both_ways():
    one, two = found((BOX, 0, 0.9)), found((BOX, 0, 0.9), (FAR, 1, 0.8))
    # Three are shown in all; the bee of the second is not in the first.
    assert same_detections([one], [two], 0.5) == pytest.approx(2 / 3)
    assert same_detections([two], [one], 0.5) == pytest.approx(2 / 3)
    # Unseen scores count on the other side only.
    assert same_detections([one], [found((BOX, 0, 0.1))], 0.5) == 1.0
    assert same_detections([one], [found((BOX, 1, 0.9))], 0.5) == 0.0


def test_what_people_see_has_a_threshold_for_each_class():
    judge = judge_of(1, bee=0.95)
    answers, reference = [found((BOX, 0, 0.9), (FAR, 1, 0.9))], [found((BOX, 0, 0.9))]
    assert judge.agreement(answers, reference).same_detections == 1.0
    plain = judge_of(1)
    assert plain.agreement(answers, reference).same_detections == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("box", "class_id", "hit"), [(BOX, 0, 1.0), (BOX, 1, 0.0), (FAR, 0, 0.0), (FAR, 1, 0.0)]
)
def test_a_hit_is_the_right_class_and_the_right_box(box, class_id, hit):
    metrics = single_object_metrics([found((box, class_id, 0.9))], as_boxes([BOX]), np.array([0]))
    assert metrics.hit_share == hit
    assert metrics.class_accuracy == float(class_id == 0)
    assert metrics.mean_iou == pytest.approx(float(box == BOX))


def test_a_foreign_file_says_which_classes_it_lacks(tmp_path):
    root = generate_scenes(tmp_path / "scenes", count=6, size_hw=(80, 90))
    dataset = load_dataset(root)
    found = evaluate_file(pretrained_file(), dataset, "test")
    known = set(load_contract(pretrained_file()).labels)
    lacks = tuple(n for n in dataset.labels if n not in known)
    assert found.classes.model_lacks == lacks != ()
    assert found.classes.shared == tuple(n for n in dataset.labels if n in known)
    (row,) = found.variants
    assert row.over_all_classes.map_voc07 <= row.map_voc07


def test_what_uint8_loses_of_a_localizer_is_negative():
    judge = judge_of(10, kind=SingleObjectJudge)
    right, wrong = found((BOX, 0, 0.9)), found((BOX, 1, 0.9))
    answers = {"float_keras": [right] * 10, "uint8_tflite": [*[right] * 8, *[wrong] * 2]}
    judged = judge.judge(answers)
    (change,) = judged.together["differences"]
    assert (change["variant"], change["against"]) == ("uint8_tflite", "float_keras")
    assert change["class_accuracy"] == pytest.approx(-0.2)
    low, high = change["class_accuracy_interval"]
    assert low < -0.2 < high < 0.2
    assert change["mean_iou_interval"] == [0.0, 0.0]
    row = judged.metrics["uint8_tflite"]
    assert (row["objects"], row["shown"], row["right"]) == (10, 10, 8)


def test_classes_have_intervals_of_their_own():
    right, wrong = found((BOX, 0, 0.9)), found((FAR, 0, 0.9))
    answers = {"float_keras": [right] * 10, "uint8_tflite": [*[right] * 8, *[wrong] * 2]}
    judged = judge_of(10).judge(answers)
    ant = judged.metrics["uint8_tflite"]["per_class"]["ant"]
    low, high = ant["ap_voc07_interval"]
    assert 0 <= low <= ant["ap_voc07"] <= high <= 1
    assert judged.metrics["uint8_tflite"]["per_class"]["bee"]["ap_voc07_interval"] is None
    (change,) = judged.together["differences"]
    assert change["per_class"].keys() == {"ant"}
    assert change["per_class"]["ant"]["ap_voc07"] == pytest.approx(ant["ap_voc07"] - 1.0, abs=1e-5)


def test_nothing_is_not_the_same_as_nothing():
    assert same_detections([found()], [found()], 0.5) is None
    assert same_detections([found((BOX, 0, 0.1))], [found((BOX, 0, 0.1))], 0.5) is None
