"""Write FlatBuffers: whole .tflite models, and small tables without generated classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

_ALIGNMENT = 16  # ``force_align`` of constant data in the schemas


def read_model(content: bytes) -> schema.ModelT:
    """Return the object tree (``ModelT``) of a .tflite; what follows the model is left out."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(content, 0)


def pack_model(model: schema.ModelT) -> bytes:
    """Return the .tflite of an object tree, constants at multiples of 16 bytes.

    The generated classes forget the alignment that the schema asks for; kernels of
    microcontrollers count on it.
    """
    import flatbuffers

    plain = model.buffers
    model.buffers = [_AlignedBuffer(buffer) for buffer in plain]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    model.buffers = plain
    return bytes(builder.Output())


class _AlignedBuffer:
    """Packs a ``BufferT`` as the schema wants it."""

    def __init__(self, buffer: schema.BufferT) -> None:
        self._buffer = buffer

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - called by generated code
        from ai_edge_litert import schema_py_generated as schema

        data = self._buffer.data
        vector = None if data is None else _bytes(builder, np.asarray(data, np.uint8).tobytes())
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        schema.BufferAddOffset(builder, self._buffer.offset)
        schema.BufferAddSize(builder, self._buffer.size)
        return int(schema.BufferEnd(builder))


@dataclass(frozen=True)
class Table:
    """A table to be written: slot number → value.

    A value is text, bytes (aligned), a table, a list of text or of tables, a numpy vector, or a
    numpy scalar, whose type is that of the field.
    """

    slots: Mapping[int, Reference | np.generic]


Reference: TypeAlias = str | bytes | Table | Sequence["Reference"] | NDArray[np.number]


def pack_table(root: Table, identifier: bytes) -> bytes:
    """Return the FlatBuffer with ``root`` and a file identifier of 4 bytes."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, root), identifier)
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, table: Table) -> int:
    # What a table refers to must be written before it.
    ready = {
        slot: value if isinstance(value, np.generic) else _reference(builder, value)
        for slot, value in table.slots.items()
    }
    builder.StartObject(max(ready, default=-1) + 1)
    for slot, value in ready.items():
        if isinstance(value, np.generic):
            name = value.dtype.name.capitalize()
            getattr(builder, f"Prepend{name}Slot")(slot, value.item(), 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return int(builder.EndObject())


def _reference(builder: flatbuffers.Builder, value: Reference) -> int:
    if isinstance(value, Table):
        return _table(builder, value)
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, bytes):
        return _bytes(builder, value)
    if isinstance(value, np.ndarray):
        return int(builder.CreateNumpyVector(value))
    return _vector(builder, [_reference(builder, item) for item in value])


def _vector(builder: flatbuffers.Builder, references: Sequence[int]) -> int:
    builder.StartVector(4, len(references), 4)
    for reference in reversed(references):
        builder.PrependUOffsetTRelative(reference)
    return int(builder.EndVector())


def _bytes(builder: flatbuffers.Builder, content: bytes) -> int:
    builder.Prep(_ALIGNMENT, len(content))
    return int(builder.CreateByteVector(content))
