"""Test pictures that were learned, and data that changed after training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from quantdet.config import DataConfig
from quantdet.data.dataset import fingerprint
from quantdet.data.sample import Dataset, ObjectAnnotation, Sample
from quantdet.evaluate.data_state import data_state

DATA = DataConfig()


def sample(folder, name, seed, image_id=None, quality=95):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    path = folder / f"{name}.jpg"
    coarse.resize((80, 60), Image.Resampling.BICUBIC).save(path, quality=quality)
    return Sample(image_id or name, path, (60, 80), (ObjectAnnotation("ant", (0, 0, 9, 9)),))


@pytest.fixture
def dataset(tmp_path):
    splits = {
        split: tuple(sample(tmp_path / split, f"{split}{n}", 10 * at + n) for n in range(3))
        for at, split in enumerate(("train", "val", "test"))
    }
    return Dataset(tmp_path, ("ant",), splits)


def with_test(dataset, *more):
    return replace(dataset, splits={**dataset.splits, "test": (*dataset.splits["test"], *more)})


def state(dataset, trained_on=None):
    return data_state(dataset, DATA, fingerprint(dataset) if trained_on is None else trained_on)


def test_a_fair_test(dataset):
    found = state(dataset)
    assert (found.unchanged, found.in_training, found.in_validation) == (True, 0, 0)


def test_the_same_file_under_another_name(dataset, tmp_path):
    copy = sample(tmp_path / "more", "other", 1)  # as train1
    found = state(with_test(dataset, copy))
    assert (found.in_training, found.in_validation) == (1, 0)
    assert found.examples == ("other = train1",)


def test_the_same_picture_saved_anew_under_its_id(dataset, tmp_path):
    again = sample(tmp_path / "more", "train1", 1, quality=40)
    assert state(with_test(dataset, again)).in_training == 1


def test_pictures_that_are_only_numbered_alike_are_others(dataset, tmp_path):
    other = sample(tmp_path / "more", "x", 77, image_id="train1")
    assert state(with_test(dataset, other)).in_training == 0


def test_pictures_of_the_validation_are_counted_apart(dataset):
    found = state(replace(dataset, splits={**dataset.splits, "test": dataset.splits["val"]}))
    assert (found.in_training, found.in_validation) == (0, 3)


def test_without_a_validation_split_training_alone_is_looked_at(dataset):
    kept = {split: dataset.splits[split] for split in ("train", "test")}
    found = state(replace(dataset, splits=kept))
    assert (found.unchanged, found.in_training, found.in_validation) == (True, 0, 0)


def test_changed_annotations_and_pictures(dataset):
    before = fingerprint(dataset)
    first, *rest = dataset.splits["train"]
    moved = replace(first, objects=(ObjectAnnotation("ant", (0, 0, 9, 8)),))
    changed = replace(dataset, splits={**dataset.splits, "train": (moved, *rest)})
    assert state(changed, before).unchanged is False
    Image.new("RGB", (80, 60)).save(first.image_path)
    assert state(dataset, before).unchanged is False


def test_a_run_that_does_not_say_what_it_learned(dataset):
    found = state(dataset, "")
    assert found.unchanged is None
    assert "does not say" in found.reason
