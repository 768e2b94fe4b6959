"""Mixed precision without touching the model at hand."""

from __future__ import annotations

import keras

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

    twin = keras.models.clone_model(model, clone_function=clone)
    twins = {layer.name: layer for layer in twin.layers}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):  # these get new names
            twins[layer.name].trainable = layer.trainable
    copy_variables(model, twin)
    return twin


def copy_variables(source: keras.Model, target: keras.Model) -> None:
    """Copy all variables from one model to another of the same structure."""
    for old, new in zip(target.variables, source.variables, strict=True):
        # A copy: assigned itself, JAX has one buffer for both, and a step of one model gives away
        # the other's.
        old.assign(keras.ops.copy(new))
