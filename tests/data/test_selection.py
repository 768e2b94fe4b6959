from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantdet.boxes import yxyx_norm_to_xyxy
from quantdet.config import TargetConfig
from quantdet.data.dataset import load_dataset
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.data.selection import choose_object, select_objects, single_object_targets
from quantdet.errors import DataError

SMALL = ObjectAnnotation("dog", (0, 0, 10, 10))
HARD = ObjectAnnotation("cat", (5, 5, 50, 50), difficult=True)
CUT = ObjectAnnotation("cow", (10, 20, 40, 60), truncated=True)
LARGE = ObjectAnnotation("cat", (10, 0, 70, 30))


def sample(*objects, image_id="a"):
    return Sample(image_id, Path(f"{image_id}.jpg"), (60, 80), objects)


@given(st.booleans(), st.booleans())
def test_select_objects_keeps_order(skip_difficult, skip_truncated):
    kept = select_objects(
        sample(HARD, CUT, SMALL), skip_difficult=skip_difficult, skip_truncated=skip_truncated
    )
    expected = [HARD] * (not skip_difficult) + [CUT] * (not skip_truncated) + [SMALL]
    assert list(kept) == expected


def test_choose_object():
    assert choose_object([SMALL, LARGE], "first") is SMALL
    assert choose_object([SMALL, LARGE], "largest") is LARGE
    twin = ObjectAnnotation("dog", (20, 20, 30, 30))
    assert choose_object([SMALL, twin], "largest") is SMALL
    assert choose_object([], "largest") is None


def test_targets():
    samples = [sample(HARD, image_id="x"), sample(HARD, SMALL, LARGE), sample(), sample(CUT, LARGE)]
    targets = single_object_targets(samples, ("dog", "cat"), TargetConfig())
    assert targets.indices.tolist() == [1, 3]
    assert targets.samples == (samples[1], samples[3])
    assert targets.dropped == 2
    assert targets.class_ids.tolist() == [0, 1]
    assert targets.class_ids.dtype == np.int64
    assert targets.boxes_yxyx_norm.dtype == np.float32
    np.testing.assert_allclose(
        targets.boxes_yxyx_norm, [[0, 0, 10 / 60, 10 / 80], [0, 10 / 80, 0.5, 70 / 80]]
    )
    np.testing.assert_allclose(
        yxyx_norm_to_xyxy(targets.boxes_yxyx_norm, (60, 80))[1], LARGE.box_xyxy, rtol=1e-6
    )


def test_nothing_left_has_the_right_shapes():
    targets = single_object_targets([sample(HARD)], ("cat",), TargetConfig())
    assert targets.boxes_yxyx_norm.shape == (0, 4)
    assert targets.class_ids.shape == targets.indices.shape == (0,)
    assert targets.dropped == 1


def test_unknown_class_names_picture_and_labels():
    with pytest.raises(DataError, match=r"a: class 'cat' is not in the labels \(dog\); load"):
        single_object_targets([sample(LARGE)], ("dog",), TargetConfig())


@pytest.mark.voc
def test_real_voc2007_part_has_the_counts_of_the_reference_pipeline():
    dataset = load_dataset(Path(os.environ["QUANTDET_VOC"]))
    counts = {
        name: len(single_object_targets(members, dataset.labels, TargetConfig()).samples)
        for name, members in dataset.splits.items()
    }
    assert (counts["train"], counts["val"], counts["test"]) == (413, 129, 149)
