"""Fake-quantized Keras model in, full-integer .tflite out.

The frozen model is written once more as TensorFlow calls with constant integers-on-a-grid
weights and native fake-quantization ops, which LiteRT's converter turns into integer kernels.
What comes out is checked (``quantdet.quant.match``), not trusted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ExportError
from quantdet.quant.calibrate import quantizer_before
from quantdet.quant.fold import function_of
from quantdet.quant.freezing import freeze
from quantdet.quant.graph import Graph, Node, call_layer
from quantdet.quant.layers import ActivationQuantizer, QuantizedWeights
from quantdet.quant.litert.check_integer import check_integer, check_runs
from quantdet.quant.litert.convert import convert, layer_scope, output_names, tensorflow
from quantdet.quant.litert.int16 import fit_int16_kernels
from quantdet.quant.litert.integer_operators import (
    as_operator,
    as_table,
    use_integer_kernels,
)
from quantdet.quant.litert.tensorflow_process import on_tensorflow
from quantdet.quant.match import match_graph
from quantdet.quant.numerics import QuantParams
from quantdet.quant.prepared import check_prepared
from quantdet.quant.primitives import TABULATED, Constant, Unary
from quantdet.quant.ranges import is_tied
from quantdet.quant.reader import read_graph
from quantdet.quant.rules import rule_for
from quantdet.quant.tensors import Tensor

if TYPE_CHECKING:
    from tensorflow.lite import TFLiteConverter


def integer_content(model: keras.Model, io_dtype: str | None = None) -> bytes:
    """Return the .tflite of a model made by ``prepare_qat``, checked against the model.

    Arguments and errors are those of :func:`quantdet.export.integer.export_integer`.
    """
    check_prepared(model)
    return on_tensorflow(_checked_content, model, io_dtype)


def _checked_content(model: keras.Model, io_dtype: str | None) -> bytes:
    frozen = freeze(model)
    graph = read_graph(frozen, clone=False)
    io_dtype = _interface(graph, io_dtype)
    content = convert(quantized_function(graph), graph, partial(_integer_options, io_dtype))
    content = use_integer_kernels(content, _tabulated(graph))
    if io_dtype == "int16":
        content = fit_int16_kernels(content)
    check_integer(content, io_dtype)
    match_graph(graph, content)
    check_runs(content)
    return content


def _interface(graph: Graph, wanted: str | None) -> str:
    bits = {node.layer.bits for node in graph.nodes if isinstance(node.layer, ActivationQuantizer)}
    possible = ("int16",) if 16 in bits else ("uint8", "int8")
    if wanted is not None and wanted not in possible:
        raise ExportError(
            f"io_dtype {wanted!r} does not go with the model's activations; choose one of "
            f"{', '.join(possible)}, or another recipe"
        )
    return wanted or possible[0]


def _integer_options(io_dtype: str, converter: TFLiteConverter) -> None:
    tf = tensorflow()
    if io_dtype == "int16":
        ops_set = tf.lite.OpsSet
        converter.target_spec.supported_ops = [
            ops_set.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.allow_custom_ops = True  # use_integer_kernels puts others in their place
    converter.inference_input_type = tf.as_dtype(io_dtype)
    converter.inference_output_type = tf.as_dtype(io_dtype)


def quantized_function(graph: Graph) -> Callable[..., dict[str, Tensor]]:
    """Return a Python function of TensorFlow calls that computes a frozen graph."""
    writer = _Writer(graph)

    def function(*inputs: Tensor) -> dict[str, Tensor]:
        known = graph.run(inputs, writer.write)
        return {name: known[tensor] for name, tensor in output_names(graph).items()}

    return function


@dataclass(frozen=True)
class _Constants:
    """Numbers of a weighted layer, read before TensorFlow traces the function."""

    kernel: NDArray[np.float32]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]


def _constants(layer: keras.Layer) -> _Constants:
    scale = keras.ops.convert_to_numpy(layer.weight_scale()).astype(np.float32)
    return _Constants(
        kernel=layer.integer_kernel().astype(np.float32) * scale,
        scale=scale,
        bias=_uneven(keras.ops.convert_to_numpy(layer.bias).astype(np.float32)),
    )


def _uneven(bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return biases that are not all the same: the converter would round all with one scale.

    One unit in the last place rounds to the same integer.
    """
    if bias.size > 1 and bias[0] and (bias == bias[0]).all():
        bias = bias.copy()
        bias[0] = np.nextafter(bias[0], np.float32(0))
    return bias


