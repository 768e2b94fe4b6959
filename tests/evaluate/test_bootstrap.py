"""Intervals of mean AP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantdet.evaluate.bootstrap import bootstrap_ap, picture_draws
from quantdet.evaluate.mean_ap import match_detections, mean_over_classes, voc07_ap, voc10_ap
from quantdet.results.intervals import interval, paired_difference
from tests.evaluate.made_up import LABELS, found, truth
from tests.evaluate.noisy import noisy

BOX = (0, 0, 10, 10)


def _scene(pictures, seed=0, alarms=6):
    rng = np.random.default_rng(seed)
    truths = []
    for _ in range(pictures):
        count = rng.integers(1, 4)
        corner = rng.uniform(0, 200, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(20, 150, (count, 2))], axis=1)
        truths.append(truth(*zip(boxes.tolist(), rng.integers(0, 3, count), strict=True)))
    return [noisy(item, (350, 350), LABELS, rng, alarms) for item in truths], truths


def _measured(answers, truths, draws, ap=voc07_ap):
    matches = match_detections(answers, truths, len(LABELS))
    value = float(mean_over_classes(np.array([ap(item)[0] for item in matches])))
    return value, mean_over_classes(bootstrap_ap(matches, ap, draws))


def test_draws_are_the_same_every_time_and_keep_the_number():
    draws = picture_draws(30, 50)
    np.testing.assert_array_equal(draws, picture_draws(30, 50))
    assert (draws.sum(axis=1) == 30).all()
    assert not np.array_equal(draws, picture_draws(30, 50, seed=1))


@pytest.mark.parametrize("ap", [voc07_ap, voc10_ap])
def test_a_draw_is_the_figure_of_the_drawn_pictures(ap):
    answers, truths = _scene(15)
    # More draws than are computed at once.
    draws = picture_draws(15, 230)
    _, drawn = _measured(answers, truths, draws, ap)
    for number in (0, 99, 100, 229):
        rows = np.repeat(np.arange(15), draws[number])
        again, _ = _measured([answers[i] for i in rows], [truths[i] for i in rows], draws[:1], ap)
        assert drawn[number] == pytest.approx(again, abs=1e-12)


def test_interval_by_hand():
    # Draws 0.00, 0.01 … 1.00: percentiles 0.025 and 0.975; around 0.6: 1.2 - 0.975, 1.2 - 0.025.
    got = interval(0.6, np.arange(101) / 100)
    assert (got.value, got.low, got.high) == pytest.approx((0.6, 0.225, 1.175))
    assert interval(0.6, np.arange(101) / 100, within=(0, 1)).high == 1


def test_models_that_answer_the_same_differ_by_exactly_nothing():
    answers, truths = _scene(20)
    draws = picture_draws(20)
    both = _measured(answers, truths, draws), _measured(answers, truths, draws)
    got = paired_difference(*both)
    assert (got.value, got.low, got.high) == (0, 0, 0)


def test_paired_interval_of_models_alike_is_narrower():
    answers, truths = _scene(60)
    draws = picture_draws(60)
    first = _measured(answers, truths, draws)
    rng = np.random.default_rng(1)
    other = [
        replace(item, scores=item.scores + rng.normal(0, 0.05, len(item)).astype(np.float32))
        for item in answers
    ]
    change = paired_difference(_measured(other, truths, draws), first)
    alone = interval(*first)
    assert 0 < change.high - change.low < 0.7 * (alone.high - alone.low)


def test_difference_sees_the_worse_model():
    answers, truths = _scene(60)
    draws = picture_draws(60)
    worse = [found() if i % 10 == 0 else item for i, item in enumerate(answers)]
    change = paired_difference(_measured(worse, truths, draws), _measured(answers, truths, draws))
    assert change.low < change.value < change.high < 0


def test_intervals_hold_the_figure_of_all_pictures_most_of_the_time():
    """60 samples of 80 pictures out of 1600; 95 % are wanted, 53 of 60 hold it here (measured)."""
    answers, truths = _scene(1600)
    whole, _ = _measured(answers, truths, picture_draws(1600, 1))
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        rows = rng.choice(1600, 80, replace=False)
        value, drawn = _measured(
            [answers[i] for i in rows], [truths[i] for i in rows], picture_draws(80, 200)
        )
        got = interval(value, drawn)
        held += got.low <= whole <= got.high
    assert 50 <= held <= 60


def test_a_draw_without_any_object_is_passed_over():
    answers, truths = [found((BOX, 0, 0.9)), found()], [truth((BOX, 0)), truth()]
    draws = np.array([[1, 1], [0, 2], [2, 0]])
    value, drawn = _measured(answers, truths, draws)
    np.testing.assert_array_equal(drawn, [1, np.nan, 1])
    got = interval(value, drawn)
    assert (got.low, got.high) == (1, 1)
