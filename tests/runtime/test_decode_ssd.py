"""Decoder "ssd": which boxes come out, in which order, and that nothing upsets it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quantdet.boxes import as_boxes, decode_boxes, encode_boxes
from quantdet.errors import ModelError
from quantdet.runtime import decode_ssd
from quantdet.runtime.anchors import anchor_boxes, ssd_anchor_maps
from quantdet.runtime.contract import AnchorMap, Contract, DecoderSpec, InputSpec, TensorSpec
from quantdet.runtime.decoders import decode, dequantize

MAPS = (
    AnchorMap(rows=3, cols=3, shapes_hw=((0.3, 0.3), (0.2, 0.5))),
    AnchorMap(rows=1, cols=2, shapes_hw=((0.9, 0.5),)),
)
ANCHORS = anchor_boxes(MAPS)
SIZE = (200, 300)
LOW = -20.0


def contract(classes=3, background=None, dtype="uint8", **decoder) -> Contract:
    columns = classes + (background is not None)
    scales = (
        {} if dtype == "float32" else {"scale": 0.07, "zero_point": 120 - 128 * (dtype == "int8")}
    )
    count = len(ANCHORS)
    return Contract(
        task="ssd",
        input=InputSpec(
            tensor=TensorSpec(name="image", shape=(1, 32, 32, 3), dtype="uint8"), size_hw=(32, 32)
        ),
        boxes=TensorSpec(name="boxes", shape=(1, count, 4), dtype=dtype, **scales),
        scores=TensorSpec(name="scores", shape=(1, count, columns), dtype=dtype, **scales),
        decoder=DecoderSpec(kind="ssd", anchors=MAPS, **{"max_detections": 100, **decoder}),
        labels=tuple(f"class{i}" for i in range(classes)),
        background_index=background,
    )


def outputs(boxes=None, logits=None, columns=3):
    """Real outputs of nothing, but for (anchor, box xyxy) and (anchor, column, logit)."""
    encoded = np.zeros((len(ANCHORS), 4), np.float32)
    scores = np.full((len(ANCHORS), columns), LOW, np.float32)
    for anchor, box in boxes or ():
        encoded[anchor] = encode_boxes(as_boxes(box), ANCHORS[anchor : anchor + 1], (10, 10, 5, 5))
    for anchor, column, logit in logits or ():
        scores[anchor, column] = logit
    return {"boxes": encoded, "scores": scores}


def test_one_object_in_pixels_of_the_original():
    # 300 wide and 200 high: an exchange of axes would show.
    real = outputs([(4, [0.25, 0.5, 0.5, 0.75])], [(4, 2, 1.0)])
    found = decode(real, contract(dtype="float32"), SIZE)
    np.testing.assert_allclose(found.boxes_xyxy, [[75, 100, 150, 150]], rtol=1e-5)
    assert found.names() == ["class2"]
    assert found.scores[0] == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-6)


def test_alike_boxes_of_one_class_leave_the_best_one():
    same = [0.2, 0.2, 0.6, 0.6]
    near = [0.2, 0.2, 0.6, 0.55]
    real = outputs(
        [(0, same), (5, near), (9, same)], [(0, 0, 1.0), (5, 0, 2.0), (9, 0, 0.5), (9, 1, 0.25)]
    )
    found = decode(real, contract(), SIZE)
    assert found.names() == ["class0", "class1"]
    np.testing.assert_allclose(found.boxes_xyxy[0], [60, 40, 180, 110], rtol=1e-5)
    assert len(decode(real, contract(nms_iou=0.95), SIZE)) == 3


@pytest.mark.parametrize(
    ("background", "columns"), [(0, [1, 2, 3]), (1, [0, 2, 3]), (3, [0, 1, 2])]
)
def test_background_is_never_answered_and_labels_keep_their_order(background, columns):
    real = outputs(columns=4)
    real["scores"][:, background] = 5.0
    for anchor, column in zip((0, 8, 17), columns, strict=True):
        real["scores"][anchor, column] = 1.0 - anchor / 100
    found = decode(real, contract(background=background), SIZE)
    assert found.names() == ["class0", "class1", "class2"]


def test_min_score_and_most_detections():
    real = outputs(logits=[(anchor, 0, 2.0 - anchor / 4) for anchor in range(len(ANCHORS))])
    scores = 1 / (1 + np.exp(-real["scores"][:, 0].astype(np.float64)))
    spread = {"nms_iou": 1.0}
    found = decode(real, contract(**spread, min_score=0.3), SIZE)
    assert len(found) == (scores >= 0.3).sum() < len(ANCHORS)
    assert (np.diff(found.scores) <= 0).all()
    np.testing.assert_allclose(found.scores, scores[: len(found)], rtol=1e-5)
    few = decode(real, contract(**spread, min_score=0.3, max_detections=4), SIZE)
    assert few.to_list() == found.to_list()[:4]


def test_min_score_takes_the_very_score_and_nothing_below():
    real = outputs(logits=[(0, 0, 0.0), (8, 1, -1e-5)])
    assert decode(real, contract(min_score=0.5), SIZE).names() == ["class0"]


@pytest.mark.parametrize(("min_score", "count"), [(0.0, 60), (1.0, 1)])
def test_ends_of_min_score(min_score, count):
    real = outputs(logits=[(0, 0, 40.0)])
    kept = {"nms_iou": 1.0, "max_detections": 1000}
    assert len(decode(real, contract(min_score=min_score, **kept), SIZE)) == count


def test_equal_scores_come_in_the_order_of_anchors_then_classes():
    real = outputs(logits=[(a, c, 1.0) for a in (17, 0, 8) for c in (2, 0)])
    found = decode(real, contract(), SIZE)
    again = decode({part: values[None] for part, values in real.items()}, contract(), SIZE)
    assert found.class_ids.tolist() == [0, 2] * 3
    assert found.boxes_xyxy[0].tolist() != found.boxes_xyxy[2].tolist()
    assert found.boxes_xyxy[:, 1].tolist() == sorted(found.boxes_xyxy[:, 1].tolist())
    assert found.to_list() == again.to_list()


def test_only_the_best_candidates_are_decoded(monkeypatch):
    real = outputs(logits=[(anchor, 0, anchor / 10) for anchor in range(len(ANCHORS))])
    all_found = decode(real, contract(nms_iou=1.0), SIZE)
    monkeypatch.setattr(decode_ssd, "MAX_CANDIDATES", 5)
    assert decode(real, contract(nms_iou=1.0), SIZE).to_list() == all_found.to_list()[:5]


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("background", [None, 0])
@given(data=st.data())
def test_integers_and_their_real_values_give_the_same(dtype, background, data):
    agreed = contract(dtype=dtype, background=background, min_score=0.3)
    raw = {
        part: data.draw(arrays(np.dtype(dtype), getattr(agreed, part).shape, unique=False))
        for part in ("boxes", "scores")
    }
    real = {part: dequantize(raw[part], getattr(agreed, part)) for part in raw}
    a, b = decode(raw, agreed, SIZE), decode(real, agreed, SIZE)
    np.testing.assert_array_equal(a.boxes_xyxy, b.boxes_xyxy)
    np.testing.assert_array_equal(a.scores, b.scores)
    np.testing.assert_array_equal(a.class_ids, b.class_ids)


@given(
    arrays(np.float32, (20, 4), elements=st.floats(-30, 30, width=32)),
    arrays(np.float32, (20, 3), elements=st.floats(-4, 4, width=32)),
)
def test_equals_plain_python(encoded, logits):
    """The whole decoder against the slow way: decode everything, sort, suppress."""
    agreed = contract(dtype="float32", min_score=0.2)
    found = decode({"boxes": encoded, "scores": logits}, agreed, (1, 1))
    boxes = np.clip(decode_boxes(encoded, ANCHORS, (10, 10, 5, 5)), 0, 1).astype(float)
    scores = 1 / (1 + np.exp(-logits.astype(float)))
    order = sorted(((a, c) for a in range(20) for c in range(3)), key=lambda ac: (-logits[ac], ac))
    kept = []
    for a, c in order:
        # A test right at the limit would compare roundings.
        if abs(scores[a, c] - 0.2) < 1e-6:
            return
        x1, y1, x2, y2 = boxes[a]
        if scores[a, c] < 0.2 or x2 <= x1 or y2 <= y1:
            continue
        overlaps = [_iou(boxes[a], boxes[b]) for b, d in kept if d == c]
        if any(abs(overlap - 0.5) < 1e-4 for overlap in overlaps):
            return
        if all(overlap <= 0.5 for overlap in overlaps):
            kept.append((a, c))
    assert found.class_ids.tolist() == [c for _, c in kept]
    if kept:
        np.testing.assert_allclose(found.boxes_xyxy, [boxes[a] for a, _ in kept], atol=1e-6)


def _iou(a, b):
    inside = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(
        0.0, min(a[3], b[3]) - max(a[1], b[1])
    )
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return inside / (areas - inside) if areas > inside else 0.0


strange = st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e4, 0.0, 1.0])


@given(arrays(np.float32, (20, 4), elements=strange), arrays(np.float32, (20, 3), elements=strange))
def test_broken_outputs_give_sound_boxes(encoded, logits):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = decode({"boxes": encoded, "scores": logits}, contract(dtype="float32"), SIZE)
    assert np.isfinite(found.boxes_xyxy).all()
    assert ((found.scores >= 0.01) & (found.scores <= 1)).all()
    x1, y1, x2, y2 = found.boxes_xyxy.T
    assert ((x1 >= 0) & (x1 < x2) & (x2 <= 300)).all()
    assert ((y1 >= 0) & (y1 < y2) & (y2 <= 200)).all()


def test_huge_sizes_are_the_whole_picture():
    real = outputs(logits=[(8, 0, 1.0)])
    real["boxes"][8] = [0, 0, 1e30, 1e30]
    found = decode(real, contract(), SIZE)
    np.testing.assert_array_equal(found.boxes_xyxy, [[0, 0, 300, 200]])


def test_boxes_outside_and_nan_are_dropped():
    real = outputs(logits=[(0, 0, 1.0), (8, 0, 1.0), (9, 1, np.nan), (17, 2, 1.0)])
    real["boxes"][0] = [-100, 0, 0, 0]
    real["boxes"][8] = [np.nan, 0, 0, 0]
    assert decode(real, contract(), SIZE).names() == ["class2"]


def test_outputs_are_not_changed():
    real = outputs([(4, [0.2, 0.2, 0.6, 0.6])], [(4, 1, 1.0)])
    for values in real.values():
        values.setflags(write=False)
    assert len(decode(real, contract(), SIZE)) == 1


def test_outputs_of_another_layout():
    real = outputs(columns=4)
    with pytest.raises(ModelError, match=r"'ssd': .*anchors are 20 and its classes 3.*\(20, 4\)"):
        decode(real, contract(), SIZE)


def test_anchors_of_the_object_detection_api():
    maps = ssd_anchor_maps([(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)])
    anchors = anchor_boxes(maps)
    assert len(anchors) == 1917
    np.testing.assert_allclose(anchors[0], [0.5 / 19, 0.5 / 19, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(anchors[1, 2:], [0.2 / 2**0.5, 0.2 * 2**0.5], rtol=1e-6)
    # Second map: scale 0.35; ratio 3 is the fourth anchor, sqrt(0.35 * 0.5) the sixth.
    np.testing.assert_allclose(anchors[1083 + 3, 2:], [0.35 / 3**0.5, 0.35 * 3**0.5], rtol=1e-6)
    np.testing.assert_allclose(anchors[1083 + 5, 2:], [0.175**0.5] * 2, rtol=1e-6)
    np.testing.assert_allclose(anchors[-1], [0.5, 0.5, 0.95**0.5, 0.95**0.5], rtol=1e-6)
