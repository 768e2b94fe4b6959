"""Epochs where there are few pictures, or very many: what a training needs are steps."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from quantdet.config import TrainConfig

_log = logging.getLogger(__name__)
# Adam's running means are those of a few gradients until then.
_WARMUP_STEPS = 10
# Validation and checkpoints of an epoch take as long as a step or two.
_STEPS_AN_EPOCH = 10


@dataclass(frozen=True)
class Epochs:
    """How long a phase lasts.

    Attributes:
        count: epochs.
        passes: over all examples in each of them.
    """

    count: int
    passes: int = 1

    def __str__(self) -> str:
        return f"{self.count} epochs" + (f" of {self.passes} passes" if self.passes > 1 else "")


def choose_epochs(epochs: int, examples: int, train: TrainConfig) -> Epochs:
    """Return the epochs of a phase within ``train.min_steps`` and ``train.max_steps``.

    Where the minimum adds passes over a few examples, an epoch has several, and ten steps at least.

    Args:
        epochs: as configured; 0 stays 0.
        examples: in a pass, at least 1.
        train: says batch size and bounds; a bound of 0 is none.
    """
    steps = math.ceil(examples / train.batch_size)
    if not epochs or not steps:
        return Epochs(epochs)
    passes = max(epochs, math.ceil(train.min_steps / steps))
    if train.max_steps:
        passes = max(1, min(passes, train.max_steps // steps))
    if passes == epochs:
        return Epochs(epochs)
    chosen = _grouped(passes, steps) if passes > epochs else Epochs(passes)
    bound = "min_steps" if passes > epochs else "max_steps"
    _log.info(
        "%d pictures in batches of %d: %s instead of %d epochs (train.%s = %d)",
        *(examples, train.batch_size, chosen, epochs, bound, getattr(train, bound)),
    )
    return chosen


def _grouped(passes: int, steps: int) -> Epochs:
    together = math.ceil(_STEPS_AN_EPOCH / steps)
    return Epochs(math.ceil(passes / together), together)


def warmup_epochs(epochs: Epochs, examples: int, batch_size: int) -> float:
    """Return the epochs of rising rate: one, at least ten steps, at most a quarter of all."""
    steps = epochs.passes * math.ceil(examples / batch_size)
    return min(max(1.0, _WARMUP_STEPS / max(steps, 1)), epochs.count / 4)
