"""How one phase is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FitSettings:
    """How to train.

    Attributes:
        epochs: after each of which is validated and saved.
        passes: over the training examples in an epoch.
        batch_size: examples per step.
        optimizer: "adam" or "adamw".
        learning_rate: highest rate.
        weight_decay: for "adamw"; biases and BatchNorm are left out of it.
        schedule: "constant", or "cosine" down to zero.
        warmup_epochs: linear rise from zero at the start; may be a fraction.
        clip_norm: largest norm of the whole gradient; 0 means no limit.
        seed: of order, augmentation and dropout.
        mixed_precision: compute in bfloat16, keep variables in float32.
        ema: momentum of the moving average of the variables, which is then what is validated
            and kept; 0 means none (Polyak and Juditsky 1992). It rises to that in the first steps.
        layer_rates: (start of a layer's name, factor on its learning rate), first match wins.
        range_rate: factor on the learning rate of learned ranges and scales.
        keep: "best" epoch on the validation examples, or the "last".
        validate_every: epochs between measurements of accuracy; the last is always measured. 0:
            only losses.
        patience: epochs without a better validation after which training ends; 0: never.
        workers: processes that make the training batches; 0: the one that trains.
        devices: of each machine, which share the batches.
    """

    epochs: int
    passes: int = 1
    batch_size: int = 32
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = 0.0
    clip_norm: float = 0.0
    seed: int = 0
    mixed_precision: bool = False
    ema: float = 0.0
    layer_rates: tuple[tuple[str, float], ...] = ()
    range_rate: float = 1.0
    keep: Literal["best", "last"] = "best"
    validate_every: int = 0
    patience: int = 0
    workers: int = 0
    devices: int = 1
