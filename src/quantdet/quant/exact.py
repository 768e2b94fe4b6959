"""Run a frozen fake-quantized model with the integer rounding of a kernel set.

Fake quantization rounds a float result once. Kernels round integers, some of them twice
(kernel_sets.py): a step of difference in one value of 500. In a deep net such steps spread until
they are a noise as large as half of that of quantization. Here every operator works on integers:
what a kernel set computes is then told to the last bit, so that whatever still differs on a
device is a fault of the file or of its kernels.

For verification, on the TensorFlow or torch backend; training needs none of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.errors import QuantizationError
from quantdet.quant.calibrate import quantizer_of
from quantdet.quant.graph import Graph, Node, call_layer
from quantdet.quant.kernel_sets import (
    KERNEL_SETS,
    Integers,
    KernelSet,
    Sums,
    mean_away_from_zero,
    round_twice,
)
from quantdet.quant.kernel_tables import kernel_table
from quantdet.quant.layers import (
    ActivationQuantizer,
    QuantConv2D,
    QuantConv2DTranspose,
    QuantDense,
    QuantDepthwiseConv2D,
    QuantizedWeights,
)
from quantdet.quant.numerics import QuantParams, dequantize, quantize
from quantdet.quant.primitives import TABULATED, MatMul, Reduce, Unary
from quantdet.quant.ranges import clip_of
from quantdet.quant.reader import read_graph
from quantdet.quant.tensors import Tensor

# Of the uint8 view.
_INT8_ZERO = 128


@dataclass(frozen=True)
class Pending:
    """The result of an operator that waits for the grid that it is rounded to.

    Attributes:
        on_grid: parameters of that grid → integers relative to its zero point.
        clips: of the ReLUs fused to the operator.
    """

    on_grid: Callable[[QuantParams], Integers]
    clips: tuple[tuple[float, float | None], ...] = ()

    def integers(self, params: QuantParams) -> NDArray[np.number]:
        """Return the operator's output, uint8 view."""
        steps = self.on_grid(params) + params.zero_point
        low, high = params.limits
        for lower, upper in self.clips:
            low = max(low, int(quantize(np.array(lower), params)))
            if upper is not None:
                high = min(high, int(quantize(np.array(upper), params)))
        return np.clip(steps, low, high).astype(np.uint8)

    def clipped(self, node: Node) -> Pending:
        """Return the result behind the ReLU ``node``, which kernels fuse."""
        clip = clip_of(node.layer)
        if clip is None:
            raise QuantizationError(
                f"layer {node.layer.name!r} reads a result without a grid; this is a bug in "
                "quantdet, please report it"
            )
        return Pending(self.on_grid, (*self.clips, clip))


class ExactModel:
    """A frozen fake-quantized model that rounds as a kernel set does.

    Args:
        frozen: what ``freeze`` returned, 8 bit activations.
        kernels: name in ``kernel_sets.KERNEL_SETS``.

    Operators whose kernels look results up in a table (sigmoid, tanh, softmax) or interpolate
    are computed in float and rounded once.

    Raises:
        QuantizationError: unknown kernels, or 16 bit activations.
    """

    def __init__(self, frozen: keras.Model, kernels: str = "reference") -> None:
        if kernels not in KERNEL_SETS:
            raise QuantizationError(
                f"kernels {kernels!r} are unknown; choose one of {sorted(KERNEL_SETS)}"
            )
        self._graph = read_graph(frozen, clone=False)
        self._operators = Operators(self._graph, KERNEL_SETS[kernels])
        quantizers = [
            n.layer for n in self._graph.nodes if isinstance(n.layer, ActivationQuantizer)
        ]
        if any(quantizer.bits != 8 for quantizer in quantizers):
            raise QuantizationError(
                f"model {frozen.name!r} has 16 bit activations; only the rounding of 8 bit kernels "
                "is modelled"
            )

    def __call__(self, inputs: NDArray[np.float32]) -> Tensor:
        """Return the outputs (real values, float32, structure of the model) for a batch."""
        known = self._graph.run([ops.convert_to_tensor(inputs)], self._apply, forget=True)
        return self._graph.result(known)

    def _apply(self, node: Node, arguments: list[Tensor]) -> Tensor:
        (first, *_) = arguments
        if isinstance(node.layer, ActivationQuantizer):
            if not isinstance(first, Pending):
                return np.asarray(node.layer(first))
            params = node.layer.params()
            return dequantize(first.integers(params), params)
        if isinstance(first, Pending):
            return first.clipped(node)
        compute = self._operators.find(node)
        if compute is None:
            return np.asarray(call_layer(node.layer, arguments))
        return compute(node, arguments)


