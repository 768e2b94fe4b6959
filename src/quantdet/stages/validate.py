"""Mean AP of a detector on the validation split while it trains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from quantdet.config import Config
from quantdet.detections import Detections
from quantdet.evaluate.mean_ap import AP_KINDS, match_detections, mean_over_classes
from quantdet.evaluate.predictors import decode_batch
from quantdet.evaluate.truth import Truth
from quantdet.export.contract import DECODERS
from quantdet.kinds import DETECTOR, find_family
from quantdet.models.targets import PictureObjects
from quantdet.runtime.contract import Contract, InputSpec, TensorSpec
from quantdet.runtime.draw import draw_detections
from quantdet.train.pictures import PictureSource
from quantdet.train.validation import Accuracy, Outputs, Validator

_DRAWN = 4
_DRAWN_FROM = 0.3
"""Least score of a box that is drawn."""


def find_validator(
    config: Config, labels: Sequence[str], pictures: PictureSource
) -> Validator | None:
    """Return who measures mean AP (VOC07) on validation pictures; None: nothing to measure.

    Args:
        config: of the run.
        labels: class names.
        pictures: with their objects; those that are ignored count neither way.
    """
    counted = sum(int((~item.ignored).sum()) for item in pictures.objects)
    if find_family(config.model.name) != DETECTOR or not counted:
        return None
    return MeanApValidator(config, tuple(labels), pictures)


class MeanApValidator:
    """Measures mean AP in the pixels of the model's input: IoU is the same at every scale."""

    def __init__(self, config: Config, labels: tuple[str, ...], pictures: PictureSource) -> None:
        side = config.model.input_size
        self._contract = _float_contract(config, labels)
        self._pictures = pictures
        self._size_hw = (side, side)
        self._truths = [_truth(item, side) for item in pictures.objects]
        self.objects = int(sum((~truth.difficult).sum() for truth in self._truths))

    def measure(self, outputs: Iterable[Outputs]) -> Accuracy:
        """Return mean AP, and the first pictures with what was found."""
        answers: list[Detections] = []
        for batch in outputs:
            sizes = [self._size_hw] * len(batch["boxes"])
            answers += decode_batch(dict(batch), self._contract, sizes)
        matches = match_detections(answers, self._truths, len(self._contract.labels))
        values = np.array([AP_KINDS["voc07"](item, None)[0] for item in matches])
        return Accuracy(float(mean_over_classes(values)), self._draw(answers[:_DRAWN]))

    def _draw(self, answers: Sequence[Detections]) -> list[NDArray[np.uint8]]:
        images, rows = self._pictures.images, self._pictures.rows
        return [
            draw_detections(np.array(images[row]), found[found.scores >= _DRAWN_FROM])
            for row, found in zip(rows, answers, strict=False)
        ]


def _truth(objects: PictureObjects, side: int) -> Truth:
    return Truth(objects.boxes_xyxy_norm * side, objects.class_ids, objects.ignored)


def _float_contract(config: Config, labels: tuple[str, ...]) -> Contract:
    """Return how the float outputs of a model in training are decoded."""
    decoder, background = DECODERS[find_family(config.model.name)](config)
    side = config.model.input_size

    def spec(name: str, *shape: int) -> TensorSpec:
        return TensorSpec(name=name, shape=shape, dtype="float32")

    anchors = sum(item.rows * item.cols * len(item.shapes_hw) for item in decoder.anchors)
    return Contract(
        task=config.model.name,
        input=InputSpec(tensor=spec("image", 1, side, side, 3), size_hw=(side, side)),
        boxes=spec("boxes", 1, anchors, 4),
        scores=spec("scores", 1, anchors, len(labels)),
        decoder=decoder,
        labels=labels,
        background_index=background,
    )
