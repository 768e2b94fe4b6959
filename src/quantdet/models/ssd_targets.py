"""Which anchor is responsible for which object. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, Coder, as_boxes, cyxhw_to_xyxy, encode_boxes, iou_matrix
from quantdet.models.targets import PictureObjects

Floats = NDArray[np.float32]
Ones = NDArray[np.uint8]
_SMALLEST_SIDE = 1e-3


@dataclass(frozen=True)
class Matcher:
    """Assigns objects to anchors by overlap (Liu et al. 2016, arXiv:1512.02325, section 2.2).

    An anchor learns the object that it overlaps most if their IoU is at least ``positive``; an
    anchor between ``negative`` and ``positive`` counts neither way. Every object gets the anchor
    that fits it best, even below ``positive``.

    Attributes:
        anchors_cyxhw: float32 (N, 4), fractions of the picture.
        coder: factors of the encoded boxes.
        num_classes: without background.
        positive: lowest IoU of a positive anchor.
        negative: IoU below which an anchor is background.
    """

    anchors_cyxhw: Boxes
    coder: Coder
    num_classes: int
    positive: float = 0.5
    negative: float = 0.4

    def __call__(self, objects: PictureObjects) -> dict[str, Floats | Ones]:
        """Return the targets of one picture.

        Returns:
            "boxes" float32 (N, 5): encoded box, then 1 for positive anchors and 0 for others;
            "scores" uint8 (N, num_classes + 1): one-hot class, then 1 where the anchor counts.
            They are most of a batch's targets, and losses turn them into floats.
        """
        count = len(self.anchors_cyxhw)
        boxes = np.zeros((count, 5), np.float32)
        scores = np.zeros((count, self.num_classes + 1), np.uint8)
        scores[:, -1] = 1
        if len(objects.class_ids):
            overlaps = iou_matrix(as_boxes(objects.boxes_xyxy_norm), self._corners())
            self._ignore(scores, overlaps[objects.ignored])
            self._learn(boxes, scores, objects, overlaps)
        return {"boxes": boxes, "scores": scores}

    def _corners(self) -> Boxes:
        return cyxhw_to_xyxy(self.anchors_cyxhw)

    def _ignore(self, scores: Ones, overlaps: Floats) -> None:
        if len(overlaps):
            scores[overlaps.max(axis=0) >= self.negative, -1] = 0

    def _learn(
        self, boxes: Floats, scores: Ones, objects: PictureObjects, overlaps: Floats
    ) -> None:
        learned = np.flatnonzero(~objects.ignored)
        if not len(learned):
            return
        overlaps = overlaps[learned]
        owner, best = overlaps.argmax(axis=0), overlaps.max(axis=0)
        # Worst-served objects last, so that they keep their best anchor in a conflict.
        for row in np.argsort(-overlaps.max(axis=1), kind="stable"):
            forced = int(overlaps[row].argmax())
            owner[forced], best[forced] = row, 1.0
        scores[(best >= self.negative) & (best < self.positive), -1] = 0
        anchors = np.flatnonzero(best >= self.positive)
        index = learned[owner[anchors]]
        corners = as_boxes(objects.boxes_xyxy_norm[index])
        # A box cut down to a line has no logarithm.
        corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + _SMALLEST_SIDE)
        boxes[anchors, :4] = encode_boxes(corners, self.anchors_cyxhw[anchors], self.coder)
        boxes[anchors, 4] = 1.0
        scores[anchors] = 0
        scores[anchors, objects.class_ids[index]] = 1
        scores[anchors, -1] = 1
