"""Write a file whose first operators are computed patch by patch."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.patches.plan import Piece, Plan, Step

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema

_INT8_VERSION = 2  # of SLICE, PAD and CONCATENATION


def patched(plan: Plan) -> bytes:
    """Return the .tflite of a plan; every tensor behind the stem has the ordinary file's integers.

    Constants are those of the ordinary file, once. The plan is used up: its file is changed.
    """
    file = plan.stem.file
    writer = _Writer(file)
    operators = [writer.written(step) for step in plan.steps]
    *dropped, last = plan.stem.operators
    file.replace(last, operators)
    for op in dropped:
        file.operators.remove(op)
    return file.content()


class _Writer:
    """Makes operators of steps, and tensors of pieces."""

    def __init__(self, file: EditableFile) -> None:
        self._file = file
        self._tensors: dict[int, int] = {}
        self._pieces: list[Piece] = []  # kept, so that no two have one id

    def written(self, step: Step) -> schema.OperatorT:
        """Return the operator of a step."""
        inputs = [self._tensor(piece) for piece in step.inputs]
        output = self._tensor(step.output)
        if step.operator is not None:
            return self._copy(step, step.operator, inputs, output)
        kind = {"slice": self._slice, "pad": self._pad, "concatenate": self._concatenation}
        return kind[step.kind](step, inputs, output)

    def _tensor(self, piece: Piece) -> int:
        if piece.whole:
            return piece.tensor
        if id(piece) not in self._tensors:
            original = self._file.tensors[piece.tensor]
            tensor = self._file.schema.TensorT()
            number = len(self._pieces)
            tensor.name = bytes(original.name) + f"/patch_{number}".encode()
            tensor.type, tensor.quantization = original.type, original.quantization
            tensor.shape = [1, *piece.size_hw, int(original.shape[-1])]
            self._file.tensors.append(tensor)
            self._tensors[id(piece)] = len(self._file.tensors) - 1
            self._pieces.append(piece)
        return self._tensors[id(piece)]

    def _copy(
        self, step: Step, operator: schema.OperatorT, pieces: list[int], output: int
    ) -> schema.OperatorT:
        maps = iter(pieces)
        op = copy.copy(operator)
        op.inputs = [
            tensor if tensor < 0 or self._file.is_constant(tensor) else next(maps)
            for tensor in map(int, operator.inputs)
        ]
        op.outputs = [output]
        if hasattr(operator.builtinOptions, "padding"):
            kinds = self._file.schema.Padding
            op.builtinOptions = copy.copy(operator.builtinOptions)
            op.builtinOptions.padding = kinds.SAME if step.same else kinds.VALID
        return op

    def _slice(self, step: Step, inputs: list[int], output: int) -> schema.OperatorT:
        height, width = step.output.size_hw
        begin = self._integers(0, *step.begin, 0)
        size = self._integers(1, height, width, -1)
        op = self._file.operator("SLICE", _INT8_VERSION, ([*inputs, begin, size], [output]))
        self._file.set_options(op, "SliceOptions", {})
        return op

    def _pad(self, step: Step, inputs: list[int], output: int) -> schema.OperatorT:
        rows, columns = step.pads
        amounts = self._file.add_constant(np.array([(0, 0), rows, columns, (0, 0)], np.int32))
        op = self._file.operator("PAD", _INT8_VERSION, ([*inputs, amounts], [output]))
        self._file.set_options(op, "PadOptions", {})
        return op

    def _concatenation(self, step: Step, inputs: list[int], output: int) -> schema.OperatorT:
        op = self._file.operator("CONCATENATION", _INT8_VERSION, (inputs, [output]))
        self._file.set_options(op, "ConcatenationOptions", {"axis": step.axis})
        return op

    def _integers(self, *values: int) -> int:
        return self._file.add_constant(np.array(values, np.int32))
