"""Decoders "yolo" and "yolo_objectness" on made-up outputs."""

import numpy as np
import pytest

from quantdet.errors import ModelError
from quantdet.runtime.contract import TensorSpec
from quantdet.runtime.decoders import DECODERS, decode
from quantdet.runtime.yolo_grid import cell_grid, strides_of
from tests.runtime.helpers import plain_contract

SIZE = (100, 200)


def contract(kind="yolo", **decoder):
    plain = plain_contract(kind, classes=2)
    return plain.model_copy(update={"decoder": plain.decoder.model_copy(update=decoder)})


def outputs(rows, dtype=np.float32):
    table = np.array([rows], dtype)
    return {"boxes": table, "scores": table}


ROW = [0.5, 0.25, 0.2, 0.1]


def test_centre_and_size_become_pixels():
    found = decode(outputs([[*ROW, 0.1, 0.9]]), contract(min_score=0.2), SIZE)
    np.testing.assert_allclose(found.boxes_xyxy, [[80, 20, 120, 30]], atol=1e-4)
    assert (found.names(), found.scores.tolist()) == (["class1"], [np.float32(0.9)])


def test_both_orders_of_the_axes_are_the_same():
    rows = np.random.default_rng(0).uniform(0.1, 0.9, (1, 50, 6)).astype(np.float32)
    plain = decode({"boxes": rows, "scores": rows}, contract(), SIZE)
    turned = np.ascontiguousarray(rows.transpose(0, 2, 1))
    other = decode({"boxes": turned, "scores": turned}, contract(), SIZE)
    assert len(plain) > 10
    np.testing.assert_array_equal(plain.boxes_xyxy, other.boxes_xyxy)
    np.testing.assert_array_equal(plain.scores, other.scores)


def test_integers_mean_the_same_as_what_they_stand_for():
    q = np.random.default_rng(1).integers(-128, 128, (1, 6, 200)).astype(np.int8)
    spec = TensorSpec(name="boxes", shape=q.shape, dtype="int8", scale=1 / 255, zero_point=-128)
    described = contract(min_score=0.3).model_copy(update={"boxes": spec, "scores": spec})
    real = ((q.astype(np.float32) + 128) * np.float32(1 / 255)).astype(np.float32)
    raw = decode({"boxes": q, "scores": q}, described, SIZE)
    floats = decode({"boxes": real, "scores": real}, described, SIZE)
    assert len(raw) > 20
    np.testing.assert_array_equal(raw.scores, floats.scores)
    np.testing.assert_array_equal(raw.boxes_xyxy, floats.boxes_xyxy)


def test_objectness_times_class_score():
    found = decode(outputs([[*ROW, 0.5, 0.2, 0.8]]), contract("yolo_objectness"), SIZE)
    np.testing.assert_allclose(found.scores, [0.4, 0.1], rtol=1e-6)
    assert found.names() == ["class1", "class0"]


def test_pixels_of_the_input():
    found = decode(outputs([[16, 8, 6.4, 3.2, 0, 0.9]]), contract(box_unit="pixel"), SIZE)
    np.testing.assert_allclose(found.boxes_xyxy, [[80, 20, 120, 30]], atol=1e-4)


def test_steps_of_the_grid():
    """YOLOX: row 17 of 21 is the second cell of stride 16, at (1, 0)."""
    rows = np.zeros((21, 7), np.float32)
    rows[17] = [0.5, 0.25, 0.0, np.log(0.5), 1, 1, 0]
    given = contract("yolo_objectness", box_unit="cell", min_score=0.5)
    found = decode(outputs(rows), given, (32, 32))
    np.testing.assert_allclose(found.boxes_xyxy, [[16, 0, 32, 8]], atol=1e-4)


def test_a_grid_that_is_none():
    given = contract("yolo_objectness", box_unit="cell")
    with pytest.raises(ModelError, match=r"20 boxes are no usual grid of a 32 x 32 input"):
        decode(outputs(np.ones((20, 7))), given, SIZE)
    assert strides_of(21, (32, 32)) == (8, 16, 32)
    assert cell_grid((32, 32), (8, 16, 32))[-1].tolist() == [0, 0, 32]


@pytest.mark.parametrize("kind", ["yolo", "yolo_objectness"])
def test_a_score_above_1_never_passes(kind):
    rows = [[*ROW, *([0.9] if "obj" in kind else []), 0.2, 61.0]]
    with pytest.raises(ModelError, match=r"answers 61, which is no score.*quantdet describe"):
        decode(outputs(rows), contract(kind), SIZE)


def test_a_step_above_1_is_rounding():
    spec = TensorSpec(name="boxes", shape=(1, 1, 6), dtype="uint8", scale=0.0058)
    given = contract().model_copy(update={"boxes": spec, "scores": spec})
    found = decode(outputs([[50, 50, 20, 20, 0, 173]], np.uint8), given, SIZE)
    assert found.scores.tolist() == [1.0]


def test_broken_numbers_are_no_detections():
    rows = [[np.nan, 0.5, 0.1, 0.1, 0.9, 0], [*ROW, np.nan, np.inf * 0], [0.5, 0.5, 0, 0.1, 0.9, 0]]
    assert len(decode(outputs(rows), contract(), SIZE)) == 0


def test_suppression_of_a_class_and_of_all():
    rows = [[*ROW, 0.9, 0.0], [*ROW, 0.0, 0.8], [*ROW, 0.7, 0.0]]
    assert decode(outputs(rows), contract(), SIZE).names() == ["class0", "class1"]
    assert decode(outputs(rows), contract(agnostic_nms=True), SIZE).names() == ["class0"]


def test_wrong_number_of_columns():
    with pytest.raises(ModelError, match=r"2 labels need 6 values a box, but the model gives"):
        decode(outputs(np.ones((5, 9))), contract(), SIZE)


def test_a_decoder_of_an_installed_package_is_found(monkeypatch):
    """A contract can only choose among installed ones; it names no code to import."""
    from importlib import metadata

    from quantdet.runtime import decoders

    point = metadata.EntryPoint(
        "theirs", "tests.runtime.helpers:their_decoder", "quantdet.decoders"
    )
    monkeypatch.setattr(
        metadata,
        "entry_points",
        lambda group, name: [point] if (group, name) == ("quantdet.decoders", "theirs") else [],
    )
    monkeypatch.setattr(decoders, "DECODERS", dict(DECODERS))
    assert len(decode(outputs([[*ROW, 0, 0]]), contract("theirs"), SIZE)) == 0
    with pytest.raises(ModelError, match=r"decoder 'os.system' is unknown"):
        decode(outputs([[*ROW, 0, 0]]), contract("os.system"), SIZE)
