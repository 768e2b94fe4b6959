"""Kinds of errors: worked by hand, and what must hold of any scene."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from quantdet.evaluate.error_types import (
    KINDS,
    MISSED,
    confusion_matrix,
    count_errors,
    error_costs,
    picture_errors,
)
from quantdet.evaluate.mean_ap import (
    RIGHT,
    judge_picture,
    match_detections,
    mean_over_classes,
    voc10_ap,
)
from tests.evaluate.made_up import LABELS, found, scenes, truth

BOX = (0, 0, 10, 10)
NEAR = (0, 0, 10, 3)  # IoU 0.3 with BOX
FAR = (60, 60, 80, 80)
ANT, BEE, COW = range(3)


def _errors(answers, truths):
    return [picture_errors(a, b) for a, b in zip(answers, truths, strict=True)]


def _counts(detections, objects):
    counts = count_errors(_errors([found(*detections)], [truth(*objects)]))
    return {kind: number for kind, number in counts.items() if number}


@pytest.mark.parametrize(
    ("detections", "objects", "expected"),
    [
        ([(BOX, ANT, 0.9)], [(BOX, ANT)], {"right": 1}),
        # A localisation or class error explains its object: it is not missed, too.
        ([(NEAR, ANT, 0.9)], [(BOX, ANT)], {"localisation": 1}),
        ([(BOX, BEE, 0.9)], [(BOX, ANT)], {"class": 1}),
        ([(NEAR, BEE, 0.9)], [(BOX, ANT)], {"both": 1, "missed": 1}),
        ([(BOX, ANT, 0.9), (BOX, ANT, 0.8)], [(BOX, ANT)], {"right": 1, "duplicate": 1}),
        ([(FAR, ANT, 0.9)], [(BOX, ANT)], {"background": 1, "missed": 1}),
        ([(FAR, ANT, 0.9)], [], {"background": 1}),
        ([], [(BOX, ANT), (FAR, BEE)], {"missed": 2}),
        # Of what fits, localisation comes before class.
        ([(NEAR, ANT, 0.9)], [(BOX, ANT), (NEAR, BEE)], {"localisation": 1, "missed": 1}),
        # Difficult objects are no objects: what finds them does not count, they are not missed.
        ([(BOX, ANT, 0.9)], [(BOX, ANT, True)], {}),
        ([(NEAR, ANT, 0.9)], [(BOX, ANT, True)], {"background": 1}),
    ],
)
def test_kinds_by_hand(detections, objects, expected):
    assert _counts(detections, objects) == expected


@pytest.mark.parametrize(
    ("width", "kind"), [(1, "localisation"), (0.9, "background"), (4.9, "localisation")]
)
def test_bounds_of_localisation(width, kind):
    """Width of 10: IoU 0.1 is still near, 0.5 would be right."""
    counts = _counts([((0, 0, width, 10), ANT, 0.9)], [(BOX, ANT)])
    assert counts.pop("missed", 0) == (kind == "background")
    assert counts == {kind: 1}


def test_confusion_by_hand():
    answers = [
        found((BOX, ANT, 0.9), (FAR, COW, 0.8), (FAR, BEE, 0.7)),
        found((NEAR, ANT, 0.9)),
        found((FAR, BEE, 0.9)),
    ]
    truths = [truth((BOX, ANT), (FAR, BEE)), truth((BOX, ANT)), truth()]
    # First picture: the bee is found, so that the cow there is about no object that is left.
    assert confusion_matrix(_errors(answers, truths), 3).tolist() == [
        [1, 0, 0, 1],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
        [1, 1, 1, 0],
    ]
    without_bee = [found((BOX, ANT, 0.9), (FAR, COW, 0.8), (FAR, ANT, 0.7)), *answers[1:]]
    # The best of two wrong names counts.
    assert confusion_matrix(_errors(without_bee, truths), 3)[BEE].tolist() == [0, 0, 1, 0]


def test_costs_by_hand():
    """One class; in order of score: background, right, localisation; one object missed.

    As it is: 3 objects, right at rank 2 of recall 1/3: AP = 1/3 · 1/2 = 1/6.
    background fixed:    right at rank 1:                  1/3
    localisation fixed:  ranks 2 and 3 right:              2/3 · 2/3 = 4/9
    missed fixed:        2 objects, right at rank 2:       1/2 · 1/2 = 1/4
    """
    other = (100, 0, 110, 10)
    answers = [found((FAR, ANT, 0.9), (BOX, ANT, 0.8), ((100, 0, 110, 3), ANT, 0.7))]
    truths = [truth((BOX, ANT), (other, ANT), ((200, 0, 210, 10), ANT))]
    costs = error_costs(_errors(answers, truths), truths, 1, voc10_ap)
    now = 1 / 6
    assert costs == pytest.approx(
        {
            "localisation": 4 / 9 - now,
            "class": 0,
            "both": 0,
            "duplicate": 0,
            "background": 1 / 3 - now,
            "missed": 1 / 4 - now,
        }
    )


def test_mended_class_error_moves_to_the_right_class():
    answers = [found((BOX, BEE, 0.9), (FAR, BEE, 0.8))]
    truths = [truth((BOX, ANT), (FAR, BEE))]
    costs = error_costs(_errors(answers, truths), truths, 2, voc10_ap)
    # Ant: 0 → 1; bee: 1/2 → 1.
    assert costs["class"] == pytest.approx(1 - 1 / 4)


def test_only_the_best_of_two_errors_on_one_object_is_mended():
    answers = [found(((0, 0, 10, 4), ANT, 0.9), (NEAR, ANT, 0.8))]
    truths = [truth((BOX, ANT))]
    (errors,) = _errors(answers, truths)
    assert errors.fixes(KINDS.index("localisation")).tolist() == [True, False]
    assert error_costs([errors], truths, 1, voc10_ap)["localisation"] == 1


@settings(max_examples=150, deadline=None)
@given(scene=scenes())
def test_what_must_hold_of_any_scene(scene):
    answers, truths = scene
    errors = _errors(answers, truths)
    counts = count_errors(errors)
    outcome = [judge_picture(a, b) for a, b in zip(answers, truths, strict=True)]
    right = sum(int((item == RIGHT).sum()) for item in outcome)
    objects = sum(int((~item.difficult).sum()) for item in truths)
    # Every detection that counts has one place, and so has every object.
    assert counts["right"] == right
    assert sum(counts[kind] for kind in KINDS) == sum(len(e.detections) for e in errors) - right
    assert right + counts[MISSED] <= objects
    confusion = confusion_matrix(errors, len(LABELS))
    assert confusion[:-1].sum() == objects
    assert np.trace(confusion) == right
    # Wrong detections are in the last row, or mixed up with an object.
    mixed_up = confusion[:-1, :-1].sum() - right
    wrong = sum(int((item.kinds >= 0).sum()) for item in errors)
    assert mixed_up + confusion[-1].sum() == wrong


@settings(max_examples=100, deadline=None)
@given(scene=scenes())
def test_mending_never_costs(scene):
    answers, truths = scene
    errors = _errors(answers, truths)
    if not any(len(item.class_ids) for item in errors):
        return
    costs = error_costs(errors, truths, len(LABELS), voc10_ap)
    assert min(costs.values()) >= -1e-9
    matches = match_detections(answers, truths, len(LABELS))
    now = mean_over_classes(np.array([voc10_ap(item)[0] for item in matches]))
    assert now + max(costs.values()) <= 1 + 1e-9
