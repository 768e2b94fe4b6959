"""Which part of its input an operator needs for a part of its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantdet.quant.litert.editable import EditableFile

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema


@dataclass(frozen=True)
class Span:
    """Positions ``start`` to ``stop - 1`` of an axis."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of positions."""
        return self.stop - self.start

    def hull(self, other: Span) -> Span:
        """Return the smallest span that holds both."""
        return Span(min(self.start, other.start), max(self.stop, other.stop))

    def within(self, size: int) -> Span:
        """Return what lies in an axis of a size; of no positions if nothing does."""
        return Span(min(max(self.start, 0), size), max(min(self.stop, size), 0))


@dataclass(frozen=True)
class Window:
    """What an operator looks at along one axis: for position i, from ``i * stride - before`` on.

    Attributes:
        size: positions it looks at.
        stride: step.
        before: positions of padding in front.
    """

    size: int = 1
    stride: int = 1
    before: int = 0

    def needs(self, span: Span) -> Span:
        """Return the positions of the input, some of them maybe in the padding."""
        first, last = span.start * self.stride, (span.stop - 1) * self.stride
        return Span(first - self.before, last - self.before + self.size)


Windows = tuple[Window, Window]
Region = tuple[Span, Span]
"""Rows and columns."""


def hull(a: Region, b: Region) -> Region:
    """Return the smallest region that holds both."""
    return a[0].hull(b[0]), a[1].hull(b[1])


_VALUE_BY_VALUE = (
    *("QUANTIZE", "RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "LOGISTIC", "TANH"),
    *("ADD", "SUB", "MUL"),
)
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")


def windows(file: EditableFile, op: schema.OperatorT) -> Windows | None:
    """Return what an operator looks at, along rows and columns; None where it looks everywhere.

    Only operators whose padding is the zero point of their input: a pool with padding leaves the
    border out instead.
    """
    name, source = file.name(op), int(op.inputs[0])
    if not _is_map(file, int(op.outputs[0])):
        return None
    if name in _VALUE_BY_VALUE or (name == "CONCATENATION" and op.builtinOptions.axis in (3, -1)):
        return (Window(), Window()) if _same_place(file, op) else None
    if not _is_map(file, source):
        return None
    if name in CONVOLUTIONS:
        return _convolution(file, op)
    if name in _POOLS and op.builtinOptions.padding == file.schema.Padding.VALID:
        return _pool(op)
    return _padding(file, op) if name == "PAD" else None


def size_hw(file: EditableFile, tensor: int) -> tuple[int, int]:
    """Return height and width of a map."""
    _, height, width, _ = map(int, file.tensors[tensor].shape)
    return height, width


def same_padding(window: Window, size: int) -> tuple[int, int]:
    """Return what padding SAME adds to an axis in front and behind.

    Source: ``ComputeSamePadding`` of LiteRT, as in TensorFlow's documentation of tf.nn.convolution.
    """
    count = -(-size // window.stride)
    total = max((count - 1) * window.stride + window.size - size, 0)
    return total // 2, total - total // 2


def macs_per_position(file: EditableFile, op: schema.OperatorT) -> int:
    """Return the multiplications of one position of an operator's output, over all channels."""
    if file.name(op) not in (*CONVOLUTIONS, "FULLY_CONNECTED"):
        return 0
    return int(np.prod(file.tensors[int(op.inputs[1])].shape))


def _is_map(file: EditableFile, tensor: int) -> bool:
    shape = file.tensors[tensor].shape
    return shape is not None and len(shape) == 4 and int(shape[0]) == 1


def _same_place(file: EditableFile, op: schema.OperatorT) -> bool:
    """Tell whether all operands are maps of the output's size, or constants for every position."""
    size = size_hw(file, int(op.outputs[0]))
    return all(
        _everywhere(file, tensor)
        if file.is_constant(tensor)
        else _is_map(file, tensor) and size_hw(file, tensor) == size
        for tensor in map(int, op.inputs)
    )


def _everywhere(file: EditableFile, constant: int) -> bool:
    shape = file.tensors[constant].shape
    return shape is None or all(int(size) == 1 for size in shape[:-1])


def _convolution(file: EditableFile, op: schema.OperatorT) -> Windows:
    options, kernel = op.builtinOptions, file.tensors[int(op.inputs[1])].shape
    sizes = ((int(n) - 1) * d + 1 for n, d in zip(kernel[1:3], _dilations(options), strict=True))
    plain = [
        Window(size, stride)
        for size, stride in zip(sizes, (options.strideH, options.strideW), strict=True)
    ]
    if options.padding == file.schema.Padding.VALID:
        return plain[0], plain[1]
    rows, columns = (
        Window(window.size, window.stride, same_padding(window, size)[0])
        for window, size in zip(plain, size_hw(file, int(op.inputs[0])), strict=True)
    )
    return rows, columns


def _dilations(options: schema.Conv2DOptionsT) -> tuple[int, int]:
    return options.dilationHFactor, options.dilationWFactor


def _pool(op: schema.OperatorT) -> Windows:
    options = op.builtinOptions
    return (
        Window(options.filterHeight, options.strideH),
        Window(options.filterWidth, options.strideW),
    )


def _padding(file: EditableFile, op: schema.OperatorT) -> Windows | None:
    amounts = file.integers(int(op.inputs[1]))
    if amounts is None or amounts.reshape(-1, 2)[[0, 3]].any():
        return None
    (_, (top, _), (left, _), _) = amounts.reshape(-1, 2).tolist()
    return Window(before=top), Window(before=left)
