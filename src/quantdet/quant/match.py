"""Find each tensor of a frozen fake-quantized model again in its .tflite, and compare.

The converter renames, reorders and fuses. Weighted layers are recognised by their integer
weights, every other layer by its kind and by the tensors that it reads. A layer that only
moves values (padding, reshape) may vanish by fusion; anything else that is missing, or whose
scale, zero point or weights differ from the trained ones, is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ExportError
from quantdet.quant.calibrate import quantizer_before
from quantdet.quant.graph import Graph, Node
from quantdet.quant.layers import (
    ActivationQuantizer,
    QuantConv2DTranspose,
    QuantDepthwiseConv2D,
    QuantizedWeights,
)
from quantdet.quant.litert_file import FileGraph, FileOp, FileTensor, read_litert
from quantdet.quant.numerics import QuantParams, quantize
from quantdet.quant.primitives import Constant, Gather, Reduce, Slice
from quantdet.quant.ranges import is_tied
from quantdet.quant.rules import rule_for

# Keras and converter compute scales with float32 divisions in different order.
SCALE_TOLERANCE = 1e-5
BIAS_TOLERANCE = 1e-5


_WEIGHTED_OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def match_graph(graph: Graph, content: bytes) -> dict[int, int]:
    """Return keras tensor id → .tflite tensor index, for every tensor found in the file.

    Args:
        graph: a frozen model, read with ``read_graph(frozen, clone=False)``.
        content: the .tflite exported from it.

    Raises:
        ExportError: a computed tensor is missing, or scale, zero point or weights differ.
    """
    return _Matcher(graph, read_litert(content)).match()


def file_params(tensor: FileTensor) -> QuantParams:
    """Return scale and zero point in the uint8 view, or those of int16."""
    shift = 128 if tensor.dtype == "int8" else 0
    bits = 16 if tensor.dtype == "int16" else 8
    return QuantParams(float(tensor.scales[0]), tensor.zero_point + shift, bits)


class _Matcher:
    def __init__(self, graph: Graph, file: FileGraph) -> None:
        self._graph = graph
        self._file = file
        self._producers = graph.producers()
        self._readers = graph.consumers()
        self._found: dict[int, int] = {}
        # Tensors that moving layers gave away to fusion → the tensor they were made of.
        self._fused: dict[int, int] = {}
        self._open = list(file.ops)
        self._makers = {index: op for op in file.ops for index in op.outputs}

    def match(self) -> dict[int, int]:
        self._match_inputs()
        for node in self._graph.nodes:
            if isinstance(node.layer, QuantizedWeights):
                op = self._find_weighted(node)
                self._expect(node, op)
                self._check_bias(node, op)
            elif isinstance(node.layer, Constant):
                self._match_constant(node)
            elif not isinstance(node.layer, ActivationQuantizer) and self._is_operation(node):
                self._match_operation(node)
        return self._found

    def _match_inputs(self) -> None:
        """The file's inputs are uint8 or int8 pixels, perhaps behind one QUANTIZE."""
        for tensor, template in zip(self._graph.inputs, self._graph.input_templates, strict=True):
            index = self._file.inputs[template.name.split(":")[0]]
            for op in self._open:
                if op.name == "QUANTIZE" and op.inputs == (index,):
                    index = op.outputs[0]
                    self._open.remove(op)
                    break
            quantized = self._readers[tensor][0]
            self._check(quantized, index)
            self._found[quantized.output] = index

    def _match_constant(self, node: Node) -> None:
        """Find the tensor that holds the integers of a constant."""
        quantizer = self._readers[node.output][0]
        params = quantizer.layer.params()
        value = keras.ops.convert_to_numpy(node.layer.value)
        wanted = quantize(value, params).astype(np.int32) - (0 if params.bits == 16 else 128)
        for index, tensor in enumerate(self._file.tensors):
            if tensor.data is None or tensor.data.size != wanted.size or not len(tensor.scales):
                continue
            same = np.array_equal(tensor.data.reshape(-1), wanted.reshape(-1))
            if same and abs(float(tensor.scales[0]) / params.scale - 1) < SCALE_TOLERANCE:
                self._found[quantizer.output] = index
                return
        raise ExportError(
            f"layer {node.layer.name!r} (Constant) is not in the exported file with its values; "
            "this is a defect of the export"
        )

    def _is_operation(self, node: Node) -> bool:
        """Tell operators from ReLUs fused into the one before; those read no grid tensor."""
        return all(tensor in self._found or tensor in self._fused for tensor in node.inputs)

    def _match_operation(self, node: Node) -> None:
        op = self._find_operation(node)
        if op is None and is_moving(node):
            self._fused[node.output] = node.inputs[0]
            return
        self._expect(node, op)

    def _expect(self, node: Node, op: FileOp | None) -> None:
        if op is None:
            raise ExportError(
                f"layer {node.layer.name!r} ({type(node.layer).__name__}) is not in the exported "
                "file with the trained weights and inputs; this is a defect of the export"
            )
        self._open.remove(op)
        tensor = self._grid_tensor(node)
        self._check(self._producers[tensor], op.outputs[0])
        self._found[tensor] = op.outputs[0]

    def _grid_tensor(self, node: Node) -> int:
        """Return the tensor behind the fused ReLU and quantizer of a call."""
        tensor = node.output
        if is_moving(node):
            return tensor
        for _ in range(2):
            reader = self._readers[tensor][0]
            tensor = reader.output
            if isinstance(reader.layer, ActivationQuantizer):
                break
        return tensor

    def _resolve(self, tensor: int) -> int | None:
        while tensor in self._fused:
            tensor = self._fused[tensor]
        return self._found.get(tensor)

    def _source(self, tensor: int) -> int | None:
        """Return the file's tensor that holds the values of a call's input, in any shape."""
        index = self._resolve(tensor)
        return None if index is None else self._before_reshape(index)

    def _unpadded(self, tensor: int) -> Iterator[int | None]:
        """Yield the sources of a tensor before each padding in front of it, and its own.

        The converter makes a padding part of a convolution, even if something else reads it, too.
        """
        yield self._source(tensor)
        producer = self._producers.get(tensor)
        if producer is not None and isinstance(producer.layer, keras.layers.ZeroPadding2D):
            yield from self._unpadded(producer.inputs[0])

    def _sources(self, op: FileOp) -> list[int | None]:
        return [self._before_reshape(index) for index in op.inputs if index >= 0]

    def _find_weighted(self, node: Node) -> FileOp | None:
        """Return the operator of a call; among twins of one kernel, one with its bias and grid."""
        wanted = file_kernel(node.layer).reshape(-1)
        sources = set(self._unpadded(node.inputs[0]))
        found = []
        for op in self._open:
            if op.name not in _WEIGHTED_OPS or sources.isdisjoint(self._sources(op)):
                continue
            weights = self._file.tensors[op.inputs[1]]
            same = weights.data is not None and np.array_equal(weights.data.reshape(-1), wanted)
            if same and self._same_scales(node.layer, weights):
                found.append(op)
        # The writer gives each further twin a larger scale, so the smallest is the first call's.
        return min(
            found,
            key=lambda op: (
                self._other_bias(node, op) is not None,
                self._distance(node, op),
                float(self._file.tensors[op.inputs[1]].scales[0]),
            ),
            default=None,
        )

    def _check_bias(self, node: Node, op: FileOp | None) -> None:
        other = None if op is None else self._other_bias(node, op)
        if other is not None:
            raise ExportError(f"layer {node.layer.name!r}: {other}; this is a defect of the export")

    def _other_bias(self, node: Node, op: FileOp) -> str | None:
        """Compare the integers of the bias: scale_in * scale_w is one, for each channel.

        Returns:
            What differs; None if they are the same.
        """
        bias = keras.ops.convert_to_numpy(node.layer.bias).astype(np.float64)
        scale = keras.ops.convert_to_numpy(node.layer.weight_scale()).astype(np.float64)
        step = scale.reshape(-1) * quantizer_before(self._producers, node).params().scale
        wanted = np.rint(bias / step)
        # Transposed convolutions have their output's shape in front.
        written = self._file.tensors[op.inputs[-1]].data if len(op.inputs) > 2 else None
        if written is None or written.size != wanted.size or "int" not in str(written.dtype):
            written = np.zeros(wanted.shape)
        off = np.abs(written.reshape(-1) - wanted)
        if not (off > 1 + BIAS_TOLERANCE * np.abs(wanted)).any():
            return None
        channel = int(off.argmax())
        return (
            f"bias {channel} is {written.reshape(-1)[channel]:.0f} in the exported file, "
            f"trained is {wanted[channel]:.0f}"
        )

    def _same_scales(self, layer: keras.Layer, weights: FileTensor) -> bool:
        trained = keras.ops.convert_to_numpy(layer.weight_scale()).reshape(-1)
        return bool(np.allclose(weights.scales, trained, rtol=SCALE_TOLERANCE, atol=0))

    def _find_operation(self, node: Node) -> FileOp | None:
        """Return the operator of a call; among several that fit, one with its options and grid."""
        found = [op for op in self._open if self._may_be(node, op)]
        return min(found, key=lambda op: self._distance(node, op), default=None)

    def _may_be(self, node: Node, op: FileOp) -> bool:
        names = rule_for(node.layer).operators
        wanted = sorted(str(self._source(tensor)) for tensor in node.inputs)
        if op.name not in names:
            return False
        known = self._found.values()
        inputs = [i for i in op.inputs if self._file.tensors[i].data is None or i in known]
        same_inputs = sorted(str(self._before_reshape(i)) for i in inputs) == wanted
        return same_inputs and self._same_size(node, op)

    def _distance(self, node: Node, op: FileOp) -> int:
        """Return 0 for an operator with grid, options and shape of a call, more for others.

        No reason to refuse: the converter may write a call in another way. What computes something
        else is seen by its grid.
        """
        tensor = self._grid_tensor(node)
        layer = self._producers[tensor].layer
        other_grid = isinstance(layer, ActivationQuantizer) and not self._same_grid(
            layer, op.outputs[0]
        )
        other_options = self._options_of(node) != file_options(op, self._file)
        other_shape = self._file.tensors[op.outputs[0]].shape != self._shape(node)
        return 4 * int(other_grid) + 2 * int(other_options) + int(other_shape)

    def _shape(self, node: Node) -> tuple[int, ...]:
        """Return the shape in the file, which takes one picture at a time."""
        return (1, *(size or 1 for size in self._graph.shapes[node.output][1:]))

    def _options_of(self, node: Node) -> object:
        return operator_options(node.layer, self._graph.shapes[node.inputs[0]])

    def _before_reshape(self, index: int) -> int:
        """Return what a tensor was made from by operators that compute nothing.

        Reshapes, which the converter moves and joins, and the sum that makes integers the places
        of a table.
        """
        while index in self._makers:
            maker = self._makers[index]
            wide = self._file.tensors[index].dtype == "int32" and index not in self._found.values()
            if not (maker.name == "RESHAPE" or wide):
                break
            index = maker.inputs[0]
        return index

    def _same_size(self, node: Node, op: FileOp) -> bool:
        """Tell apart two paddings, croppings or poolings of one tensor.

        By the number of values: the converter may merge a reshape into the operator.
        """
        written = self._file.tensors[op.outputs[0]].shape
        wanted = self._shape(node)
        if isinstance(node.layer, keras.layers.Reshape | keras.layers.Flatten):
            return written == wanted  # Another reshape of the tensor is another tensor.
        return math.prod(written) == math.prod(wanted)

    def _same_grid(self, layer: ActivationQuantizer, index: int) -> bool:
        tensor = self._file.tensors[index]
        if not len(tensor.scales):
            return False
        trained, written = layer.params(), file_params(tensor)
        same_scale = abs(written.scale / trained.scale - 1) <= SCALE_TOLERANCE
        return same_scale and written.zero_point == trained.zero_point

    def _check(self, node: Node, index: int) -> None:
        """Compare scale and zero point of a file tensor with those trained."""
        layer = node.layer
        if not isinstance(layer, ActivationQuantizer):
            return
        trained, written = layer.params(), file_params(self._file.tensors[index])
        if not self._same_grid(layer, index):
            raise ExportError(
                f"{layer.name}: exported with scale {written.scale:.8g} and zero point "
                f"{written.zero_point}, trained with {trained.scale:.8g} and {trained.zero_point}"
            )


