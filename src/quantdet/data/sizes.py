"""Objects that are too small for a model."""

from __future__ import annotations

from collections.abc import Iterator

from quantdet.config import ModelConfig
from quantdet.data.facts import box_side
from quantdet.data.findings import Finding
from quantdet.data.sample import Dataset
from quantdet.kinds import DETECTOR, find_family, find_kind

SMALLEST_ANCHORS = {"classic": 0.1, "small_objects": 0.05}
"""[model] anchors → side of the smallest square anchor as a share of the picture."""

# The last map of a localizer has a cell for so many pixels of the input.
_LOCALIZER_STRIDE = 32


def small_objects(dataset: Dataset, model: ModelConfig) -> Iterator[Finding]:
    """Yield how many objects a model can hardly find, and which setting helps.

    An object with half the side of the smallest anchor has an IoU of 0.25 with it at best; one
    smaller than half a cell leaves little trace in the map.
    """
    limit = _least_side(model)
    pictures = {s.image_path: s for members in dataset.splits.values() for s in members}
    sides = [box_side(item.box_xyxy, s.size_hw) for s in pictures.values() for item in s.objects]
    small = sum(side * model.input_size < limit for side in sides)
    if limit and small:
        message = (
            f"{small} of {len(sides)} objects have sides under {limit:.0f} pixels at the model's "
            f"input of {model.input_size} pixels, which is too small for {model.name!r}"
        )
        yield Finding("warning", "small_objects", str(dataset.root), message, _remedy(model), small)


def _least_side(model: ModelConfig) -> float:
    """Return the side in pixels below which an object is small; 0 if nobody knows."""
    if find_family(model.name) == DETECTOR:
        return SMALLEST_ANCHORS.get(model.anchors, 0.0) * model.input_size / 2
    return _LOCALIZER_STRIDE / 2


def _remedy(model: ModelConfig) -> str:
    cut = "cutting the pictures into parts"
    if find_family(model.name) == DETECTOR:
        anchors = "--set model.anchors=small_objects or " if model.anchors == "classic" else ""
        return f"{anchors}{cut} helps"
    largest = find_kind(model.name).sizes[-1]
    larger = f"--set model.input_size=N (up to {largest}) or " if model.input_size < largest else ""
    return f"{larger}{cut} helps"
