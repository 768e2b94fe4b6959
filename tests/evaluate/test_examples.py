"""Which pictures are shown, and what is said of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from quantdet.data.sample import Sample
from quantdet.evaluate.agreement import disagreement
from quantdet.evaluate.examples import _LONGEST_PX, EXAMPLES, _drawn, write_examples
from quantdet.evaluate.judge import EvaluationSet
from tests.evaluate.made_up import LABELS, found, truth

BOX = (0, 0, 10, 10)
FAR = (20, 20, 38, 28)


def test_disagreement_by_hand():
    first = found((BOX, 0, 0.9), (FAR, 0, 0.5))
    second = found(((0, 0, 10, 8), 0, 0.7), (FAR, 1, 0.6))
    change = disagreement(first, second)
    # The first boxes are the same (IoU 0.8); the second have other classes.
    assert change.amount == pytest.approx(0.2 + 0.5 + 0.6)
    assert (change.only_first, change.only_second) == (1, 1)
    assert disagreement(first, first).amount == 0
    nothing = disagreement(found(), second)
    assert (nothing.amount, nothing.only_first, nothing.only_second) == (pytest.approx(1.3), 0, 2)


def test_each_box_has_one_partner():
    change = disagreement(found((BOX, 0, 0.9), (BOX, 0, 0.8)), found((BOX, 0, 0.9)))
    assert (change.amount, change.only_first) == (pytest.approx(0.8), 1)


@pytest.fixture
def test_set(tmp_path):
    samples = []
    for number in range(20):
        path = tmp_path / f"{number:02}.png"
        Image.fromarray(np.full((30, 40, 3), 9 * number, np.uint8)).save(path)
        samples.append(Sample(path.stem, path, (30, 40)))
    truths = [truth((BOX, 0)) for _ in samples]
    return EvaluationSet(LABELS, samples, np.zeros((20, 8, 8, 3), np.uint8), truths)


def _written(folder):
    return json.loads((folder / "examples.json").read_text())["pictures"]


def test_groups(test_set, tmp_path):
    floats = [found((BOX, 0, 0.9)) for _ in range(20)]
    ours = list(floats)
    ours[3] = found()  # differs, and misses
    ours[7] = found((BOX, 0, 0.6))  # differs less, and is right
    both_wrong = found((FAR, 0, 0.9), (FAR, 1, 0.8))
    floats[11] = ours[11] = both_wrong
    write_examples(tmp_path / "e", test_set, {"float": floats, "uint8": ours})
    pictures = _written(tmp_path / "e")
    groups = {}
    for item in pictures:
        groups.setdefault(item["group"], []).append(item["image_id"])
    assert groups["differ"] == ["03", "07"]
    assert groups["errors"] == ["11"]
    assert len(groups["spread"]) == EXAMPLES
    assert not set(groups["spread"]) & {"03", "07", "11"}
    notes = {item["image_id"]: item["note"] for item in pictures}
    assert notes["03"] == "only float shows 1 of the boxes; scores differ by 0.90 in total"
    assert notes["07"] == "scores differ by 0.30 in total"
    assert notes["11"] == "2 wrong, 1 missed"
    for item in pictures:
        assert len(item["cells"]) == 3
        assert all((tmp_path / "e" / cell["file"]).is_file() for cell in item["cells"])


def test_one_model_alone_has_nothing_to_differ_from(test_set, tmp_path):
    write_examples(tmp_path / "e", test_set, {"float": [found()] * 20})
    groups = {item["group"] for item in _written(tmp_path / "e")}
    assert groups == {"errors", "spread"}


def test_the_thinnest_picture_keeps_a_column():
    pixels = np.zeros((10 * _LONGEST_PX, 1, 3), np.uint8)
    assert _drawn(pixels, found(), scores=True).shape == (_LONGEST_PX, 1, 3)
