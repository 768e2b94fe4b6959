"""Weights as a checkpoint has them, and inputs that resemble pictures.

Untouched nets hide faults: a normalization of mean 0 and variance 1, a bias of 0 or a layer scale
of 1e-6 may be lost and nobody sees it. White noise hides others: neighbouring pixels are alike.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

# Of models that do not say what they take: subclassed and unbuilt ones.
UNKNOWN_SHAPE = (5,)
TOKENS = 10
_OCTAVES = (16, 8, 4, 2, 1)


def draw_inputs(model: Any, count: int, rng: np.random.Generator) -> list[NDArray[Any]]:
    """Return one array per input of the model, ``count`` long.

    Pictures are 0 to 255 for a model that scales them itself, otherwise -1 to 1; integer inputs
    are tokens below 10.
    """
    if not model.built:
        return [_features(rng, (count, *UNKNOWN_SHAPE))]
    scaling = keras.layers.Rescaling | keras.layers.Normalization
    inside = any(isinstance(layer, scaling) for layer in model._flatten_layers())
    lowest, highest = (0.0, 255.0) if inside else (-1.0, 1.0)
    return [_draw(symbol, count, rng, (lowest, highest)) for symbol in model.inputs]


def _draw(
    symbol: Any, count: int, rng: np.random.Generator, limits: tuple[float, float]
) -> NDArray[Any]:
    shape = (count, *symbol.shape[1:])
    if "int" in symbol.dtype:
        return rng.integers(0, TOKENS, shape, np.int32)
    values = _features(rng, shape) if len(shape) == 2 else _smooth(rng, shape)
    lowest, highest = limits
    return (lowest + (highest - lowest) * (values + 1) / 2).astype(np.float32)


def _features(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return rng.uniform(-1, 1, shape).astype(np.float32)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return noise of all scales, the coarse ones strongest, from -1 to 1 in every picture."""
    total = np.zeros(shape)
    for step in _OCTAVES:
        coarse = rng.normal(size=(shape[0], *(n // step + 2 for n in shape[1:-1]), shape[-1]))
        for axis in range(1, len(shape) - 1):
            coarse = _stretch(coarse, axis, np.arange(shape[axis]) / step)
        total += step * coarse
    inner = tuple(range(1, len(shape)))
    low, high = total.min(inner, keepdims=True), total.max(inner, keepdims=True)
    return 2 * (total - low) / (high - low) - 1


def _stretch(values: NDArray[Any], axis: int, places: NDArray[Any]) -> NDArray[Any]:
    before = places.astype(int)
    share = (places - before).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return values.take(before, axis) * (1 - share) + values.take(before + 1, axis) * share


def set_realistic_weights(model: Any, inputs: list[NDArray[Any]], rng: np.random.Generator) -> None:
    """Draw everything that Keras starts with a constant; take statistics from the inputs.

    Args:
        model: built; changed in place.
        inputs: one array per input, typical ones.
        rng: draws the weights.
    """
    layers = list(model._flatten_layers())
    for layer in layers:
        if isinstance(layer, keras.layers.Normalization):
            _set_statistics(model, layer, inputs, rng)
    for variable in model.trainable_variables:
        _replace_constant(variable, rng)
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    if norms:
        _take_statistics(model, norms, inputs)
        for norm in norms:
            _disturb(norm, rng)


def _set_statistics(
    model: Any, layer: Any, inputs: list[NDArray[Any]], rng: np.random.Generator
) -> None:
    """Give a Normalization the statistics of what it gets, nearly, as loading weights does."""
    if layer.input_mean is not None:
        return
    before = keras.Model(model.inputs, layer.input)
    values = before.predict(as_taken(model, inputs), verbose=0)
    inner = tuple(range(values.ndim - 1))
    mean, deviation = values.mean(inner), values.std(inner)
    layer.adapt_mean.assign(mean + rng.normal(0, 0.1, mean.shape) * deviation)
    layer.adapt_variance.assign((deviation * rng.uniform(0.8, 1.25, mean.shape)) ** 2)
    layer.finalize_state()


def _replace_constant(variable: Any, rng: np.random.Generator) -> None:
    values = keras.ops.convert_to_numpy(variable)
    if values.size > 1 and values.min() != values.max():
        return
    name, start = variable.path.rsplit("/", 1)[-1], float(values.flat[0])
    if start == 0:
        drawn = rng.normal(0, 0.1, values.shape)
    elif name == "gamma" and start == 1:
        drawn = rng.uniform(0.5, 1.5, values.shape)
    else:
        # Scales of layers (ConvNeXt's 1e-6), slopes.
        drawn = rng.uniform(0.1, 1, values.shape)
    variable.assign(drawn)


def _take_statistics(model: Any, norms: list[Any], inputs: list[NDArray[Any]]) -> None:
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(as_taken(model, inputs), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _disturb(norm: Any, rng: np.random.Generator) -> None:
    """Move the statistics a little, as those of a whole data set differ from a batch's."""
    variance = keras.ops.convert_to_numpy(norm.moving_variance) + 1e-3
    mean = keras.ops.convert_to_numpy(norm.moving_mean)
    norm.moving_mean.assign(mean + rng.normal(0, 0.1, mean.shape) * np.sqrt(variance))
    norm.moving_variance.assign(variance * rng.uniform(0.8, 1.25, variance.shape))


def as_taken(model: Any, arrays: list[Any]) -> Any:
    """Return arrays in the structure that the model takes: one, a list or a dict."""
    if isinstance(model, keras.Sequential) or not model.built:
        return arrays[0]
    return keras.tree.pack_sequence_as(model.input, arrays)
