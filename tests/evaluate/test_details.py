"""``details.json``: what people see, draws that belong to figures, a fingerprint of the test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from quantdet.config import Config
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.evaluate.details import _plain, describe_details
from quantdet.evaluate.detection import DetectionJudge
from quantdet.evaluate.single_object import SingleObjectJudge
from tests.evaluate.made_up import LABELS, found

BOX = (0.0, 0.0, 10.0, 10.0)
FAR = (20.0, 20.0, 38.0, 28.0)


def test_a_draw_without_an_object_has_no_figure():
    assert _plain(np.array([0.5, np.nan])) == (0.5, None)


def _cache(*objects):
    samples = [
        Sample(f"{number:02}", Path("x"), (30, 40), (item,)) for number, item in enumerate(objects)
    ]
    return SimpleNamespace(samples=samples, images=np.zeros((len(samples), 8, 8, 3), np.uint8))


def _ants(count, **values):
    return [ObjectAnnotation("ant", BOX, **values) for _ in range(count)]


@pytest.fixture
def judged():
    judge = DetectionJudge(Config(), LABELS, _cache(*_ants(4)), np.full(3, 0.5))
    answers = {"uint8_tflite": [found((BOX, 0, 0.9), (FAR, 1, 0.45)), *[found((BOX, 0, 0.3))] * 3]}
    return judge, answers, judge.judge(answers)


def test_errors_are_of_what_people_see(judged):
    details = describe_details(judged[0].test, *judged[1:], np.array([0.5, 0.4, 0.4]))
    assert details.thresholds == {"ant": 0.5, "bee": 0.4, "cow": 0.4}
    (variant,) = details.variants.values()
    errors = {kind: count for kind, count in variant.errors.items() if count}
    # Three ants stay below their threshold; the bee is above hers.
    assert errors == {"right": 1, "background": 1, "missed": 3}
    assert variant.confusion == ((1, 0, 0, 3), (0,) * 4, (0,) * 4, (0, 1, 0, 0))


def test_draws_are_those_of_the_intervals(judged):
    details = describe_details(judged[0].test, *judged[1:], np.full(3, 0.5))
    draws = details.variants["uint8_tflite"].draws["map_voc07"]
    assert len(draws) == details.bootstrap.resamples
    value = judged[2].metrics["uint8_tflite"]["map_voc07"]
    low, high = judged[2].metrics["uint8_tflite"]["map_voc07_interval"]
    least, most = np.percentile(draws, [2.5, 97.5])
    assert [low, high] == pytest.approx(np.clip([2 * value - most, 2 * value - least], 0, 1))


def test_fingerprint_is_of_pictures_and_truth(judged):
    judge, answers, result = judged

    def fingerprint(test):
        return describe_details(test, answers, result, np.full(3, 0.5)).test_fingerprint

    same = DetectionJudge(Config(), LABELS, _cache(*_ants(4)), np.full(3, 0.5)).test
    assert fingerprint(same) == fingerprint(judge.test)
    for changed in (
        DetectionJudge(
            Config(), LABELS, _cache(*_ants(3), *_ants(1, difficult=True)), np.full(3, 0.5)
        ).test,
        replace(same, samples=same.samples[::-1]),
        replace(same, labels=("ant", "bee", "cat")),
    ):
        assert fingerprint(changed) != fingerprint(judge.test)


def test_localizer_has_intervals_and_draws():
    judge = SingleObjectJudge(Config(), LABELS, _cache(*_ants(4)), np.full(3, 0.5))
    result = judge.judge({"float_keras": [found((BOX, 0, 0.9))] * 3 + [found((BOX, 1, 0.9))]})
    figures, drawn = result.metrics["float_keras"], result.drawn["float_keras"]
    assert figures["class_accuracy"] == 0.75
    assert figures["class_accuracy_interval"] == [0.5, 1.0]  # draws of 4 go in quarters, to 1
    assert drawn["class_accuracy"].mean() == pytest.approx(0.75, abs=0.02)
    assert figures["mean_iou_interval"] == [1.0, 1.0]
    assert set(np.unique(drawn["mean_iou"])) == {1.0}
