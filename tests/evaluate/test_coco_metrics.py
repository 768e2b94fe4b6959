"""COCO's figures are the library's own."""

from __future__ import annotations

import builtins
import os
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from quantdet.errors import DependencyError
from quantdet.evaluate.coco_metrics import STATISTICS, coco_metrics
from quantdet.evaluate.mean_ap import match_detections, mean_over_classes, voc10_ap
from tests.evaluate.made_up import LABELS, found, truth
from tests.evaluate.noisy import noisy, noisy_voc

BOX = (0, 0, 40, 40)


def _direct(answers, truths, classes):
    """Feed the library with files' contents written down here anew."""
    annotations, results = [], []
    for number, (item, right) in enumerate(zip(answers, truths, strict=True)):
        for (x1, y1, x2, y2), c, difficult in zip(
            right.boxes_xyxy.tolist(), right.class_ids, right.difficult, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(c),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(difficult),
                }
            )
        for (x1, y1, x2, y2), c, score in zip(
            item.boxes_xyxy.tolist(), item.class_ids, item.scores, strict=True
        ):
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append(
                {"image_id": number, "category_id": int(c), "bbox": box, "score": float(score)}
            )
    whole = COCO(
        {
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": i, "name": f"class {i}"} for i in range(classes)],
            "annotations": annotations,
        }
    )
    judge = COCOeval_faster(whole, whole.loadRes(results), "bbox")
    judge.run()
    return dict(zip(STATISTICS, judge.stats, strict=True))


def _random_scene(pictures=12):
    rng = np.random.default_rng(3)
    truths = []
    for _ in range(pictures):
        count = rng.integers(1, 5)
        corner = rng.uniform(0, 200, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(40, 180, (count, 2))], axis=1)
        truths.append(
            truth(
                *zip(
                    boxes.tolist(), rng.integers(0, 3, count), rng.random(count) < 0.2, strict=True
                )
            )
        )
    return [noisy(item, (400, 400), LABELS, rng) for item in truths], truths


def test_equal_to_the_library_fed_directly():
    answers, truths = _random_scene()
    expected = _direct(answers, truths, len(LABELS))
    got = coco_metrics(answers, truths, len(LABELS))
    assert list(got) == list(STATISTICS)
    assert 0.1 < got["ap"] < 0.9
    assert got["ap_small"] is None
    assert expected.pop("ap_small") == expected.pop("ar_small") == -1
    for key, value in expected.items():
        assert got[key] == pytest.approx(value, abs=1e-12), key


def test_perfect_answers():
    truths = [truth((BOX, 0), ((100, 100, 300, 300), 1, True))]
    got = coco_metrics([found((BOX, 0, 0.9), ((110, 110, 290, 290), 1, 0.8))], truths, 3)
    # 40 x 40 pixels are medium; the difficult one counts neither way; no other size is there.
    assert got["ap"] == got["ap50"] == got["ap_medium"] == got["ar100"] == 1
    assert got["ap_small"] is None
    assert got["ap_large"] is None


def test_no_answers_and_no_objects(capfd):
    truths = [truth((BOX, 0))]
    assert coco_metrics([found()], truths, 1)["ap"] == 0
    assert coco_metrics([found((BOX, 0, 0.9))], [truth()], 1)["ap"] is None
    assert capfd.readouterr() == ("", "")


def test_missing_library_is_said(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("faster_coco_eval"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DependencyError, match=r'pip install "quantdet\[evaluate\]"'):
        coco_metrics([], [], 1)


@pytest.mark.voc
def test_ap50_is_near_voc10_on_real_annotations():
    """COCO reads the curve at 101 recalls and forgives more around difficult objects."""
    answers, truths, labels = noisy_voc(Path(os.environ["QUANTDET_VOC"]))
    matches = match_detections(answers, truths, len(labels))
    voc10 = mean_over_classes(np.array([voc10_ap(item)[0] for item in matches]))
    got = coco_metrics(answers, truths, len(labels))
    assert got["ap50"] == pytest.approx(float(voc10), abs=0.02)
    expected = _direct(answers, truths, len(labels))
    assert got["ap"] == pytest.approx(expected["ap"], abs=1e-12)
