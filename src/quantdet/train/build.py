"""What a model needs before its first step."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.train.batches import Targets


def jit_compile() -> bool | str:
    """Return what ``keras.Model.compile`` wants to hear about XLA.

    TensorFlow's own CPU kernels are ten times as fast as XLA's. On JAX there is nothing but XLA: a
    step that is not compiled as one is compiled operator by operator, which takes minutes.
    """
    return False if keras.backend.backend() == "tensorflow" else "auto"


def build_losses(model: keras.Model, batch: tuple[NDArray[np.number], Targets]) -> None:
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
