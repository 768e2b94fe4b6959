"""The many-object task: a data set becomes examples, losses and metrics for ``ssd``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quantdet.config import Config
from quantdet.data.augment import AUGMENTATIONS
from quantdet.data.cache import ImageCache
from quantdet.data.sample import Dataset
from quantdet.models.losses import FocalCells, HuberOffsets, cell_accuracy
from quantdet.models.ssd import find_layout, ssd_anchors, ssd_head_input
from quantdet.models.ssd_targets import Matcher
from quantdet.progress import Progress, silent
from quantdet.runtime.anchors import anchor_boxes
from quantdet.train.balance import repeated_rows
from quantdet.train.distill import logit_agreement, offset_agreement
from quantdet.train.pictures import PictureSource, Vary, fingerprint
from quantdet.train.task import PictureTask, all_objects, cached_split

# Anchors that nobody needs reach -80 in both outputs. Offsets of 10 are a shift by a whole anchor
# or e² times its size, and a logit of -6 is a probability of 0.0025: no range is spent on more.
_OUTPUT_RANGES = {"boxes": (-10.0, 10.0), "scores": (-6.0, 5.0)}


def ssd_task(config: Config, dataset: Dataset, progress: Progress = silent) -> PictureTask:
    """Prepare the many-object task: every object of every annotated picture.

    Pictures without objects are learned as background. Difficult objects count neither way.

    Raises:
        DataError: a split is missing, or a picture is faulty.
    """
    train, cache = _source(config, dataset, config.data.train_split, progress)
    skipped, validation, key = cache.skipped, None, "no validation"
    if dataset.splits.get(config.data.val_split):
        validation, val_cache = _source(config, dataset, config.data.val_split, progress)
        skipped += val_cache.skipped
        key = fingerprint(val_cache.key, validation)
    if config.train.balance:
        rows = repeated_rows(train.objects, len(dataset.labels), config.train.seed)
        train = replace(train, rows=rows, objects=[train.objects[row] for row in rows])
    if config.train.augment != "none":
        large = None
        if config.train.crop_scale > 1.0:
            scale = config.train.crop_scale
            large = cached_split(config, dataset, config.data.train_split, progress, scale).images
        train = replace(train, augment=Vary(AUGMENTATIONS[config.train.augment]), large=large)
    return PictureTask(
        train=train,
        validation=validation,
        losses={"boxes": HuberOffsets(), "scores": FocalCells()},
        metrics={"scores": [cell_accuracy]},
        head_input=ssd_head_input(config.model),
        fingerprint=f"{fingerprint(cache.key, train)} {key}",
        skipped=skipped,
        output_ranges=_OUTPUT_RANGES,
        agreements={"boxes": offset_agreement, "scores": logit_agreement},
    )


def _source(
    config: Config, dataset: Dataset, split: str, progress: Progress
) -> tuple[PictureSource, ImageCache]:
    cache = cached_split(config, dataset, split, progress)
    ids = {name: class_id for class_id, name in enumerate(dataset.labels)}
    objects = [all_objects(sample, ids) for sample in cache.samples]
    encode = _matcher(config, dataset.labels)
    return PictureSource(cache.images, np.arange(len(objects)), objects, encode), cache


def _matcher(config: Config, labels: Sequence[str]) -> Matcher:
    anchors = anchor_boxes(ssd_anchors(config.model))
    return Matcher(anchors, find_layout(config.model).box_coder, len(labels))