_OPTIONS: dict[type, Callable[[keras.Layer, Sequence[int]], object]] = {
    keras.layers.LeakyReLU: lambda layer, _: round(float(layer.negative_slope), 6),
    keras.layers.MaxPooling2D: lambda layer, _: (*layer.pool_size, *layer.strides),
    keras.layers.AveragePooling2D: lambda layer, _: (*layer.pool_size, *layer.strides),
    keras.layers.Permute: lambda layer, _: (0, *layer.dims),
    keras.layers.Cropping2D: lambda layer, _: (0, *(pair[0] for pair in layer.cropping), 0),
    Gather: lambda layer, _: tuple(layer.indices),
    Reduce: lambda layer, _: tuple(layer.axes),
    Slice: lambda layer, sizes: (
        0,
        *(slice(*part).indices(n)[0] for part, n in zip(layer.slices, sizes, strict=True)),
    ),
}


def operator_options(layer: keras.Layer, shape: tuple[int | None, ...]) -> object:
    """Return what tells two layers of one kind apart in a file; None where nothing does.

    Args:
        layer: it moves values, or has no weights.
        shape: of its input.
    """
    options = _OPTIONS.get(type(layer))
    return None if options is None else options(layer, [size or 0 for size in shape[1:]])


def file_options(op: FileOp, file: FileGraph) -> object:
    """Return the same of an operator in the file."""
    if op.name == "LEAKY_RELU":
        return round(float(op.options.alpha), 6)
    if op.name in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        o = op.options
        return (o.filterHeight, o.filterWidth, o.strideH, o.strideW)
    if op.name in ("TRANSPOSE", "GATHER", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "SLICE"):
        return _numbers(file, op.inputs[1])
    if op.name == "STRIDED_SLICE":
        begin, mask = _numbers(file, op.inputs[1]) or (), op.options.beginMask
        return tuple(0 if mask >> axis & 1 else at for axis, at in enumerate(begin))
    return None


def _numbers(file: FileGraph, index: int) -> tuple[int, ...] | None:
    data = file.tensors[index].data
    return None if data is None else tuple(int(number) for number in np.reshape(data, -1))


def is_moving(node: Node) -> bool:
    """Tell whether a call only moves values of its input's grid (padding, reshape, …)."""
    if isinstance(node.layer, ActivationQuantizer | QuantizedWeights):
        return False
    return is_tied(node) and rule_for(node.layer).exact


def file_kernel(layer: keras.Layer) -> NDArray[np.int8]:
    """Return the integer kernel in LiteRT's layout: OHWI, depthwise 1HWO, dense OI."""
    kernel = layer.integer_kernel()
    if isinstance(layer, QuantConv2DTranspose):
        return np.moveaxis(kernel, -2, 0)
    if isinstance(layer, QuantDepthwiseConv2D):
        return kernel.reshape(1, *kernel.shape[:2], -1)  # type: ignore[no-any-return]
    return np.moveaxis(kernel, -1, 0)
