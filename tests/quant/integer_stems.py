"""Small integer .tflite files of random convolutions, written without the converter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from hypothesis import strategies as st

from quantdet.quant.litert.flatbuffer import pack_model

TYPES = schema.TensorType
PADDING = schema.Padding
NUMPY = {TYPES.INT8: np.int8, TYPES.INT32: np.int32}


@dataclass(frozen=True)
class Layer:
    """One layer of a stem; ``kind``: conv, depthwise, residual, padded (PAD before it) or pool."""

    kind: str
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    dilation: int = 1
    same: bool = True
    channels: int = 4


@st.composite
def layers(draw):
    kind = draw(st.sampled_from(["conv", "depthwise", "residual", "padded", "pool"]))
    kernel = draw(st.tuples(*2 * [st.sampled_from([1, 2, 3, 5])]))
    stride = draw(st.tuples(*2 * [st.sampled_from([1, 1, 2, 3])]))
    same, dilation = draw(st.booleans()), draw(st.sampled_from([1, 1, 1, 2]))
    if kind == "residual":
        stride, same = (1, 1), True
    if dilation > 1:  # the kernels have no stride then
        stride = (1, 1)
    return Layer(kind, kernel, stride, dilation, same, draw(st.integers(1, 5)))


class StemWriter:
    """Writes layers one behind the other; shapes that do not go leave a layer out."""

    def __init__(self, size_hw: tuple[int, int], seed: int, dtype: str) -> None:
        self._random = np.random.default_rng(seed)
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.buffers, self._model.operatorCodes = [schema.BufferT()], []
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.subgraphs = [self._graph]
        self.at = self._tensor("image", (1, *size_hw, 3), getattr(TYPES, dtype.upper()))
        self._graph.inputs = [self.at]
        if dtype == "uint8":
            self._operator("QUANTIZE", 1, [self.at], self._like((1, *size_hw, 3)))

    def content(self) -> bytes:
        """Return the file; its output is a convolution of the last map."""
        self._convolution(Layer("conv", (1, 1), same=False, channels=2))
        self._graph.outputs = [self.at]
        return pack_model(self._model)

    def add(self, layer: Layer) -> None:
        if not layer.same and any(map(int.__lt__, self._shape()[1:3], self._reach(layer))):
            return
        if layer.kind == "pool":
            self._pool(layer)
        elif layer.kind == "residual":
            before = self.at
            self._convolution(Layer("conv", (1, 1), channels=3))
            self._depthwise(layer)
            self._convolution(Layer("conv", layer.kernel, channels=self._shape(before)[3]))
            self._operator("ADD", 1, [before, self.at], self._like(self._shape(before)))
        else:
            if layer.kind == "padded":
                self._pad()
            self._depthwise(layer) if layer.kind == "depthwise" else self._convolution(layer)

    def _reach(self, layer):
        return [(size - 1) * layer.dilation + 1 for size in layer.kernel]

    def _answer(self, layer) -> list[int]:
        sizes = self._shape()[1:3]
        if not layer.same:
            sizes = [n - r + 1 for n, r in zip(sizes, self._reach(layer), strict=True)]
        return [-(-n // s) for n, s in zip(sizes, layer.stride, strict=True)]

    def _convolution(self, layer: Layer) -> None:
        shape = (layer.channels, *layer.kernel, self._shape()[3])
        self._weighted("CONV_2D", layer, shape, 0)

    def _depthwise(self, layer: Layer) -> None:
        op = self._weighted("DEPTHWISE_CONV_2D", layer, (1, *layer.kernel, self._shape()[3]), 3)
        op.builtinOptions.depthMultiplier = 1

    def _weighted(self, name, layer, shape, axis):
        source, count = self.at, shape[axis]
        scales = self._random.uniform(0.002, 0.02, count).astype(np.float32)
        kernel = self._constant(self._random.integers(-127, 128, shape).astype(np.int8))
        bias = self._constant(self._random.integers(-3000, 3000, count).astype(np.int32))
        given = float(self._graph.tensors[source].quantization.scale[0])
        self._quantize(kernel, scales, [0] * count, axis)
        self._quantize(bias, scales * np.float32(given), [0] * count)
        output = self._like((1, *self._answer(layer), count))
        fan_in = np.prod(shape) / count
        scale = given * float(scales.mean()) * 74 * 74 * np.sqrt(fan_in) / 50
        self._quantize(output, [scale], [int(self._random.integers(-128, 128))])
        op = self._operator(name, 3, [source, kernel, bias], output)
        options = schema.Conv2DOptionsT() if axis == 0 else schema.DepthwiseConv2DOptionsT()
        options.padding = PADDING.SAME if layer.same else PADDING.VALID
        options.strideH, options.strideW = layer.stride
        options.dilationHFactor = options.dilationWFactor = layer.dilation
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU6 * (count % 2)
        self._set(op, options)
        return op

    def _pool(self, layer: Layer) -> None:
        _, height, width, channels = self._shape()
        if height < 2 or width < 2:
            return
        source = self.at
        output = self._like((1, height // 2, width // 2, channels))
        self._graph.tensors[output].quantization = self._graph.tensors[source].quantization
        op = self._operator("MAX_POOL_2D", 2, [source], output)
        options = schema.Pool2DOptionsT()
        options.padding = PADDING.VALID
        options.strideH = options.strideW = options.filterHeight = options.filterWidth = 2
        self._set(op, options)

    def _pad(self) -> None:
        source, (_, height, width, channels) = self.at, self._shape()
        top, bottom, left, right = map(int, self._random.integers(0, 3, 4))
        amounts = np.array([(0, 0), (top, bottom), (left, right), (0, 0)], np.int32)
        output = self._like((1, height + top + bottom, width + left + right, channels))
        self._graph.tensors[output].quantization = self._graph.tensors[source].quantization
        op = self._operator("PAD", 2, [source, self._constant(amounts)], output)
        self._set(op, schema.PadOptionsT())

    def _shape(self, tensor=None) -> list[int]:
        return list(map(int, self._graph.tensors[self.at if tensor is None else tensor].shape))

    def _like(self, shape) -> int:
        return self._tensor(f"map_{len(self._graph.tensors)}", shape, TYPES.INT8)

    def _tensor(self, name, shape, kind) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(map(int, shape)), kind
        self._graph.tensors.append(tensor)
        index = len(self._graph.tensors) - 1
        zero = int(self._random.integers(100, 156)) - (0 if kind == TYPES.UINT8 else 128)
        self._quantize(index, [float(self._random.uniform(0.01, 0.03))], [zero])
        return index

    def _quantize(self, tensor, scales, zeros, axis=0) -> None:
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = list(map(float, scales)), list(zeros)
        quantization.quantizedDimension = axis
        self._graph.tensors[tensor].quantization = quantization

    def _constant(self, values) -> int:
        kind = {v: k for k, v in NUMPY.items()}[values.dtype.type]
        index = self._tensor(f"constant_{len(self._graph.tensors)}", values.shape, kind)
        self._graph.tensors[index].quantization = None
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        self._graph.tensors[index].buffer = len(self._model.buffers) - 1
        return index

    def _operator(self, name, version, inputs, output):
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = code.builtinCode, version
        self._model.operatorCodes.append(code)
        op = schema.OperatorT()
        op.opcodeIndex = len(self._model.operatorCodes) - 1
        op.inputs, op.outputs = inputs, [output]
        self._graph.operators.append(op)
        self.at = output
        return op

    def _set(self, op, options) -> None:
        op.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        op.builtinOptions = options
