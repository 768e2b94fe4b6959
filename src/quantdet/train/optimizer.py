"""Optimizers and learning rates of the training loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import keras
from keras import ops

from quantdet.quant.tensors import Tensor
from quantdet.train.settings import FitSettings

Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule
# Trainable variables of fake quantization (quant/layers.py).
_RANGES = ("minimum", "maximum", "scale")


# Of the moving average: after t steps it weighs the last quarter of them (eta = 3 in the paper).
_AVERAGE_WARMUP = 4.0


class LayerwiseAdamW(keras.optimizers.AdamW):
    """AdamW with a factor on the learning rate of each layer, and one for learned ranges.

    Adam's steps do not depend on the size of the gradient, so scaling gradients would not do.

    A moving average of the variables (``use_ema``) follows from the first step: its momentum rises
    as t / (t + 4) after t steps, up to ``ema_momentum`` (polynomial-decay averaging, Shamir and
    Zhang 2013, arXiv:1212.1824). With Keras' constant 0.998 a training of 96 steps would keep 83 %
    of what it started from.

    Args:
        learning_rate: rate or schedule.
        layer_rates: (start of a layer's name, factor), first match wins; no match means 1.
        range_rate: factor for ranges and scales of fake quantization.
        **kwargs: of AdamW.
    """

    def __init__(
        self,
        learning_rate: Rate,
        layer_rates: Sequence[tuple[str, float]] = (),
        range_rate: float = 1.0,
        **kwargs: object,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self._layer_rates = tuple(layer_rates)
        self._range_rate = range_rate

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Rate) -> None:
        """Update one variable at its layer's rate."""
        # TensorFlow passes its own kind of variable, which has no path.
        path = self._trainable_variables[self._get_variable_index(variable)].path
        super().update_step(gradient, variable, learning_rate * self._factor(path))

    def _update_model_variables_moving_average(
        self, trainable_variables: Sequence[keras.Variable]
    ) -> None:
        steps = ops.cast(self.iterations, "float32")
        momentum = ops.minimum(steps / (steps + _AVERAGE_WARMUP), self.ema_momentum)
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            if average is not None:
                share = ops.cast(momentum, average.dtype)
                average.assign(share * average + (1 - share) * variable)

    def _overwrite_model_variables_with_average_value(
        self, trainable_variables: Sequence[keras.Variable]
    ) -> None:
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            if average is not None:
                # A copy: assigned itself, JAX has one buffer for both, and a step gives it away
                # twice. Keras does this at the end of each `fit`.
                variable.assign(ops.copy(average))

    def _factor(self, path: str) -> float:
        if path.rpartition("/")[2] in _RANGES:
            return self._range_rate
        for start, factor in self._layer_rates:
            if path.startswith(start):
                return factor
        return 1.0


def make_optimizer(settings: FitSettings, steps_per_epoch: int) -> LayerwiseAdamW:
    """Return the optimizer that ``settings`` describe."""
    optimizer = LayerwiseAdamW(
        _learning_rate(settings, steps_per_epoch),
        settings.layer_rates,
        settings.range_rate,
        # Adam is AdamW without decay.
        weight_decay=settings.weight_decay if settings.optimizer == "adamw" else 0.0,
        global_clipnorm=settings.clip_norm or None,
        use_ema=settings.ema > 0,
        # The averages are swapped in by the loop, never left to overwrite the variables.
        ema_momentum=settings.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma", *_RANGES])
    return optimizer


def _learning_rate(settings: FitSettings, steps_per_epoch: int) -> Rate:
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    steps = settings.epochs * steps_per_epoch
    if settings.schedule == "constant" and not warmup:
        return settings.learning_rate
    # A cosine that never falls (alpha 1) is a constant rate with warm-up.
    rate: Rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else settings.learning_rate,
        decay_steps=max(steps - warmup, 1),
        alpha=1.0 if settings.schedule == "constant" else 0.0,
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    return rate
