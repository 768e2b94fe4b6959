"""VOC's average precision: worked by hand, and against a second implementation."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from quantdet.evaluate.mean_ap import (
    RECALL_LEVELS,
    match_detections,
    mean_over_classes,
    precision_at_recall,
    voc07_ap,
    voc10_ap,
)
from tests.evaluate.made_up import LABELS, found, scenes, truth
from tests.evaluate.noisy import noisy_voc
from tests.evaluate.voc_eval import voc_eval

BOX = (10, 10, 20, 20)
FAR = (60, 60, 80, 80)


def _only_class(answers, truths):
    return match_detections(answers, truths, 1)[0]


def test_four_objects_by_hand():
    """4 objects; in order of score: right, wrong, right, wrong, right; one is never found.

    tp  1 1 2 2 3      recall     1/4  1/4  2/4  2/4  3/4
    fp  0 1 1 2 2      precision    1  1/2  2/3  1/2  3/5

    Highest precision from a recall on: 1 up to 1/4, 2/3 up to 2/4, 3/5 up to 3/4, 0 above.
    VOC07: recall 0, .1, .2 → 1; .3, .4, .5 → 2/3; .6, .7 → 3/5; .8, .9, 1 → 0;
           (3 + 3·2/3 + 2·3/5) / 11 = 6.2 / 11.
    VOC10: 1/4·1 + 1/4·2/3 + 1/4·3/5 = 17/30.
    """
    objects = [(x, 0, x + 10, 10) for x in (0, 100, 200, 300)]
    answers = [
        found((objects[0], 0, 0.9), (FAR, 0, 0.8), (objects[1], 0, 0.7)),
        found((FAR, 0, 0.6), (objects[2], 0, 0.5)),
    ]
    truths = [
        truth((objects[0], 0), (objects[1], 0)),
        truth((objects[2], 0), (objects[3], 0)),
    ]
    matches = _only_class(answers, truths)
    assert matches.right.tolist() == [True, False, True, False, True]
    assert voc07_ap(matches)[0] == pytest.approx(6.2 / 11)
    assert voc10_ap(matches)[0] == pytest.approx(17 / 30)
    curve = dict(zip(np.round(RECALL_LEVELS, 2), precision_at_recall(matches), strict=True))
    assert [curve[r] for r in (0, 0.24, 0.26, 0.5, 0.52, 0.74, 0.76, 1)] == pytest.approx(
        [1, 1, 2 / 3, 2 / 3, 3 / 5, 3 / 5, 0, 0]
    )


def test_second_detection_of_an_object_is_wrong_even_beside_a_free_one():
    # Both detections overlap the first object more (IoU 1 and 9/11) than the second (4/16, 5/15).
    first, second = (0, 0, 10, 10), (6, 0, 16, 10)
    answers = [found((first, 0, 0.9), ((1, 0, 11, 10), 0, 0.8))]
    matches = _only_class(answers, [truth((first, 0), (second, 0))])
    assert matches.right.tolist() == [True, False]
    assert voc10_ap(matches)[0] == pytest.approx(1 / 2)


def test_difficult_objects_count_neither_way():
    # Three detections of the difficult object vanish; what remains is one of one.
    answers = [found((FAR, 0, 0.9), (FAR, 0, 0.8), (BOX, 0, 0.7), (FAR, 0, 0.6))]
    matches = _only_class(answers, [truth((BOX, 0), (FAR, 0, True))])
    assert matches.right.tolist() == [True]
    assert matches.objects.tolist() == [1]
    assert voc07_ap(matches)[0] == 1


@pytest.mark.parametrize(("right", "expected"), [(6, True), (5, False)])
def test_half_is_enough(right, expected):
    # 10 wide and `right` of them left: IoU = right / 12; with 6 exactly 0.5.
    box = (0, 0, 12, 10)
    matches = _only_class([found(((0, 0, right, 10), 0, 0.9))], [truth((box, 0))])
    assert matches.right.tolist() == [expected]


def test_devkits_plus_one_is_in_our_boxes():
    """VOC's 1-based inclusive 1..10 is our 0..10: both are 10 pixels wide.

    Object 1..10 x 1..10 (100 pixels), detection 1..10 x 1..5 in VOC's numbers (50 pixels):
    IoU 50 / 100. Without the "+1" of the devkit it would be 9·4 / 9·9 = 0.44 and no match.
    """
    matches = _only_class([found(((0, 0, 10, 5), 0, 0.9))], [truth(((0, 0, 10, 10), 0))])
    assert matches.right.tolist() == [True]


def test_other_class_same_place_is_wrong():
    ant, bee, cow = match_detections([found((BOX, 1, 0.9))], [truth((BOX, 0))], 3)
    assert bee.right.tolist() == [False]
    assert voc07_ap(ant)[0] == 0
    assert np.isnan(voc07_ap(bee)[0])
    assert np.isnan(precision_at_recall(cow)).all()


def test_classes_without_objects_are_no_part_of_the_mean():
    assert mean_over_classes(np.array([0.25, np.nan, 0.75])) == 0.5
    assert np.isnan(mean_over_classes(np.array([np.nan, np.nan])))
    np.testing.assert_array_equal(
        mean_over_classes(np.array([[0.2, np.nan], [0.4, np.nan]])), [0.2 + 0.1, np.nan]
    )


def test_three_of_ten_do_not_reach_the_fourth_level():
    """Levels are multiples of the float 0.1, as in the field's tools: 3 · 0.1 > 3 / 10."""
    objects = [(20 * i, 0, 20 * i + 10, 10) for i in range(10)]
    answers = [found(*((box, 0, 0.9) for box in objects[:3]))]
    matches = _only_class(answers, [truth(*((box, 0) for box in objects))])
    assert voc07_ap(matches)[0] == pytest.approx(3 / 11)


