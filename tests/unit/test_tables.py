"""Text tables."""

from __future__ import annotations

import numpy as np

from quantdet.boxes import as_boxes
from quantdet.cli.predictions_text import predictions_text
from quantdet.cli.tables import table
from quantdet.detections import Detection, Detections
from quantdet.runtime.predict import Prediction


def test_columns_are_aligned():
    text = table(("name", "value"), [("a", "1"), ("long name", "1000")])
    lines = text.splitlines()
    assert len(lines) == 4
    assert lines[2].index("1") == lines[3].rindex("0")


def test_many_objects_have_a_line_each():
    found = Detections(
        as_boxes([[0, 0, 9, 9], [1, 2, 3, 4]]),
        np.float32([0.9, 0.5]),
        np.int64([1, 0]),
        ("a", "dog"),
    )
    head, first, second = predictions_text([Prediction("x.jpg", detections=found)]).splitlines()
    assert head.startswith("x.jpg: 2 objects")
    assert first == "  dog  90 % at [0.0, 0.0, 9.0, 9.0]"
    assert second == "  a    50 % at [1.0, 2.0, 3.0, 4.0]"


def test_unread_picture_says_why():
    failed = Prediction("a.jpg", error="is truncated")
    assert predictions_text([failed]) == "a.jpg: not read: is truncated"
    assert predictions_text([Prediction("v.mp4", frame=7)]).startswith("v.mp4 #7: nothing found")


def test_nothing_shown_says_what_the_best_score_was_and_what_to_try():
    def empty(name, nearest=None):
        return Prediction(name, nearest=nearest)

    animal = Detection("animal", 0, 0.1139, (0.0, 0.0, 1.0, 1.0))
    lines = predictions_text([empty("a.jpg", animal), empty("b.jpg")]).splitlines()
    assert lines[0].startswith("a.jpg: nothing found, at best animal 11.4 %")
    assert lines[1].startswith("b.jpg: nothing found (")
    # Rounded down: with it the best one is shown.
    assert lines[2] == (
        "nothing reached the threshold in 2 of 2; the best score there was 11.4 %, "
        "try --threshold 0.113"
    )
    assert len(predictions_text([empty("b.jpg")]).splitlines()) == 1
