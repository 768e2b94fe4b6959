"""The teacher of a float training: the detector that it started from, at its own width."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from quantdet.config import Config, TrainConfig
from quantdet.errors import ConfigError
from quantdet.models import WeightSet
from quantdet.models.ssd import build_starting_ssd
from quantdet.quant.fold import fold_batch_norm


def check_teacher(train: TrainConfig, weights: WeightSet | None, labels: Sequence[str]) -> None:
    """Refuse to follow what cannot answer for every class.

    Args:
        train: its ``distill`` says whether there is a teacher.
        weights: to start from, None for random ones.
        labels: classes of the data set.

    Raises:
        ConfigError: they are of no detector, or of one that lacks a class.
    """
    if not train.distill:
        return
    if weights is None or weights.head is None:
        raise ConfigError(
            "train.distill: the starting weights are not of a detector, so there is nothing to "
            "follow; set [model] weights to a detector or an earlier run, or train.distill to 0"
        )
    rows = weights.head.class_rows
    missing = [label for label, row in zip(labels, rows, strict=True) if row is None]
    if missing:
        raise ConfigError(
            f"train.distill: {weights.source} does not know {', '.join(missing)}; train a wide "
            "model on this data first and start from it (--weights RUN), name their classes in "
            "[model.start_classes], or set train.distill to 0"
        )


def find_teacher(config: Config, weights: WeightSet | None, num_classes: int) -> keras.Model | None:
    """Return the teacher, with BatchNorm folded; None where ``[train] distill`` is 0.

    Args:
        config: of the run.
        weights: that :func:`check_teacher` let pass.
        num_classes: classes without background.
    """
    if not config.train.distill or weights is None:
        return None
    teacher = build_starting_ssd(config.model, num_classes, weights)
    return fold_batch_norm(teacher, over_borders=True)
