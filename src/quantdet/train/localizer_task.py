"""The single-object task: a data set becomes examples, losses and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantdet.config import Config
from quantdet.data.augment import AUGMENTATIONS
from quantdet.data.cache import ImageCache
from quantdet.data.sample import Dataset
from quantdet.data.selection import single_object_targets
from quantdet.errors import DataError
from quantdet.models.localizer import head_input
from quantdet.models.losses import losses_for, metrics_for, quantized_losses_for
from quantdet.models.targets import PictureObjects, grid_targets
from quantdet.progress import Progress, silent
from quantdet.train.pictures import Encode, PictureSource, Vary, fingerprint
from quantdet.train.task import PictureTask, all_objects, cached_split


def localizer_task(config: Config, dataset: Dataset, progress: Progress = silent) -> PictureTask:
    """Prepare the single-object task.

    Head "global" learns the one object that [target] chooses; pictures without one are left
    out. Head "grid" learns every object of every annotated picture; difficult ones count
    neither way.

    Raises:
        DataError: a split is missing or holds nothing to learn, or a picture is faulty.
    """
    train, train_cache = _source(config, dataset, config.data.train_split, progress)
    skipped, validation = train_cache.skipped, None
    if dataset.splits.get(config.data.val_split):
        validation, cache = _source(config, dataset, config.data.val_split, progress)
        skipped += cache.skipped
        key = fingerprint(cache.key, validation)
    else:
        key = "no validation"
    if config.train.augment != "none":
        train = replace(train, augment=Vary(AUGMENTATIONS[config.train.augment], keep_objects=True))
    return PictureTask(
        train=train,
        validation=validation,
        losses=losses_for(config.model.head),
        quantized_losses=quantized_losses_for(config.model.head),
        metrics=metrics_for(config.model.head),
        head_input=head_input(config.model),
        fingerprint=f"{fingerprint(train_cache.key, train)} {key}",
        skipped=skipped,
    )


def _source(
    config: Config, dataset: Dataset, split: str, progress: Progress
) -> tuple[PictureSource, ImageCache]:
    cache = cached_split(config, dataset, split, progress)
    if config.model.head == "global":
        return _single_source(config, cache, dataset.labels, split), cache
    return _grid_source(config, cache, dataset.labels), cache


def _single_source(
    config: Config, cache: ImageCache, labels: Sequence[str], split: str
) -> PictureSource:
    chosen = single_object_targets(cache.samples, labels, config.target)
    if not len(chosen.indices):
        raise DataError(
            f"split {split!r}: [target] leaves no object in any of {len(cache.samples)} pictures; "
            "set target.skip_difficult or target.skip_truncated to false"
        )
    boxes_xyxy_norm = chosen.boxes_yxyx_norm[:, [1, 0, 3, 2]]
    objects = [
        PictureObjects(boxes_xyxy_norm[i : i + 1], chosen.class_ids[i : i + 1], np.zeros(1, bool))
        for i in range(len(chosen.indices))
    ]
    return PictureSource(cache.images, chosen.indices, objects, encode_single)


def _grid_source(config: Config, cache: ImageCache, labels: Sequence[str]) -> PictureSource:
    ids = {name: class_id for class_id, name in enumerate(labels)}
    objects = [all_objects(sample, ids) for sample in cache.samples]
    encode = grid_encoder(config.model.input_size // 32, len(labels))
    return PictureSource(cache.images, np.arange(len(objects)), objects, encode)


def encode_single(objects: PictureObjects) -> dict[str, NDArray[np.number]]:
    """Return the targets of head "global": ymin, xmin, ymax, xmax and class_id + 1."""
    return {
        "boxes": objects.boxes_xyxy_norm[0, [1, 0, 3, 2]],
        "scores": objects.class_ids[0] + 1,
    }


def grid_encoder(side: int, num_classes: int) -> Encode:
    """Return the function that makes the targets of head "grid"."""

    def encode(objects: PictureObjects) -> dict[str, NDArray[np.number]]:
        boxes, scores = grid_targets(objects, side, num_classes)
        return {"boxes": boxes, "scores": scores}

    return encode
