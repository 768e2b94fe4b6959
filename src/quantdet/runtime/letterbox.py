"""Letterbox: a picture keeps its aspect ratio, and a grey border fills the model's input."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import clip
from quantdet.detections import Detections


@dataclass(frozen=True)
class Placement:
    """Where a picture lies within the model's input.

    Attributes:
        original_hw: height and width of the picture.
        resized_hw: of the same within the input.
        top_left: its first row and column there.
    """

    original_hw: tuple[int, int]
    resized_hw: tuple[int, int]
    top_left: tuple[int, int]

    @classmethod
    def of(cls, original_hw: tuple[int, int], input_hw: tuple[int, int]) -> Placement:
        """Return the largest that fits, in the middle."""
        scale = min(whole / side for whole, side in zip(input_hw, original_hw, strict=True))
        height, width = (max(1, round(side * scale)) for side in original_hw)
        top, left = (input_hw[0] - height) // 2, (input_hw[1] - width) // 2
        return cls(original_hw, (height, width), (top, left))

    def put(
        self, resized: NDArray[np.uint8], input_hw: tuple[int, int], grey: int
    ) -> NDArray[np.uint8]:
        """Return the model's input, uint8 (*input_hw, 3), with the resized picture in it."""
        canvas = np.full((*input_hw, 3), grey, np.uint8)
        (top, left), (height, width) = self.top_left, self.resized_hw
        canvas[top : top + height, left : left + width] = resized
        return canvas

    def to_original(self, found: Detections) -> Detections:
        """Return detections in pixels of the picture; what lies on the border is left out."""
        (height, width), (top, left) = self.resized_hw, self.top_left
        shift = np.array([left, top, left, top], np.float32)
        scale_y, scale_x = self.original_hw[0] / height, self.original_hw[1] / width
        scale = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
        boxes = clip((found.boxes_xyxy - shift) * scale, self.original_hw)
        kept = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        return replace(found, boxes_xyxy=boxes)[kept]
