"""Text tables."""

from __future__ import annotations

from quantdet.runtime.predict import Prediction
from quantdet.tables import predictions_text, table


def test_columns_are_aligned():
    text = table(("name", "value"), [("a", "1"), ("long name", "1000")])
    lines = text.splitlines()
    assert len(lines) == 4
    assert lines[2].index("1") == lines[3].rindex("0")


def test_unread_picture_says_why():
    failed = Prediction("a.jpg", error="is truncated")
    assert predictions_text([failed]) == "a.jpg: not read: is truncated"
    assert predictions_text([Prediction("v.mp4", frame=7)]).startswith("v.mp4 #7: nothing found")
