import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from quantdet.boxes import iou_pairs
from quantdet.models.losses import FocalCells, GiouCells, ScoresOnGrid, cell_accuracy, giou_ltrb
from quantdet.models.targets import PictureObjects, cell_centres, grid_targets

distances = st.lists(st.floats(0.01, 1), min_size=4, max_size=4)


def corners(ltrb, centre=(0.4, 0.6)):
    x, y = centre
    left, top, right, bottom = ltrb
    return np.array([[x - left, y - top, x + right, y + bottom]], np.float32)


@settings(max_examples=50, deadline=None)
@given(distances, distances)
def test_giou_from_its_definition(a, b):
    box_a, box_b = corners(a), corners(b)
    hull_low, hull_high = np.minimum(box_a, box_b)[0, :2], np.maximum(box_a, box_b)[0, 2:]
    hull = np.prod(hull_high - hull_low)
    iou = float(iou_pairs(box_a, box_b)[0])
    areas = [np.prod(box[0, 2:] - box[0, :2]) for box in (box_a, box_b)]
    union = sum(areas) / (1 + iou)
    wanted = iou - (hull - union) / hull
    got = float(giou_ltrb(np.array(a, np.float32), np.array(b, np.float32)))
    # float32 differences of corners; measured 2e-5 on thin boxes
    assert got == pytest.approx(wanted, abs=1e-3)


def test_giou_loss_counts_only_positive_cells():
    wanted = np.array([[[0.1, 0.2, 0.3, 0.4, 1], [0, 0, 0, 0, 0]]], np.float32)
    predicted = np.array([[[0.1, 0.2, 0.3, 0.4], [0.9, 0.9, 0.9, 0.9]]], np.float32)
    assert float(GiouCells()(wanted, predicted)) == pytest.approx(0, abs=1e-6)
    predicted[0, 0] *= 2
    # a box twice as wide and high: IoU 1/4, and no empty hull
    assert float(GiouCells()(wanted, predicted)) == pytest.approx(0.75, abs=1e-6)


def test_focal_loss_by_hand():
    # two cells, two classes; the second cell does not count
    wanted = np.array([[[1, 0, 1], [0, 1, 0]]], np.float32)
    logits = np.array([[[0.3, -1.2], [5.0, -5.0]]], np.float32)
    p = 1 / (1 + np.exp(-logits[0, 0]))
    by_hand = 0.25 * (1 - p[0]) ** 2 * -np.log(p[0]) + 0.75 * p[1] ** 2 * -np.log(1 - p[1])
    assert float(FocalCells()(wanted, logits)) == pytest.approx(by_hand, rel=1e-5)


def test_focal_loss_is_finite_for_huge_logits():
    wanted = np.array([[[1, 0, 1]]], np.float32)
    loss = float(FocalCells()(wanted, np.array([[[-200.0, 200.0]]], np.float32)))
    assert np.isfinite(loss)
    assert loss > 100


def objects(*boxes, classes=None, ignored=None):
    count = len(boxes)
    return PictureObjects(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes if classes is not None else [0] * count, np.int64),
        np.array(ignored if ignored is not None else [False] * count, bool),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(0.0, 1.0, allow_subnormal=False)] * 4), min_size=1, max_size=4),
    st.integers(1, 9),
)
def test_targets_decode_to_the_boxes(corners4, side):
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners4]
    classes = list(range(len(boxes)))
    box_t, score_t = grid_targets(objects(*boxes, classes=classes), side, len(boxes))
    positive = box_t[:, 4] > 0
    np.testing.assert_array_equal(positive, score_t[:, :-1].sum(-1) > 0)
    centres = cell_centres(side)
    for cell in np.flatnonzero(positive):
        box = np.array(boxes[int(score_t[cell, :-1].argmax())], np.float32)
        low, high = centres[cell] - box_t[cell, :2], centres[cell] + box_t[cell, 2:4]
        # equal, but for a cell forced on a box that does not hold its centre
        np.testing.assert_allclose(low, np.minimum(box[:2], centres[cell]), atol=1e-6)
        np.testing.assert_allclose(high, np.maximum(box[2:], centres[cell]), atol=1e-6)


def test_every_object_alone_has_a_cell():
    box_t, score_t = grid_targets(objects((0.01, 0.01, 0.02, 0.02)), 7, 1)
    assert np.flatnonzero(box_t[:, 4]).tolist() == [0]
    assert score_t[0].tolist() == [1, 1]


def test_the_smaller_object_wins():
    big, small = (0.0, 0.0, 1.0, 1.0), (0.4, 0.4, 0.6, 0.6)
    for order in ((big, small), (small, big)):
        classes = [0 if box is big else 1 for box in order]
        _, score_t = grid_targets(objects(*order, classes=classes), 7, 2)
        assert score_t[24].tolist() == [0, 1, 1]  # the middle cell
        assert score_t[16].tolist() == [1, 0, 1]


def test_ignored_objects_do_not_count_but_do_not_hide_others():
    whole, left = (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 1.0)
    box_t, score_t = grid_targets(objects(whole, left, ignored=[True, False]), 4, 1)
    inside_left = np.array([c[0] < 0.5 and 0.25 < c[1] < 0.75 for c in cell_centres(4)])
    learned = box_t[:, 4] > 0
    assert learned.any()
    assert (score_t[learned, -1] == 1).all()
    assert (learned <= inside_left).all()
    ignored = (score_t[:, -1] == 0) & ~learned
    assert ignored.any()
    assert not score_t[ignored].any()


def test_background_picture():
    box_t, score_t = grid_targets(objects(), 3, 2)
    assert not box_t.any()
    assert (score_t == [0, 0, 1]).all()


def test_scores_on_their_grid():
    """A right class that reads 0 costs as much as half a step, and is pulled up."""
    classes = np.array([[1], [0], [2]])
    scores = np.array([[0.25, 0.75, 0.0], [0.5, 0.25, 0.25], [0.75, 0.25, 0.0]], np.float32)
    loss = ScoresOnGrid(reduction="none")
    expected = -np.log([0.75, 0.5, 1 / 512])
    np.testing.assert_allclose(loss(classes, scores), expected, rtol=1e-6)
    predicted = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        value = tf.reduce_sum(loss(classes, predicted))
    gradient = tape.gradient(value, predicted).numpy()
    np.testing.assert_allclose(gradient[2], [0.0, 0.0, -512.0], rtol=1e-6)
    np.testing.assert_allclose(gradient[0], [0.0, -1 / 0.75, 0.0], rtol=1e-6)


def test_cell_accuracy_takes_classes_of_one_byte():
    # More object cells than a byte can count.
    classes = np.arange(700) % 3
    targets = np.concatenate([np.eye(3)[classes], np.ones((700, 1))], axis=-1)[None]
    answers = np.eye(3, dtype=np.float32)[np.where(np.arange(700) < 350, classes, classes - 1)][
        None
    ]
    of_bytes = cell_accuracy(tf.constant(targets, tf.uint8), tf.constant(answers))
    assert float(of_bytes) == pytest.approx(0.5)
