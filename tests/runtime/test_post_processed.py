"""Decoder "post_processed": files that suppress inside."""

import numpy as np
import pytest

from quantdet.errors import ModelError
from quantdet.runtime.contract import TensorSpec
from quantdet.runtime.decoders import decode
from tests.runtime.helpers import plain_contract

SIZE = (100, 200)


def contract(rows=3, **decoder):
    plain = plain_contract("post_processed", cells=rows, classes=3)
    return plain.model_copy(update={"decoder": plain.decoder.model_copy(update=decoder)})


def outputs(boxes, scores, classes, count=None):
    return {
        "boxes": np.array([boxes], np.float32),
        "scores": np.array([scores], np.float32),
        "classes": np.array([classes], np.float32),
        "count": np.array([len(boxes) if count is None else count], np.float32),
    }


BOX = [0.1, 0.2, 0.5, 0.75]


def test_boxes_in_pixels_best_first():
    raw = outputs([BOX, [0, 0, 1, 0.5], BOX], [0.5, 0.9, 0.7], [0, 2, 1])
    found = decode(raw, contract(), SIZE)
    np.testing.assert_allclose(
        found.boxes_xyxy, [[0, 0, 100, 100], [40, 10, 150, 50], [40, 10, 150, 50]], rtol=1e-6
    )
    assert found.names() == ["class2", "class1", "class0"]
    np.testing.assert_array_equal(found.scores, np.float32([0.9, 0.7, 0.5]))


def test_rows_beyond_the_count_and_below_min_score_are_no_detections():
    raw = outputs([BOX] * 3, [0.9, 0.3, 0.8], [0, 1, 99], count=2)
    assert decode(raw, contract(), SIZE).names() == ["class0", "class1"]
    assert decode(raw, contract(min_score=0.4), SIZE).names() == ["class0"]
    assert decode(raw, contract(max_detections=1), SIZE).names() == ["class0"]
    assert len(decode(outputs([BOX] * 3, [0.9] * 3, [0] * 3, count=0), contract(), SIZE)) == 0


def test_boxes_are_clipped_and_broken_ones_dropped():
    boxes = [[-1, -1, 2, 2], [0.5, 0.5, 0.5, 0.9], [np.nan, 0, 1, 1]]
    found = decode(outputs(boxes, [0.9, 0.8, 0.7], [0, 0, np.nan]), contract(), SIZE)
    np.testing.assert_array_equal(found.boxes_xyxy, [[0, 0, 200, 100]])


def test_nan_count_and_scores():
    assert len(decode(outputs([BOX], [0.9], [0], count=np.nan), contract(1), SIZE)) == 0
    assert len(decode(outputs([BOX], [np.nan], [0]), contract(1), SIZE)) == 0


def test_class_without_label():
    with pytest.raises(ModelError, match=r"answers class 3, but labels names only 3 classes"):
        decode(outputs([BOX], [0.9], [3]), contract(1), SIZE)


@pytest.mark.parametrize("part", ["classes", "count"])
def test_output_that_the_contract_does_not_name(part):
    lacking = contract(1).model_copy(update={part: None})
    with pytest.raises(ModelError, match=f"'post_processed' needs the output '{part}'"):
        decode(outputs([BOX], [0.9], [0]), lacking, SIZE)


def test_quantized_outputs():
    spec = TensorSpec(name="scores", shape=(1, 1), dtype="uint8", scale=1 / 256)
    raw = outputs([BOX], [0.0], [1]) | {"scores": np.uint8([[128]])}
    found = decode(raw, contract(1).model_copy(update={"scores": spec}), SIZE)
    assert found.scores.tolist() == [0.5]


def test_a_score_above_1_never_passes():
    """Classes were taken for scores (tensorflow/models#10970): 61 is a clock, no score."""
    with pytest.raises(ModelError, match=r"'scores' answers 61, .*mixed up: `quantdet describe`"):
        decode(outputs([BOX], [61.0], [0]), contract(1), SIZE)


def test_rows_that_were_never_written_are_not_looked_at():
    raw = outputs([BOX] * 2, [0.9, 616.0], [0, 0], count=1)
    assert decode(raw, contract(2), SIZE).scores.tolist() == [np.float32(0.9)]


def test_suppression_across_classes():
    raw = outputs([BOX] * 3, [0.7, 0.9, 0.5], [0, 2, 1])
    found = decode(raw, contract(agnostic_nms=True, nms_iou=0.5), SIZE)
    assert found.names() == ["class2"]
