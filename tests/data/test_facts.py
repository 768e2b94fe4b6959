"""Facts of a data set, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantdet.data.facts import SIDE_BINS, dataset_facts
from quantdet.data.sample import Dataset, ObjectAnnotation, Sample


def _sample(name, *objects, size_hw=(100, 200), annotated=True):
    return Sample(name, Path(name), size_hw, objects, annotated)


def test_facts_by_hand():
    cat = ObjectAnnotation("cat", (0, 0, 100, 50))  # a quarter of the picture: side 0.5
    dog = ObjectAnnotation("dog", (0, 0, 200, 100), difficult=True, truncated=True)  # side 1
    cow = ObjectAnnotation("cat", (5, 5, 5, 9))  # no area
    train = (_sample("a", cat, dog), _sample("b", cow, size_hw=(300, 400)), _sample("c"))
    test = (_sample("d", annotated=False),)
    facts = dataset_facts(Dataset(Path(), ("cat", "dog"), {"train": train, "test": test}))
    found = facts.splits["train"]
    assert found.pictures == found.annotated == 3
    assert (found.objects, found.difficult, found.truncated) == (3, 1, 1)
    assert found.without_objects == 1
    assert found.per_class == {"cat": 2, "dog": 1}
    sides = [0] * SIDE_BINS
    sides[0] = sides[SIDE_BINS // 2] = sides[-1] = 1
    assert found.sides == tuple(sides)
    assert found.median_side == pytest.approx(0.5)
    assert found.median_size_hw == (100, 200)
    empty = facts.splits["test"]
    assert (empty.pictures, empty.annotated, empty.without_objects) == (1, 0, 0)
    assert empty.median_side is None