class _Writer:
    """Writes each call of a frozen graph with TensorFlow's native fake-quantization ops."""

    def __init__(self, graph: Graph) -> None:
        self._producers = graph.producers()
        # Kernel → the calls that have it, as (layer, input).
        self._calls: defaultdict[bytes, list[tuple[int, int]]] = defaultdict(list)
        layers = {id(node.layer): node.layer for node in graph.nodes}
        self._params = {
            key: layer.params()
            for key, layer in layers.items()
            if isinstance(layer, ActivationQuantizer)
        }
        self._equal = _equal_tensors(graph, self._params)
        self._wide = any(params.bits == 16 for params in self._params.values())
        # Variables would have to be tracked by the exported module; constants need nothing.
        self._values = {
            key: keras.ops.convert_to_numpy(layer.value)[None].astype(np.float32)
            for key, layer in layers.items()
            if isinstance(layer, Constant)
        }
        self._weights = {
            key: _constants(layer)
            for key, layer in layers.items()
            if isinstance(layer, QuantizedWeights)
        }

    def write(self, node: Node, arguments: list[Tensor]) -> Tensor:
        """Write a call; the tensors of the file are named after its layer."""
        with tensorflow().name_scope(layer_scope(node.layer.name)):
            return self._write(node, arguments)

    def _write(self, node: Node, arguments: list[Tensor]) -> Tensor:
        layer = node.layer
        if isinstance(layer, ActivationQuantizer):
            return self._fake_quant(self._clipped(arguments[0], layer), layer)
        if isinstance(layer, QuantizedWeights):
            constants = self._weights[id(layer)]
            kernel = _fake_quant_kernel(layer, constants, self._twins(node, constants))
            return layer.linear(arguments[0], kernel, constants.bias)
        if isinstance(layer, keras.layers.UpSampling2D | keras.layers.Resizing):
            result = _resize(layer, arguments[0])
        elif isinstance(layer, keras.layers.Add):
            # Keras makes a bias of what looks like one, with axes moved around it.
            result = tensorflow().add(*arguments)
        elif isinstance(layer, keras.layers.Concatenate) and self._wide:
            result = _concatenate_wide(layer, arguments)
        elif isinstance(layer, Unary) and layer.function in TABULATED:
            result = as_table(layer.name)(*arguments)
        elif isinstance(layer, Constant):
            result = tensorflow().constant(self._values[id(layer)])
        else:
            result = call_layer(layer, arguments)
        if is_tied(node) and rule_for(layer).exact:
            # The values are on the grid already; this tells the converter which grid.
            return self._fake_quant(result, quantizer_before(self._producers, node))
        return result

    def _twins(self, node: Node, constants: _Constants) -> int:
        """Return how many calls before have this kernel and the same layer or the same input."""
        calls = self._calls[constants.kernel.tobytes()]
        source = self._equal[node.inputs[0]]
        count = sum(id(node.layer) == layer or source == other for layer, other in calls)
        calls.append((id(node.layer), source))
        return count

    def _clipped(self, tensor: Tensor, quantizer: ActivationQuantizer) -> Tensor:
        """Return the tensor behind a ReLU that the quantizer stands for."""
        if quantizer.lower != 0.0 or quantizer.bits == 8:
            return tensor  # The range ends where the ReLU cuts.
        return tensorflow().nn.relu(tensor)  # So does a symmetric one above.

    def _fake_quant(self, tensor: Tensor, quantizer: ActivationQuantizer) -> Tensor:
        params = self._params[id(quantizer)]
        steps = params.limits[1] - params.limits[0]
        low, high, scale = (
            np.array([value], np.float32)
            for value in (params.minimum, params.maximum, params.scale)
        )
        (low,), (high,) = exact_ends(low, high, scale, steps)
        return tensorflow().quantization.fake_quant_with_min_max_args(
            tensor,
            float(low),
            float(high),
            num_bits=params.bits,
            narrow_range=params.bits == 16,
        )


