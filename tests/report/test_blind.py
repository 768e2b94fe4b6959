"""Models that are blind on purpose are never "Ship", whatever their quantization keeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from quantdet.config import Config
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.evaluate.tasks import JUDGES
from quantdet.kinds import DETECTOR
from tests.evaluate.made_up import LABELS, found
from tests.report.test_verdict import FAMILIES, judged, sound

PICTURES = 150
SHOWN = LABELS[:2]


def measured(family, answers, threshold=0.5):
    """Return the facts of a sound run whose models all give these answers."""
    rng = np.random.default_rng(0)
    samples = [
        Sample(f"{n:03}", Path("x"), (100, 100), (ObjectAnnotation(SHOWN[n % 2], box(rng)),))
        for n in range(PICTURES)
    ]
    cache = SimpleNamespace(samples=samples, images=np.zeros((PICTURES, 8, 8, 3), np.uint8))
    judge = JUDGES[family](Config(), LABELS, cache, np.full(len(LABELS), threshold))
    given = [answers(sample, np.random.default_rng(n)) for n, sample in enumerate(samples)]
    result = judge.judge({"float_keras": given, "uint8_tflite": given})
    rows = [
        {"variant": key, "name": key, "bytes": 1, **row, "pictures": PICTURES}
        for key, row in result.metrics.items()
    ]
    return sound(family) | {"variants": rows, **result.together}


def box(rng):
    x, y = rng.uniform(0, 50, 2)
    return (x, y, x + 40, y + 45)


def right(sample, rng):
    item = sample.objects[0]
    return found((item.box_xyxy, LABELS.index(item.label), rng.uniform(0.6, 0.95)))


def untrained(sample, rng):
    return found(*((box(rng), rng.integers(2), rng.uniform(0.3, 0.7)) for _ in range(1)))


def shuffled(sample, rng):
    """Return what labels at random teach: where objects are, and any of the two classes."""
    return found((sample.objects[0].box_xyxy, rng.integers(2), rng.uniform(0.4, 0.6)))


def silent(sample, rng):
    return found()


def one_class_only(sample, rng):
    return found((sample.objects[0].box_xyxy, 0, 0.9))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_sees_is_shipped(family):
    verdict, checks, decision = judged(family, measured(family, right))
    assert [check for check in checks if not check.met] == []
    assert decision.ship, verdict


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("answers", "threshold"),
    [(right, 1.0), (untrained, 0.5), (untrained, 0.0), (shuffled, 0.0), (silent, 0.5)],
)
def test_a_blind_model_is_not(family, answers, threshold):
    _, checks, decision = judged(family, measured(family, answers, threshold))
    assert not decision.ship
    failed = [check.name for check in checks if not check.met]
    assert any(name.startswith(("Recall", "Precision")) for name in failed)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_knows_one_class_of_two_is_not(family):
    _, checks, decision = judged(family, measured(family, one_class_only))
    assert not decision.ship
    assert "Objects found of each class with at least 20" in [
        check.name for check in checks if not check.met
    ]


def test_two_boxes_on_every_object_are_not_both_right():
    """Both classes at once finds every object, and half of what is shown is wrong."""

    def both(sample, rng):
        where = sample.objects[0].box_xyxy
        return found((where, 0, 0.6), (where, 1, 0.6))

    verdict, checks, decision = judged(DETECTOR, measured(DETECTOR, both))
    assert not decision.ship
    assert [c.name.split(":")[0] for c in checks if not c.met] == ["Precision"], verdict