def test_nothing_at_all():
    matches = _only_class([found(), found()], [truth(), truth((BOX, 0))])
    assert voc07_ap(matches)[0] == 0
    assert voc10_ap(matches)[0] == 0
    assert np.isnan(voc07_ap(_only_class([found()], [truth((BOX, 0, True))]))[0])
    assert np.isnan(voc10_ap(_only_class([], []))[0])


@settings(max_examples=150, deadline=None)
@given(scene=scenes())
def test_same_as_the_second_implementation(scene):
    answers, truths = scene
    for class_id, matches in enumerate(match_detections(answers, truths, len(LABELS))):
        for ap, is_07 in ((voc07_ap, True), (voc10_ap, False)):
            expected = voc_eval(answers, truths, class_id, is_07)
            np.testing.assert_allclose(ap(matches)[0], expected, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(scene=scenes())
def test_weight_two_is_the_picture_twice(scene):
    answers, truths = _all_different(scene[0]), scene[1]
    weights = np.ones((2, len(truths)), np.int64)
    weights[0, 0], weights[1, -1] = 2, 0
    twice = match_detections([answers[0], *answers], [truths[0], *truths], len(LABELS))
    without = match_detections(answers[:-1], truths[:-1], len(LABELS))
    for matches, more, less in zip(
        match_detections(answers, truths, len(LABELS)), twice, without, strict=True
    ):
        for ap in (voc07_ap, voc10_ap):
            got = ap(matches, weights)
            np.testing.assert_allclose(got, [ap(more)[0], ap(less)[0]], atol=1e-12)


def _all_different(answers):
    """Two copies of a detection stand beside each other only if no other has its score."""
    count = sum(map(len, answers))
    order = iter(np.random.default_rng(0).permutation(count) / max(count, 1))
    return [
        replace(item, scores=np.array([next(order) for _ in item.scores], np.float32))
        for item in answers
    ]


@pytest.mark.voc
def test_real_annotations_with_noise():
    answers, truths, labels = noisy_voc(Path(os.environ["QUANTDET_VOC"]))
    assert len(answers) >= 200
    for class_id, matches in enumerate(match_detections(answers, truths, len(labels))):
        for ap, is_07 in ((voc07_ap, True), (voc10_ap, False)):
            expected = voc_eval(answers, truths, class_id, is_07)
            np.testing.assert_allclose(ap(matches)[0], expected, atol=1e-12)