def _equal_tensors(graph: Graph, params: Mapping[int, QuantParams]) -> dict[int, int]:
    """Return for each tensor the first that is computed alike: the converter makes them one."""
    equal = {tensor: tensor for tensor in graph.inputs}
    first: dict[tuple[Hashable, ...], int] = {}
    for node in graph.nodes:
        function = params.get(id(node.layer)) or function_of(node.layer)
        call = (function, *(equal[tensor] for tensor in node.inputs))
        equal[node.output] = first.setdefault(call, node.output)
    return equal


def exact_ends(
    low: NDArray[np.float32], high: NDArray[np.float32], scale: NDArray[np.float32], steps: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return ends from which the converter computes the very scale, (high - low) / steps.

    Rounded to float32 they may give its neighbour; then every operator behind rounds by another
    multiplier, and one integer in a million is another one. Ends moved by less than a millionth of
    the range correct that; the zero point stays.

    Args:
        low: smallest real values of grids.
        high: largest.
        scale: of each grid.
        steps: largest integer less the smallest.
    """
    found_low, found_high = low, high
    # Half a unit in the last place of the larger end: the smaller one can move in such steps.
    unit = np.spacing(np.maximum(np.abs(low), np.abs(high))) / 2
    for less, more in product((0, 1, -1, 2, -2), repeat=2):
        near_low, near_high = low + less * unit, high + more * unit
        right = _scale_of(found_low, found_high, steps) == scale
        found_low = np.where(right, found_low, near_low)
        found_high = np.where(right, found_high, near_high)
    right = _scale_of(found_low, found_high, steps) == scale
    return np.where(right, found_low, low), np.where(right, found_high, high)


def _scale_of(
    low: NDArray[np.float32], high: NDArray[np.float32], steps: int
) -> NDArray[np.float32]:
    """Return what the converter makes of a range: a double, rounded to float32."""
    return ((high.astype(np.float64) - low) / steps).astype(np.float32)


def _resize(layer: keras.Layer, tensor: Tensor) -> Tensor:
    """Return the resized tensor by one resize op; Keras writes "nearest" as tiles."""
    image = tensorflow().image
    method = {
        "nearest": image.ResizeMethod.NEAREST_NEIGHBOR,
        "bilinear": image.ResizeMethod.BILINEAR,
    }
    if layer.interpolation not in method:
        raise ExportError(
            f"layer {layer.name!r} ({type(layer).__name__}): interpolation "
            f'{layer.interpolation!r} has no integer kernel; use "nearest" or "bilinear"'
        )
    size = layer.compute_output_shape(tuple(tensor.shape))[1:3]
    return image.resize(tensor, size, method=method[layer.interpolation])


def _concatenate_wide(layer: keras.Layer, tensors: list[Tensor]) -> Tensor:
    """Return int16 tensors one behind the other; the converter refuses to write that itself."""
    axis = layer.axis % len(tensors[0].shape)
    concat = as_operator(
        "CONCATENATION", lambda *parts: tensorflow().concat(parts, axis), axis=axis
    )
    return concat(*tensors)


def _tabulated(graph: Graph) -> dict[str, Callable[[NDArray[np.float32]], Tensor]]:
    """Return layer name → function of those that become tables."""
    return {
        node.layer.name: node.layer.call
        for node in graph.nodes
        if isinstance(node.layer, Unary) and node.layer.function in TABULATED
    }


def _fake_quant_kernel(layer: keras.Layer, constants: _Constants, twins: int) -> Tensor:
    """Return the constant kernel behind the fake quantization that the converter looks for."""
    tf = tensorflow()
    kernel = constants.kernel
    # The converter makes one of equal constants, and of equal operators behind them: it quantizes
    # the one anew, per channel and with 8 bits, or leaves float what has two grids or biases then.
    # A few units in the last place of the scale make it another constant of the same integers.
    scale = constants.scale * np.float32(1 + twins * 2**-22)
    limit = scale * np.float32(layer.levels)
    low, high = exact_ends(-limit, limit, scale, 2 * layer.levels)
    if not layer.per_channel:
        return tf.quantization.fake_quant_with_min_max_vars(
            kernel, low, high, num_bits=layer.bits, narrow_range=True
        )
    # The native op has its channels on the last axis; depthwise kernels have two axes of them.
    flat = kernel.reshape(*kernel.shape[: len(layer.reduced_axes)], -1)
    on_grid = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, low.reshape(-1), high.reshape(-1), num_bits=layer.bits, narrow_range=True
    )
    return tf.reshape(on_grid, kernel.shape)
