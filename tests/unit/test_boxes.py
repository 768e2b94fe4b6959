import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quantdet.boxes import (
    area,
    as_boxes,
    clip,
    exp_float32,
    iou_matrix,
    iou_pairs,
    ordered,
    xyxy_to_yxyx_norm,
    yxyx_norm_to_xyxy,
)

pixels = st.floats(-2000, 2000, width=32)
boxes = arrays(np.float32, st.tuples(st.integers(0, 6), st.just(4)), elements=pixels)
sizes = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


def test_as_boxes_accepts_nothing_one_and_many():
    assert as_boxes([]).shape == (0, 4)
    assert as_boxes([1, 2, 3, 4]).shape == (1, 4)
    assert as_boxes([(1, 2, 3, 4), (5, 6, 7, 8)]).dtype == np.float32


def test_area_is_width_times_height_and_zero_when_inverted():
    np.testing.assert_array_equal(area(as_boxes([[10, 20, 13, 24], [13, 24, 10, 20]])), [12, 0])
    # Both sides inverted must not multiply to a positive area.
    assert area(as_boxes([5, 5, 1, 1]))[0] == 0


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),
        ([0, 0, 10, 10], [5, 0, 15, 10], 50 / 150),
        ([0, 0, 10, 10], [2, 2, 4, 4], 4 / 100),
        ([0, 0, 0, 0], [0, 0, 0, 0], 0.0),
    ],
)
def test_iou_of_known_pairs(a, b, expected):
    assert iou_pairs(as_boxes(a), as_boxes(b))[0] == pytest.approx(expected, abs=1e-6)


@given(boxes, boxes)
def test_iou_matrix_is_symmetric_and_bounded(a, b):
    forward = iou_matrix(a, b)
    assert forward.shape == (len(a), len(b))
    np.testing.assert_array_equal(forward, iou_matrix(b, a).T)
    assert ((forward >= 0) & (forward <= 1)).all()


@given(boxes)
def test_iou_with_itself_is_one_for_real_boxes(values):
    box = ordered(values)
    real = area(box) > 1e-3
    np.testing.assert_allclose(iou_pairs(box, box)[real], 1.0, rtol=1e-6)


@given(boxes, sizes)
def test_clip_stays_inside_and_is_idempotent(values, size_hw):
    before = values.copy()
    cut = clip(values, size_hw)
    height, width = size_hw
    assert ((cut >= 0) & (cut <= [width, height, width, height])).all()
    np.testing.assert_array_equal(clip(cut, size_hw), cut)
    np.testing.assert_array_equal(values, before)


@given(boxes)
def test_ordered_sorts_corners_and_keeps_coordinates(values):
    result = ordered(values)
    assert (result[:, :2] <= result[:, 2:]).all()
    np.testing.assert_array_equal(
        np.sort(result[:, [0, 2]], axis=1), np.sort(values[:, [0, 2]], axis=1)
    )
    np.testing.assert_array_equal(ordered(result), result)


@given(boxes, sizes)
def test_yxyx_round_trip(values, size_hw):
    back = yxyx_norm_to_xyxy(xyxy_to_yxyx_norm(values, size_hw), size_hw)
    # Two float32 roundings, each at most 2^-24 relative.
    np.testing.assert_allclose(back, values, rtol=3e-7, atol=1e-30)


def test_yxyx_order_and_unit():
    # Height 100, width 200: a transposed size or order would show.
    norm = xyxy_to_yxyx_norm(as_boxes([20, 50, 100, 75]), (100, 200))
    np.testing.assert_allclose(norm, [[0.5, 0.1, 0.75, 0.5]])


def test_exp_is_rounded_once():
    values = np.linspace(-20, 20, 4001, dtype=np.float32)
    expected = [np.float32(math.exp(float(value))) for value in values]
    np.testing.assert_array_equal(exp_float32(values), expected)
