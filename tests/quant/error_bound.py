"""How far a quantized model may be from its float model, derived from its scales.

Every call of the prepared model passes on three things beside the values that the frozen model
computes:

    rewritten: what the prepared model computes without any rounding
    bound: |quantized - rewritten| of each value, at the very worst
    variance: of that difference if all roundings were independent and even (step^2 / 12)

The first must be what the given model computes, to float accuracy: what was lost when it was
rewritten shows there. The bound holds always and becomes loose with depth; the variance predicts
the noise to about 1 dB, and an error that is none of rounding stands out of it.

    W x + b       |W| e + |dW| |x| + |db|               (dW, db: what rounding did to the weights)
    a * b         |a| e_b + |b| e_a + e_a e_b
    a + b, a - b  e_a + e_b
    max, min      max(e_a, e_b)
    f(x)          the largest |f(x + t e) - f(x)|, -1 <= t <= 1
    softmax       1/2 max e                             (rows of its Jacobian sum up to 1/2)
    mean, pools, resizing, padding, slices, ...         the call itself, made on e
    quantizer     e + step                              (1/2 for rounding, 1/2 for a moved end)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from quantdet.quant.calibrate import quantizer_before
from quantdet.quant.graph import Node, call_layer
from quantdet.quant.layers import ActivationQuantizer, QuantizedWeights
from quantdet.quant.reader import read_graph

_POINTS = np.linspace(-1, 1, 9)


@dataclass(frozen=True)
class Uncertain:
    """A tensor, and how far it may be from the float model's.

    Attributes:
        value: as the frozen model computes it.
        rewritten: as the prepared model computes it without rounding.
        bound: largest possible difference, of the same shape.
        variance: expected mean square of the difference.
    """

    value: np.ndarray
    rewritten: np.ndarray
    bound: np.ndarray
    variance: np.ndarray


def simulate(prepared: Any, frozen: Any, x: Any) -> dict[str, Uncertain]:
    """Run a prepared model as it will be exported.

    Args:
        prepared: made by ``prepare_qat`` with ``observer="minmax"`` of ``x``.
        frozen: made of it by ``freeze``.
        x: the calibration pictures, all of them, as the model takes them.

    Returns:
        Name of the output in the exported file → its values.
    """
    graph = read_graph(prepared, clone=False)
    on_grid = {node.layer.name: node.layer for node in read_graph(frozen, clone=False).nodes}
    rules = _Rules(graph.producers(), on_grid)
    inputs = [_exact(x[name]) for name in _input_names(graph)] if isinstance(x, dict) else None
    known = graph.run(inputs or [_exact(part) for part in keras.tree.flatten(x)], rules.apply)
    if isinstance(graph.outputs, dict):
        return {name: known[tensor] for name, tensor in graph.outputs.items()}
    return {f"output_{i}": known[tensor] for i, tensor in enumerate(graph.output_ids)}


def _input_names(graph: Any) -> list[str]:
    return [template.name.split(":")[0] for template in graph.input_templates]


def _exact(values: Any) -> Uncertain:
    values = np.asarray(values, np.float32)
    return Uncertain(values, values, np.zeros_like(values), np.zeros_like(values))


class _Rules:
    """Evaluates calls on uncertain tensors."""

    def __init__(self, producers: Any, frozen: dict[str, Any]) -> None:
        self._producers = producers
        self._frozen = frozen
        self._corrections: dict[int, tuple[np.ndarray, ...]] = {}

    def apply(self, node: Node, arguments: list[Uncertain]) -> Uncertain:
        if isinstance(node.layer, ActivationQuantizer):
            return self._quantized(node.layer, arguments[0])
        if isinstance(node.layer, QuantizedWeights):
            return self._weighted(node, arguments[0])
        value = _call(node, [x.value for x in arguments])
        bound, variance = _rule(node)(node, arguments)
        return Uncertain(
            value,
            _call(node, [x.rewritten for x in arguments]),
            np.broadcast_to(bound, value.shape),
            np.broadcast_to(variance, value.shape),
        )

    def _quantized(self, layer: ActivationQuantizer, x: Uncertain) -> Uncertain:
        step, largest = layer.params().scale, layer.params().maximum
        # A softmax or sigmoid of 1 is 255/256 in LiteRT.
        cut = np.clip(x.value - largest, 0, step)
        return Uncertain(
            np.asarray(layer(x.value)),
            np.asarray(layer.call_float(x.rewritten)),
            x.bound + step,
            x.variance + step**2 / 12 + cut**2,
        )

    def _weighted(self, node: Node, x: Uncertain) -> Uncertain:
        layer, frozen = node.layer, self._frozen[node.layer.name]
        kernel, on_grid = np.asarray(layer.kernel), np.asarray(frozen.kernel)
        step = np.asarray(layer.weight_scale())
        steps = np.broadcast_to(step, kernel.shape)
        moved = np.abs(on_grid - kernel)
        assert (moved <= steps * 0.5001 + 1e-7).all(), f"{layer.name}: weights moved by over 1/2"
        by_weights = _linear(layer, np.abs(x.value), moved)
        bias_step = quantizer_before(self._producers, node).params().scale * step.reshape(-1)
        # A shared layer has one bias, corrected for its first call.
        worst, mean, usual = self._corrections.setdefault(
            id(layer),
            (
                _mean(by_weights),
                _mean(_linear(layer, x.value, on_grid - kernel)),
                _mean(x.value),
            ),
        )
        return Uncertain(
            np.asarray(frozen.linear(x.value, on_grid, np.asarray(frozen.bias))),
            # Without the mean error that the correction of biases took out.
            np.asarray(layer.call_float(x.rewritten)) + mean,
            _linear(layer, x.bound, np.abs(kernel)) + by_weights + worst * 1.05 + bias_step / 2,
            _linear(layer, x.variance, kernel**2)
            # The correction takes out what the mean input makes.
            + _linear(layer, (x.value - usual) ** 2, steps**2 / 12)
            + bias_step**2 / 12,
        )


def _linear(layer: Any, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    nothing = np.zeros(layer.bias.shape, np.float32)
    return np.asarray(layer.linear(x.astype(np.float32), kernel.astype(np.float32), nothing))


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=tuple(range(values.ndim - 1)))


def _call(node: Node, arguments: list[np.ndarray]) -> np.ndarray:
    return np.asarray(call_layer(node.layer, [ops.convert_to_tensor(x) for x in arguments]))


Pair = tuple[np.ndarray, np.ndarray]
Rule = Callable[[Node, list[Uncertain]], Pair]


def _sum(_: Node, xs: list[Uncertain]) -> Pair:
    return sum(x.bound for x in xs), sum(x.variance for x in xs)


def _largest(_: Node, xs: list[Uncertain]) -> Pair:
    bound, variance = xs[0].bound, xs[0].variance
    for x in xs[1:]:
        bound, variance = np.maximum(bound, x.bound), np.maximum(variance, x.variance)
    return bound, variance


def _product(_: Node, xs: list[Uncertain]) -> Pair:
    value, bound, variance = xs[0].value, xs[0].bound, xs[0].variance
    for x in xs[1:]:
        bound = np.abs(value) * x.bound + np.abs(x.value) * bound + bound * x.bound
        variance = value**2 * x.variance + x.value**2 * variance + variance * x.variance
        value = value * x.value
    return bound, variance


def _softmax(node: Node, xs: list[Uncertain]) -> Pair:
    axis = getattr(node.layer, "axis", -1)
    axis = tuple(axis) if isinstance(axis, list | tuple) else axis
    largest = xs[0].bound.max(axis=axis, keepdims=True) / 2
    return np.minimum(largest, 1.0), xs[0].variance.max(axis=axis, keepdims=True) / 4


def _pointwise(node: Node, xs: list[Uncertain]) -> Pair:
    (x,) = xs
    value = _call(node, [x.value])
    bound, variance = np.zeros_like(value), np.zeros_like(value)
    for point in _POINTS:
        moved = _call(node, [(x.value + point * x.bound).astype(np.float32)])
        bound = np.maximum(bound, _defined(np.abs(moved - value)))
        moved = _call(node, [(x.value + point * np.sqrt(x.variance)).astype(np.float32)])
        variance = np.maximum(variance, _defined(np.square(moved - value)))
    return bound, variance


def _defined(values: np.ndarray) -> np.ndarray:
    """Return a large number where a function has no value, as the root below 0."""
    return np.nan_to_num(values, nan=1e6, posinf=1e6)


def _constant(node: Node, xs: list[Uncertain]) -> Pair:
    nothing = np.zeros_like(_call(node, [xs[0].value]))
    return nothing, nothing


def _matrix_product(node: Node, xs: list[Uncertain]) -> Pair:
    a, b = xs

    def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return _call(node, [left.astype(np.float32), right.astype(np.float32)])

    bound = product(np.abs(a.value) + a.bound, b.bound) + product(a.bound, np.abs(b.value))
    variance = product(a.value**2 + a.variance, b.variance) + product(a.variance, b.value**2)
    return bound, variance


def _moved(node: Node, xs: list[Uncertain]) -> Pair:
    return (
        np.abs(_call(node, [x.bound for x in xs])),
        np.abs(_call(node, [x.variance for x in xs])),
    )


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("Add", "Subtract"), _sum),
    **dict.fromkeys(("Maximum", "Minimum"), _largest),
    "Multiply": _product,
    "Softmax": _softmax,
    "Constant": _constant,
    "MatMul": _matrix_product,
    **dict.fromkeys(("ReLU", "LeakyReLU", "Unary", "Activation"), _pointwise),
    **dict.fromkeys(
        (
            "AveragePooling2D",
            "BroadcastTo",
            "Gather",
            "MirrorPad",
            "Reduce",
            "Slice",
            "Concatenate",
            "Cropping2D",
            "Flatten",
            "GlobalAveragePooling2D",
            "GlobalMaxPooling2D",
            "MaxPooling2D",
            "Permute",
            "Reshape",
            "Resizing",
            "UpSampling2D",
            "ZeroPadding2D",
        ),
        _moved,
    ),
}


def _rule(node: Node) -> Rule:
    kind = type(node.layer).__name__
    if kind == "Activation" and getattr(node.layer.activation, "__name__", "") == "softmax":
        return _softmax
    if kind not in _RULES:
        raise KeyError(f"{kind} has no rule for its error; add a line to {__name__}._RULES")
    return _RULES[kind]
