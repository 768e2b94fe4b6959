"""Make variables before the first step."""

from __future__ import annotations

from typing import Any

import keras


def build_losses(model: Any, batch: Any) -> None:
    """Make the variables of a compiled model's losses and metrics.

    TensorFlow traces a step twice if the step itself makes variables, which for a detector takes
    half a minute. The optimizer has ``build`` for its own.

    Args:
        model: compiled, with all layers built.
        batch: (x, y) or (x, y, weights), as ``fit`` gets it.
    """
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    outputs = keras.tree.map_structure(
        lambda tensor: keras.ops.zeros((len(x), *tensor.shape[1:]), tensor.dtype), model.output
    )
    model.compute_loss(x, y, outputs, weights)
    model.compute_metrics(x, y, outputs, weights)
    model.reset_metrics()
