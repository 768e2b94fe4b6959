import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quantdet.errors import ModelError
from quantdet.runtime.contract import TensorSpec
from quantdet.runtime.decoders import DECODERS, decode, dequantize
from quantdet.runtime.raw import output_specs
from tests.runtime.helpers import plain_contract

fractions = st.floats(-0.5, 1.5, width=32)
sizes = st.tuples(st.integers(1, 2000), st.integers(1, 2000))


def spec(dtype, scale=0.5, zero_point=3):
    return TensorSpec(name="t", shape=(1,), dtype=dtype, scale=scale, zero_point=zero_point)


def test_dequantize_is_the_equation_and_does_not_wrap():
    real = dequantize(np.array([0, 3, 255], np.uint8), spec("uint8"))
    np.testing.assert_array_equal(real, [-1.5, 0.0, 126.0])
    real = dequantize(np.array([-128, 127], np.int8), spec("int8", zero_point=-128))
    np.testing.assert_array_equal(real, [0.0, 127.5])
    assert real.dtype == np.float32


def test_dequantize_leaves_float_alone():
    values = np.array([0.25, -3.0], np.float32)
    np.testing.assert_array_equal(dequantize(values, spec("float32")), values)


def single(box, scores, size_hw=(100, 200), background=0):
    classes = len(scores) - (background is not None)
    contract = plain_contract("single_box", classes=classes, background=background)
    outputs = {"boxes": np.array([box], np.float32), "scores": np.array([scores], np.float32)}
    return decode(outputs, contract, size_hw)


def test_single_box_in_pixels_of_the_original():
    answer = single([0.1, 0.2, 0.5, 0.75], [0.1, 0.2, 0.7])
    np.testing.assert_allclose(answer.boxes_xyxy, [[40, 10, 150, 50]], rtol=1e-6)
    assert answer.names() == ["class1"]
    assert answer.scores[0] == pytest.approx(0.7)


def test_single_box_never_answers_background():
    assert single([0, 0, 1, 1], [0.9, 0.02, 0.08]).class_ids.tolist() == [1]
    assert single([0, 0, 1, 1], [0.08, 0.02, 0.9], background=2).class_ids.tolist() == [0]
    assert single([0, 0, 1, 1], [0.9, 0.1], background=None).class_ids.tolist() == [0]


def test_single_box_score_is_not_cut_by_the_threshold():
    assert len(single([0, 0, 1, 1], [0.98, 0.01, 0.01])) == 1


@given(arrays(np.float32, 4, elements=fractions), sizes)
def test_single_box_is_ordered_and_inside(box, size_hw):
    (answer,) = single(box, [0.2, 0.8], size_hw).boxes_xyxy
    height, width = size_hw
    assert 0 <= answer[0] <= answer[2] <= width
    assert 0 <= answer[1] <= answer[3] <= height


def grid(boxes, logits, size_hw=(100, 200)):
    contract = plain_contract("grid", cells=len(boxes), classes=len(logits[0]))
    outputs = {"boxes": np.array(boxes, np.float32), "scores": np.array(logits, np.float32)}
    return decode(outputs, contract, size_hw)


@pytest.mark.parametrize(
    ("cell", "box_xyxy"),
    [
        # Row order: cell 1 is the upper right one, its centre at x 0.75, y 0.25.
        (0, [30, 5, 90, 65]),
        (1, [130, 5, 190, 65]),
        (2, [30, 55, 90, 100]),
        (3, [130, 55, 190, 100]),
    ],
)
def test_grid_cell_gives_its_box(cell, box_xyxy):
    logits = np.full((4, 3), -4.0)
    logits[cell, 2] = 2.0
    answer = grid([[0.1, 0.2, 0.2, 0.4]] * 4, logits)
    np.testing.assert_allclose(answer.boxes_xyxy, [box_xyxy], rtol=1e-5)
    assert answer.class_ids.tolist() == [2]
    assert answer.scores[0] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)


def test_grid_score_cannot_overflow():
    with np.errstate(over="raise"):
        assert grid([[0, 0, 0, 0]], [[-1000.0]]).scores[0] == 0
        assert grid([[0, 0, 0, 0]], [[1000.0]]).scores[0] == 1


@given(
    arrays(np.float32, (9, 4), elements=st.floats(0, 1, width=32)),
    arrays(np.float32, (9, 2), elements=st.floats(-20, 20, width=32)),
    sizes,
)
def test_grid_box_is_ordered_inside_and_the_best(boxes, logits, size_hw):
    answer = grid(boxes, logits, size_hw)
    height, width = size_hw
    x1, y1, x2, y2 = answer.boxes_xyxy[0]
    assert 0 <= x1 <= x2 <= width
    assert 0 <= y1 <= y2 <= height
    assert logits[:, answer.class_ids[0]].max() == logits.max()


@pytest.mark.parametrize("kind", sorted(DECODERS))
def test_every_decoder_takes_outputs_with_and_without_batch(kind):
    rng = np.random.default_rng(0)
    contract = plain_contract(kind, cells=1, classes=3)
    outputs = {
        "boxes": rng.uniform(0, 0.1, (1, 4)).astype(np.float32) + np.float32([0, 0, 0.3, 0.4]),
        "scores": rng.random((1, 3), dtype=np.float32),
    }
    if contract.boxes == contract.scores:  # one output with both
        table = rng.uniform(0.2, 0.9, contract.boxes.shape[1:]).astype(np.float32)
        outputs = {"boxes": table, "scores": table}
    if kind == "post_processed":
        outputs["scores"] = outputs["scores"][0, :1]
        outputs |= {"classes": np.float32([2.0]), "count": np.float32(1.0)}
    plain = decode(outputs, contract, (50, 60))
    batched = decode({part: values[None] for part, values in outputs.items()}, contract, (50, 60))
    assert len(plain)
    np.testing.assert_array_equal(plain.boxes_xyxy, batched.boxes_xyxy)
    assert plain.labels == contract.labels
    assert plain.class_ids.tolist() == batched.class_ids.tolist()


@pytest.mark.parametrize("kind", sorted(DECODERS))
def test_raw_integers_and_their_real_values_give_the_same(kind):
    rng = np.random.default_rng(1)
    contract = quantized(plain_contract(kind, cells=1, classes=3))
    raw = {
        part: rng.integers(128, 255, spec.shape, dtype=np.uint8)
        for part, spec in output_specs(contract).items()
    }
    if kind == "post_processed":
        raw |= {"boxes": np.uint8([[[0, 0, 200, 100]]]), "classes": np.uint8([[0]])}
    real = {part: dequantize(raw[part], spec) for part, spec in output_specs(contract).items()}
    from_raw = decode(raw, contract, (50, 60))
    assert from_raw.to_list() == decode(real, contract, (50, 60)).to_list()
    assert len(from_raw)


def quantized(contract):
    """The contract with uint8 outputs."""
    changes = {
        part: spec.model_copy(update={"dtype": "uint8", "scale": 1 / 256, "zero_point": 0})
        for part, spec in output_specs(contract).items()
    }
    return contract.model_copy(update=changes)


def test_outputs_of_another_layout():
    outputs = {"boxes": np.zeros((4, 4), np.float32), "scores": np.zeros((4, 2), np.float32)}
    with pytest.raises(ModelError, match="'single_box' needs one box"):
        decode(outputs, plain_contract("single_box", background=0), (10, 10))
    with pytest.raises(ModelError, match="'grid' needs a square number of cells"):
        grid([[0, 0, 0, 0]] * 3, [[0.0]] * 3)
