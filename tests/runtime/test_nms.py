"""Suppression against plain Python, and against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantdet.boxes import as_boxes
from quantdet.runtime import nms
from quantdet.runtime.nms import class_wise_nms

# Corners on a coarse grid overlap often, and their areas are exact in float32.
corners = st.tuples(*[st.integers(0, 7)] * 2, *[st.integers(1, 8)] * 2)
boxes = corners.map(lambda b: (b[0], b[1], min(b[0] + b[2], 8), min(b[1] + b[3], 8)))
candidates = st.lists(st.tuples(boxes, st.integers(0, 2)), max_size=40)
ious = st.sampled_from([0.0, 0.25, 0.45, 0.5, 0.6, 1.0])


def overlap(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    inside = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside
    return inside / union


def slow_nms(found, iou, most):
    """Greedy suppression as in the books; best first."""
    kept = []
    for i, (box, label) in enumerate(found):
        if all(found[j][1] != label or overlap(found[j][0], box) <= iou for j in kept):
            kept.append(i)
    return kept[:most]


def fast_nms(found, iou, most=1000):
    boxes_xyxy = as_boxes([box for box, _ in found])
    class_ids = np.array([label for _, label in found], np.int64)
    return class_wise_nms(boxes_xyxy, class_ids, iou=iou, most=most).tolist()


@pytest.mark.parametrize("block", [1, 3, 128])
@given(candidates, ious, st.integers(1, 50))
def test_equals_plain_python(block, found, iou, most):
    before, nms._BLOCK = nms._BLOCK, block
    try:
        assert fast_nms(found, iou, most) == slow_nms(found, iou, most)
    finally:
        nms._BLOCK = before


@given(candidates, ious)
def test_definition(found, iou):
    kept = fast_nms(found, iou)
    assert kept == sorted(kept)
    for i in range(len(found)):
        better = [j for j in kept if j < i and found[j][1] == found[i][1]]
        suppressed = any(overlap(found[j][0], found[i][0]) > iou for j in better)
        assert suppressed == (i not in kept)


def test_many_boxes_go_through_several_blocks():
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 90, (700, 2))
    size = rng.integers(4, 40, (700, 2))
    found = [
        ((*map(int, c), *map(int, c + s)), int(label))
        for c, s, label in zip(corner, size, rng.integers(0, 3, 700), strict=True)
    ]
    for most in (10, 100, 1000):
        assert fast_nms(found, 0.45, most) == slow_nms(found, 0.45, most)
    assert len(fast_nms(found, 0.45)) > 200


def test_arguments_are_not_changed():
    boxes_xyxy = as_boxes([[0, 0, 4, 4], [0, 0, 4, 4]])
    boxes_xyxy.setflags(write=False)
    class_ids = np.zeros(2, np.int64)
    class_ids.setflags(write=False)
    assert class_wise_nms(boxes_xyxy, class_ids, iou=0.5, most=9).tolist() == [0]


def test_nothing():
    assert fast_nms([], 0.5) == []
