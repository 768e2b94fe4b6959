"""What people see at a threshold, and which threshold is best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from quantdet.evaluate.at_threshold import LEAST_OBJECTS, _between, best_thresholds, count_shown
from quantdet.evaluate.bootstrap import picture_draws
from quantdet.evaluate.mean_ap import match_detections
from tests.evaluate.made_up import LABELS, found, scenes, truth

BOX = (0, 0, 10, 10)
FAR = (20, 20, 38, 28)


def matched(answers, truths):
    return match_detections(answers, truths, len(LABELS))


def f1_at(matches, lowest):
    return count_shown(matches, np.array(lowest, np.float64)).figures()["f1"]


def test_figures_by_hand():
    truths = [truth((BOX, 0), (FAR, 1)), truth((BOX, 0), (FAR, 1, True))]
    answers = [
        found((BOX, 0, 0.9), (FAR, 0, 0.8), (FAR, 1, 0.3)),
        found((BOX, 0, 0.5), (FAR, 1, 0.7)),  # the second is about a difficult object
    ]
    shown = count_shown(matched(answers, truths), np.array([0.5, 0.5, 0.5]))
    # Ants: two right and one wrong; the bee stays below, so 2 of 3 objects.
    assert shown.figures() == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 * 2 / (3 + 3)}
    )
    own = count_shown(matched(answers, truths), np.array([0.85, 0.3, 0.5]))
    assert own.figures() == pytest.approx({"precision": 1.0, "recall": 2 / 3, "f1": 4 / 5})
    summary = shown.summary(picture_draws(2), LABELS)
    assert (summary["objects"], summary["shown"], summary["right"]) == (3, 3, 2)
    assert summary["by_class"]["bee"] == {"objects": 1, "shown": 0, "right": 0}
    low, high = summary["recall_interval"]
    assert 0 <= low <= summary["recall"] <= high <= 1


def test_nothing_shown_has_no_precision_and_finds_nothing():
    shown = count_shown(matched([found((BOX, 0, 0.9))], [truth((BOX, 0))]), np.ones(3))
    summary = shown.summary(picture_draws(1), LABELS)
    assert "precision" not in summary
    assert (summary["recall"], summary["f1"]) == (0.0, 0.0)


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_the_common_threshold_is_the_best_of_all(scene):
    matches = matched(*scene)
    best = best_thresholds(matches, LABELS, {})
    every = sorted({float(score) for item in matches for score in item.scores})
    tried = [f1_at(matches, [score] * 3) for score in every]
    if best is None:
        assert max(tried, default=0.0) in (0.0, pytest.approx(0.0)) or np.isnan(tried).all()
        return
    common, own = best
    assert own == {}
    assert f1_at(matches, [common] * 3) == pytest.approx(max(tried))


def many(objects, score, wrong_score):
    """Ants found at one score, with as many false ones at another."""
    truths = [truth((BOX, 0)) for _ in range(objects)]
    answers = [found((BOX, 0, score), (FAR, 0, wrong_score)) for _ in range(objects)]
    return answers, truths


@pytest.mark.parametrize(
    ("objects", "has_own"), [(LEAST_OBJECTS - 1, False), (LEAST_OBJECTS, True)]
)
def test_a_class_with_enough_objects_has_its_own(objects, has_own):
    answers, truths = many(objects, 0.9, 0.6)
    common, own = best_thresholds(matched(answers, truths), LABELS, {})
    assert 0.6 < common <= 0.9
    assert own == ({"ant": common} if has_own else {})


def test_what_is_given_is_kept():
    answers, truths = many(80, 0.9, 0.6)
    answers.append(found((BOX, 1, 0.4)))
    truths.append(truth((BOX, 1)))
    common, own = best_thresholds(matched(answers, truths), LABELS, {"ant": 0.123})
    # The ants, which are given, do not decide for the others.
    assert own == {"ant": 0.123}
    assert common <= 0.4


def test_of_equal_thresholds_the_one_that_shows_least():
    # Above 0.5 nothing changes F1 but the number of wrong ones.
    answers, truths = [found((BOX, 0, 0.9), (FAR, 0, 0.5))], [truth((BOX, 0))]
    common, _ = best_thresholds(matched(answers, truths), LABELS, {})
    assert common == 0.7


def test_a_threshold_has_as_few_digits_as_there_is_room_for():
    assert _between(0.1, 0.92) == 0.51
    assert _between(0.3111, 0.3119) == 0.3115
    assert _between(0.31111111, 0.31111112) == 0.31111112


def test_nothing_right_chooses_nothing():
    assert best_thresholds(matched([found((FAR, 0, 0.9))], [truth((BOX, 0))]), LABELS, {}) is None
    assert best_thresholds(matched([found()], [truth((BOX, 0))]), LABELS, {}) is None
