"""Epochs where there are few pictures, or very many: what a training needs are steps."""

from __future__ import annotations

import logging
import math

from quantdet.config import TrainConfig

_log = logging.getLogger(__name__)
# Adam's running means are those of a few gradients until then.
_WARMUP_STEPS = 10


def choose_epochs(epochs: int, examples: int, train: TrainConfig) -> int:
    """Return the epochs of a phase within ``train.min_steps`` and ``train.max_steps``.

    Args:
        epochs: as configured; 0 stays 0.
        examples: in an epoch, at least 1.
        train: says batch size and bounds; a bound of 0 is none.
    """
    steps = math.ceil(examples / train.batch_size)
    if not epochs or not steps:
        return epochs
    chosen = max(epochs, math.ceil(train.min_steps / steps))
    if train.max_steps:
        chosen = max(1, min(chosen, train.max_steps // steps))
    if chosen != epochs:
        bound = "min_steps" if chosen > epochs else "max_steps"
        _log.info(
            "%d pictures are %d steps an epoch: %d epochs instead of %d (train.%s = %d)",
            *(examples, steps, chosen, epochs, bound, getattr(train, bound)),
        )
    return chosen


def warmup_epochs(epochs: int, examples: int, batch_size: int) -> float:
    """Return the epochs of rising rate: one, at least ten steps, at most a quarter of all."""
    steps = math.ceil(examples / batch_size)
    return min(max(1.0, _WARMUP_STEPS / max(steps, 1)), epochs / 4)
