"""Pictures, truth and detections in a few words."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from quantdet.boxes import as_boxes
from quantdet.detections import Detections
from quantdet.evaluate.truth import Truth

LABELS = ("ant", "bee", "cow")


def truth(*objects):
    """Objects as (box, class_id) or (box, class_id, difficult)."""
    parts = [(*item, False)[:3] for item in objects]
    return Truth(
        as_boxes([box for box, _, _ in parts]),
        np.array([class_id for _, class_id, _ in parts], np.int64),
        np.array([difficult for *_, difficult in parts], np.bool_),
    )


def found(*detections, labels=LABELS):
    """Detections as (box, class_id, score)."""
    return Detections(
        as_boxes([box for box, _, _ in detections]),
        np.array([score for *_, score in detections], np.float32),
        np.array([class_id for _, class_id, _ in detections], np.int64),
        labels,
    )


# Small whole numbers: every IoU is a fraction that float32 and float64 compare alike.
_corner = st.integers(0, 6)
_side = st.integers(1, 6)
_class_id = st.integers(0, len(LABELS) - 1)
_box = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), _corner, _corner, _side, _side)
_object = st.tuples(_box, _class_id, st.booleans())


@st.composite
def scenes(draw):
    """Return (answers, truths) of a few pictures; many answers are an object, moved a little."""
    answers, truths = [], []
    for _ in range(draw(st.integers(1, 5))):
        objects = draw(st.lists(_object, max_size=4))
        near = [item[0] for item in objects] or [(0, 0, 3, 3)]
        moved = st.builds(
            lambda box, dx, wider: (box[0] + dx, box[1], box[2] + dx + wider, box[3]),
            st.sampled_from(near),
            st.integers(-1, 1),
            st.integers(0, 2),
        )
        detection = st.tuples(moved | _box, _class_id, st.integers(1, 8).map(lambda n: n / 8))
        answers.append(found(*draw(st.lists(detection, max_size=8))))
        truths.append(truth(*objects))
    return answers, truths
