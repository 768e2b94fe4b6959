import io
import json
import pickle
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from quantdet.boxes import as_boxes
from quantdet.detections import Detections
from quantdet.errors import DependencyError
from quantdet.runtime.picture import drawer


def make(scores, class_ids=None, labels=("cat", "dog")):
    count = len(scores)
    return Detections(
        as_boxes([[i, i, i + 10, i + 20] for i in range(count)]),
        np.array(scores, np.float32),
        np.array(class_ids if class_ids is not None else [0] * count, np.int64),
        labels,
    )


def test_empty_has_no_detection_and_keeps_labels():
    nothing = Detections.empty(("cat",))
    assert len(nothing) == 0
    assert nothing.labels == ("cat",)
    assert nothing.to_list() == []


@given(st.lists(st.floats(0, 1, width=32), max_size=8), st.floats(0, 1, width=32))
def test_above_keeps_order_and_takes_equal_scores(scores, threshold):
    kept = make(scores).above(threshold)
    expected = [i for i, score in enumerate(scores) if score >= np.float32(threshold)]
    assert kept.boxes_xyxy[:, 0].tolist() == expected
    assert len(kept) == len(kept.scores) == len(kept.class_ids)


def test_above_at_the_very_score():
    assert len(make([0.5]).above(0.5)) == 1


def test_above_takes_a_threshold_for_each_label():
    found = make([0.9, 0.8, 0.7], [0, 1, 1])
    kept = found.above(np.array([0.95, 0.7]))
    # float32 0.7 is a little less than 0.7, and still meant.
    assert kept.scores.tolist() == found.scores[1:].tolist()


def test_names_falls_back_to_numbers():
    assert make([0.9, 0.8, 0.7], [1, 5, -1]).names() == ["dog", "5", "-1"]


def test_to_list_is_json_in_pixels():
    (record,) = json.loads(json.dumps(make([0.912345], [1]).to_list()))
    assert record == {
        "label": "dog",
        "class_id": 1,
        "score": 0.9123,
        "box_xyxy": [0.0, 0.0, 10.0, 20.0],
    }


@pytest.mark.parametrize(
    ("boxes", "scores", "classes", "message"),
    [
        (np.zeros((2, 5)), np.zeros(2), np.zeros(2), "boxes_xyxy has shape"),
        (np.zeros((2, 4)), np.zeros(1), np.zeros(2), "2 boxes, but scores"),
        (np.zeros((2, 4)), np.zeros(2), np.zeros(3), "2 boxes, but scores"),
    ],
)
def test_arrays_that_do_not_belong_together(boxes, scores, classes, message):
    with pytest.raises(ValueError, match=message):
        Detections(boxes.astype(np.float32), scores.astype(np.float32), classes.astype(np.int64))


def test_some_of_several():
    found = make([0.9, 0.8, 0.7], [0, 1, 1])
    assert found[0] == ("cat", 0, pytest.approx(0.9), (0.0, 0.0, 10.0, 20.0))
    assert found[-1].label == "dog"
    assert found[found.scores.argmin()].label == "dog"
    assert found[:2].scores.tolist() == found.scores[:2].tolist()
    assert found[found.class_ids == 1].boxes_xyxy[:, 0].tolist() == [1, 2]
    assert found[[2, 0]].labels == ("cat", "dog")
    assert [item.label for item in found] == ["cat", "dog", "dog"]
    assert list(found)[2] == found[2]
    with pytest.raises(IndexError):
        found[3]


def test_a_line_says_what_was_found():
    assert repr(Detections.empty()) == "Detections(0)"
    assert repr(make([0.912, 0.5], [1, 0])) == "Detections(2: dog 0.91, cat 0.50)"
    many = repr(make([0.9] * 6))
    assert many == "Detections(6: cat 0.90, cat 0.90, cat 0.90, cat 0.90, …)"


def test_records_are_rows():
    (record,) = make([0.912345], [1]).to_records()
    assert record == {
        "label": "dog", "class_id": 1, "score": 0.9123, "x1": 0.0, "y1": 0.0, "x2": 10.0, "y2": 20.0
    }  # fmt: skip


def test_supervision(monkeypatch):
    class Theirs:
        def __init__(self, **fields):
            self.__dict__ = fields

    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=Theirs))
    found = make([0.9, 0.8], [0, 1])
    theirs = found.to_supervision()
    np.testing.assert_array_equal(theirs.xyxy, found.boxes_xyxy)
    assert theirs.data["class_name"].tolist() == ["cat", "dog"]
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(DependencyError, match="pip install supervision"):
        found.to_supervision()


def test_a_notebook_shows_the_picture(tmp_path):
    pixels = np.full((40, 60, 3), 200, np.uint8)
    image = Image.fromarray(pixels)
    file = tmp_path / "grey.png"
    image.save(file)
    found = replace(make([0.9, 0.8]), draw=drawer(pixels))
    for known in (file, str(file), image):
        assert replace(found, draw=drawer(known))._repr_png_() == found._repr_png_()
    shown = np.asarray(Image.open(io.BytesIO(found._repr_png_())))
    assert shown.shape == pixels.shape
    assert (shown != 200).any()
    assert found[found.scores > 0.85]._repr_png_() != found._repr_png_()


def test_without_a_picture_a_notebook_shows_the_line(tmp_path):
    assert make([0.9])._repr_png_() is None
    gone = replace(make([0.9]), draw=drawer(np.zeros((4, 4, 3), np.uint8)))
    assert gone._repr_png_() is None, "detections keep no picture in memory"
    assert replace(gone, draw=drawer(tmp_path / "removed.png"))._repr_png_() is None


def test_detections_travel_to_other_processes():
    found = replace(make([0.9, 0.8], [0, 1]), draw=drawer(np.zeros((4, 4, 3), np.uint8)))
    assert pickle.loads(pickle.dumps(found)).to_list() == found.to_list()
