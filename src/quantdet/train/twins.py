"""Copies of a model that are trained in its place: in mixed precision, or on several devices."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

# Types whose arithmetic gains from bfloat16. Others, e.g. fake quantization, keep theirs.
_LIGHT = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Dense,
    keras.layers.BatchNormalization,
    keras.layers.Normalization,
    keras.layers.ReLU,
    keras.layers.Add,
    keras.layers.Concatenate,
    keras.layers.ZeroPadding2D,
    keras.layers.GlobalAveragePooling2D,
)


def twin(
    model: keras.Model, clone: Callable[[keras.Layer], keras.Layer] | None = None
) -> keras.Model:
    """Return a copy of a functional model, not compiled, on the devices that Keras uses now.

    Args:
        model: what is copied, with its variables and ``trainable`` flags.
        clone: makes a layer of the copy; None: a layer with the same settings.
    """
    # A model on the same layers, not compiled: of a compiled one Keras would clone the optimizer.
    plain = keras.Model(model.input, model.output, name=model.name)
    copy = keras.models.clone_model(plain, clone_function=clone)
    copies = {layer.name: layer for layer in copy.layers}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):  # these get new names
            copies[layer.name].trainable = layer.trainable
    copy_variables(model, copy)
    return copy


def mixed_precision_twin(model: keras.Model, policy: str = "mixed_bfloat16") -> keras.Model:
    """Return a copy of a functional model that computes in bfloat16; variables stay float32.

    The last layer of each output stays float32, so that losses see full precision. Subclasses
    of the known layer types (e.g. quantized layers) keep their own policy.
    """
    last = {tensor._keras_history[0].name for tensor in model.outputs}

    def clone(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if type(layer) in _LIGHT and layer.name not in last:
            config["dtype"] = policy
        return type(layer).from_config(config)

    return twin(model, clone)


def copy_variables(source: keras.Model, target: keras.Model) -> None:
    """Copy all variables from one model to another of the same structure."""
    for old, new in zip(target.variables, source.variables, strict=True):
        # A copy in the host's memory: on JAX both would have one buffer, which a step of one model
        # gives away for both, and it would stay on the devices of the other.
        old.assign(np.array(keras.ops.convert_to_numpy(new)))