class Operators:
    """The operators that round, on integers."""

    def __init__(self, graph: Graph, kernels: KernelSet) -> None:
        self._graph = graph
        self._producers = graph.producers()
        self._kernels = kernels
        self._made: Mapping[type, Callable[[Node, list[Tensor]], Pending]] = {
            QuantConv2D: self._weighted,
            QuantDepthwiseConv2D: self._weighted,
            QuantConv2DTranspose: self._weighted,
            QuantDense: self._weighted,
            keras.layers.Add: self._sum,
            keras.layers.Subtract: self._sum,
            keras.layers.Multiply: self._product,
            keras.layers.LeakyReLU: self._leaky_relu,
            keras.layers.GlobalAveragePooling2D: self._global_mean,
            keras.layers.AveragePooling2D: self._local_mean,
            MatMul: self._matrix_product,
            Reduce: self._mean,
            Unary: self._unary,
            keras.layers.UpSampling2D: self._interpolated,
            keras.layers.Resizing: self._interpolated,
        }

    def find(self, node: Node) -> Callable[[Node, list[Tensor]], Pending] | None:
        """Return the integer form of a call; None where float computes the same."""
        resizing = isinstance(node.layer, keras.layers.UpSampling2D | keras.layers.Resizing)
        if resizing and node.layer.interpolation != "bilinear":
            return None
        if isinstance(node.layer, Reduce) and node.layer.function != "mean":
            return None
        if isinstance(node.layer, Unary) and node.layer.function in TABULATED:
            return None
        return self._made.get(type(node.layer))

    def _scale(self, tensor: int) -> float:
        return quantizer_of(self._producers, tensor).params().scale

    def _integers(self, node: Node, arguments: list[Tensor]) -> list[Integers]:
        return [
            np.rint(np.asarray(values, np.float64) / self._scale(tensor)).astype(np.int64)
            for tensor, values in zip(node.inputs, arguments, strict=True)
        ]

    def _weighted(self, node: Node, arguments: list[Tensor]) -> Pending:
        layer: QuantizedWeights = node.layer
        scale = ops.convert_to_numpy(layer.weight_scale()).astype(np.float64).reshape(-1)
        scale_in = self._scale(node.inputs[0])
        step = scale * scale_in
        bias = np.rint(ops.convert_to_numpy(layer.bias) / step)
        (integers,) = self._integers(node, arguments)
        # Sums of integers are exact in float64.
        sums = layer.linear(*(_float64(part) for part in (integers, layer.integer_kernel(), bias)))
        accumulators = np.asarray(ops.convert_to_numpy(sums)).astype(np.int64)
        kernels = self._kernels.for_weights(layer.bits, getattr(layer, "groups", 1))
        own = {QuantConv2D: kernels.convolution, QuantDense: kernels.dense}
        requantize = own.get(type(layer), kernels.depthwise)
        one_scale = isinstance(layer, QuantDense) and scale.size == 1
        multiplier = kernels.multiplier_of_tensors if one_scale else kernels.multiplier
        return Pending(
            lambda params: requantize(accumulators, multiplier(scale_in, scale, params.scale))
        )

    def _sum(self, node: Node, arguments: list[Tensor]) -> Pending:
        a, b = self._integers(node, arguments)
        add = self._kernels.add
        if isinstance(node.layer, keras.layers.Subtract):
            b, add = -b, self._kernels.subtract
        scales = [self._scale(tensor) for tensor in node.inputs]
        return Pending(lambda params: add(a, b, *(scale / params.scale for scale in scales)))

    def _product(self, node: Node, arguments: list[Tensor]) -> Pending:
        a, b = self._integers(node, arguments)
        scale_a, scale_b = (self._scale(tensor) for tensor in node.inputs)
        kernels = self._kernels
        return Pending(
            lambda params: kernels.product(
                a * b, kernels.multiplier(scale_a, scale_b, params.scale)
            )
        )

    def _global_mean(self, node: Node, arguments: list[Tensor]) -> Pending:
        (integers,) = self._integers(node, arguments)
        kept = self._keeps_positions(node)
        source = quantizer_of(self._producers, node.inputs[0]).params()
        sums = Sums(
            values=integers.sum(axis=(1, 2), keepdims=node.layer.keepdims),
            count=math.prod(integers.shape[1:3]),
            zero_point=source.zero_point - 128,
            kept=kept,
        )
        mean = self._kernels.global_mean
        return Pending(lambda params: mean(sums, source.scale, params.scale))

    def _mean(self, node: Node, arguments: list[Tensor]) -> Pending:
        (integers,) = self._integers(node, arguments)
        axes = tuple(node.layer.axes)
        source = quantizer_of(self._producers, node.inputs[0]).params()
        sums = Sums(
            values=integers.sum(axis=axes, keepdims=node.layer.keepdims),
            count=math.prod(integers.shape[axis] for axis in axes),
            zero_point=source.zero_point - 128,
            kept=False,
        )
        mean = self._kernels.global_mean
        return Pending(lambda params: mean(sums, source.scale, params.scale))

    def _matrix_product(self, node: Node, arguments: list[Tensor]) -> Pending:
        a, b = self._integers(node, arguments)
        if node.layer.transpose_b:
            b = b.swapaxes(-1, -2)
        first, second = (quantizer_of(self._producers, t).params() for t in node.inputs)
        # Sums of integers are exact in float64.
        sums = np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)
        symmetric = second.zero_point == _INT8_ZERO
        return Pending(
            lambda params: self._kernels.matrix_product(
                sums, (first.scale, second.scale, params.scale), symmetric
            )
        )

    def _unary(self, node: Node, arguments: list[Tensor]) -> Pending:
        (integers,) = self._integers(node, arguments)
        function = node.layer.function
        source = quantizer_of(self._producers, node.inputs[0]).params()
        if function == "abs":
            return Pending(
                lambda params: round_twice(np.abs(integers), source.scale / params.scale)
            )

        def look_up(params: QuantParams) -> Integers:
            table = kernel_table(function.upper(), source, params).astype(np.int64)
            found: Integers = table[integers + source.zero_point] - params.zero_point
            return found

        return Pending(look_up)

    def _keeps_positions(self, node: Node) -> bool:
        """Return whether the file's mean has positions left, of size 1.

        LiteRT's converter makes one operator of a mean and a reshape that puts them back.
        """
        grid = self._graph.only_consumer(node.output)
        after = self._graph.only_consumer(grid.output) if grid else None
        if after is None or not isinstance(after.layer, keras.layers.Reshape):
            return bool(node.layer.keepdims)
        return self._graph.shapes[after.output][1:-1] == (1, 1)

    def _leaky_relu(self, node: Node, arguments: list[Tensor]) -> Pending:
        (integers,) = self._integers(node, arguments)
        slopes = np.where(integers < 0, float(node.layer.negative_slope), 1.0)
        multiplier = slopes * self._scale(node.inputs[0])
        return Pending(lambda params: self._kernels.leaky_relu(integers, multiplier / params.scale))

    def _local_mean(self, node: Node, arguments: list[Tensor]) -> Pending:
        (integers,) = self._integers(node, arguments)
        means = np.asarray(call_layer(node.layer, [integers.astype(np.float32)]), np.float64)
        return Pending(lambda params: mean_away_from_zero(means, params.zero_point))

    def _interpolated(self, node: Node, arguments: list[Tensor]) -> Pending:
        (integers,) = self._integers(node, arguments)
        height, width = (int(size or 1) for size in self._graph.shapes[node.output][1:3])
        return Pending(
            lambda params: self._kernels.resize(integers, (height, width), params.zero_point)
        )


def _float64(values: NDArray[np.number]) -> Tensor:
    return ops.convert_to_tensor(values, dtype="float64")
