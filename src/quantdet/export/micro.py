"""What TFLite-Micro needs to run a file: operators, by the names of its resolver, and memory."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quantdet.errors import DependencyError, ModelError
from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.litert.micro import smallest_arena

_KIB = 1024
_LEAST_MARGIN = 8 * _KIB
# Source: methods Add… of tensorflow/lite/micro/micro_mutable_op_resolver.h, 2026-08.
_METHODS = """
Abs Add AddN ArgMax ArgMin AssignVariable AveragePool2D BatchMatMul BatchToSpaceNd BroadcastArgs
BroadcastTo CallOnce Cast Ceil Concatenation Conv2D Cos CumSum DepthToSpace DepthwiseConv2D
Dequantize Div DynamicUpdateSlice EmbeddingLookup Elu Equal Exp ExpandDims Fill Floor FloorDiv
FloorMod FullyConnected Gather GatherNd Greater GreaterEqual HardSwish If L2Normalization L2Pool2D
LeakyRelu Less LessEqual Log LogicalAnd LogicalNot LogicalOr Logistic LogSoftmax Maximum MaxPool2D
MirrorPad Mean Minimum Mul Neg NotEqual Pack Pad PadV2 Prelu Quantize ReadVariable ReduceAll
ReduceMax ReduceMin Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt
SelectV2 Shape Sin Slice Softmax SpaceToBatchNd SpaceToDepth Split SplitV Squeeze Sqrt Square
SquaredDifference StridedSlice Sub Sum Svdf Tanh TransposeConv Transpose Unpack
UnidirectionalSequenceLSTM VarHandle While ZerosLike
"""
METHODS = {method.lower(): method for method in re.findall(r"\w+", _METHODS)}
"""Name of a builtin operator in small letters without "_" → the resolver's."""
CUSTOM = {"TFLite_Detection_PostProcess": "DetectionPostprocess"}
"""Name of a custom operator → the resolver's."""


@dataclass(frozen=True)
class MicroNeeds:
    """What TFLite-Micro needs.

    Attributes:
        schema_version: of the file.
        methods: those of ``MicroMutableOpResolver`` that add the file's operators, sorted.
        missing: operators that it has no kernel for, sorted.
        arena_bytes: smallest arena on this machine; None where it was not measured.
        why_no_arena: why not; "" where it was.
    """

    schema_version: int
    methods: tuple[str, ...]
    missing: tuple[str, ...]
    arena_bytes: int | None
    why_no_arena: str

    @property
    def arena_with_margin(self) -> int | None:
        """An eighth more, at least 8 KiB: a chip's own kernels take scratch memory."""
        if self.arena_bytes is None:
            return None
        return self.arena_bytes + max(_LEAST_MARGIN, -(-self.arena_bytes // (8 * _KIB)) * _KIB)


def micro_needs(content: bytes) -> MicroNeeds:
    """Return what TFLite-Micro needs to run a .tflite.

    The arena is measured by running it, where package ``tflite-micro`` is installed.
    """
    file = EditableFile(content)
    missing = sorted({name for name in map(file.name, file.operators) if not micro_method(name)})
    arena, why = (None, f"no kernel for {', '.join(missing)}") if missing else _arena(content)
    methods = resolver_methods(content)
    return MicroNeeds(file.model.version, methods, tuple(missing), arena, why)


def resolver_methods(content: bytes) -> tuple[str, ...]:
    """Return the methods of ``MicroMutableOpResolver`` that add a file's operators, sorted."""
    file = EditableFile(content)
    methods = {micro_method(file.name(op)) for op in file.operators}
    return tuple(sorted(f"Add{method}" for method in methods if method))


def micro_method(operator: str) -> str | None:
    """Return the resolver's name of an operator without "Add"; None where it has no kernel.

    Args:
        operator: as in LiteRT's schema, "CONV_2D", or the name of a custom one.
    """
    return CUSTOM.get(operator) or METHODS.get(operator.replace("_", "").lower())


def _arena(content: bytes) -> tuple[int | None, str]:
    try:
        return smallest_arena(content), ""
    except (DependencyError, ModelError) as error:
        return None, str(error)
