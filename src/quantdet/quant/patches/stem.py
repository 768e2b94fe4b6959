"""The first operators of a file that can be computed patch by patch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.patches.geometry import Windows, windows

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema


@dataclass(frozen=True)
class Stem:
    """Operators between one tensor and another, on nothing of which any other operator depends.

    Attributes:
        file: they are of.
        operators: in the order in which they run.
        source: the map that is cut into patches.
        result: the map that is put together from patches.
    """

    file: EditableFile
    operators: tuple[schema.OperatorT, ...]
    source: int
    result: int

    @cached_property
    def windows(self) -> tuple[Windows, ...]:
        """What each operator looks at."""
        found = (windows(self.file, op) for op in self.operators)
        return tuple(item for item in found if item is not None)

    def maps(self, op: schema.OperatorT) -> list[int]:
        """Return the operands that are maps."""
        return _maps(self.file, op)


def find_stems(file: EditableFile) -> list[Stem]:
    """Return the stems of an 8 bit file, shortest first; none where it has no such beginning."""
    source = _source(file)
    if source is None:
        return []
    local, found = {source}, []
    for op in file.operators:
        inputs, (output, *more) = _maps(file, op), map(int, op.outputs)
        if more or not inputs or not local.issuperset(inputs) or not _is_int8(file, output):
            continue
        if windows(file, op) is None:
            continue
        local.add(output)
        stem = Stem(file, tuple(_before(file, output, source)), source, output)
        if _is_closed(stem):
            found.append(stem)
    return found


def _source(file: EditableFile) -> int | None:
    """Return the input of the net as int8; TFLite-Micro cannot slice uint8."""
    (tensor, *more) = map(int, file.graph.inputs)
    if more or _is_int8(file, tensor):
        return None if more else tensor
    readers = file.readers(tensor)
    outputs = [int(op.outputs[0]) for op in readers if file.name(op) == "QUANTIZE"]
    return outputs[0] if len(outputs) == 1 and _is_int8(file, outputs[0]) else None


def _is_int8(file: EditableFile, tensor: int) -> bool:
    return bool(file.tensors[tensor].type == file.schema.TensorType.INT8)


def _maps(file: EditableFile, op: schema.OperatorT) -> list[int]:
    tensors = map(int, op.inputs)
    return [tensor for tensor in tensors if tensor >= 0 and not file.is_constant(tensor)]


def _before(file: EditableFile, output: int, source: int) -> Iterator[schema.OperatorT]:
    """Yield the operators that a tensor needs, down to the source."""
    needed = {output}
    chosen = []
    for op in reversed(file.operators):
        if needed.intersection(map(int, op.outputs)) - {source}:
            chosen.append(op)
            needed.update(set(_maps(file, op)) - {source})
    yield from reversed(chosen)


def _is_closed(stem: Stem) -> bool:
    """Tell whether only the result is read by others."""
    file = stem.file
    inside = {int(op.outputs[0]) for op in stem.operators} - {stem.result}
    own = set(map(id, stem.operators))
    others = (op for op in file.operators if id(op) not in own)
    return not inside.intersection(map(int, file.graph.outputs)) and not any(
        inside.intersection(map(int, op.inputs)) for op in others
    )
