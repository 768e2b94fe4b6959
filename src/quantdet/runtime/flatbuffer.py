"""Is a .tflite whole? LiteRT follows the offsets in it without a look at the file's end.

A FlatBuffer is tables that refer to each other by offsets. As the verifier of the FlatBuffers
library does (which LiteRT's Python interface leaves out), every table, vector, string and buffer is
followed once, by the schema of TFLite (schema.fbs), and has to lie within the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path

from quantdet.errors import ModelError

TEXT = 0
Field = int | str | list[str] | dict[int, str]
"""TEXT, bytes of each item of a vector of numbers, a table, a vector of tables, or a union: type →
table; the slot before has the type."""


def _vectors(item_bytes: int, *slots: int) -> dict[int, Field]:
    return dict.fromkeys(slots, item_bytes)


TABLES: Mapping[str, Mapping[int, Field]] = {
    "Model": {
        1: ["OperatorCode"],
        2: ["SubGraph"],
        3: TEXT,
        4: ["Buffer"],
        5: 4,
        6: ["Metadata"],
        7: ["SignatureDef"],
        8: ["ExternalBufferGroup"],
        9: ["ExternalBuffer"],
    },
    "OperatorCode": {1: TEXT},
    "SubGraph": {0: ["Tensor"], 1: 4, 2: 4, 3: ["Operator"], 4: TEXT},
    "Tensor": {
        0: 4,
        3: TEXT,
        4: "QuantizationParameters",
        6: "SparsityParameters",
        7: 4,
        9: ["VariantSubType"],
    },
    "QuantizationParameters": {
        **_vectors(4, 0, 1, 2),
        3: 8,
        5: {1: "CustomQuantization", 2: "BlockwiseQuantization", 3: "MultiAxisQuantization"},
    },
    "CustomQuantization": {0: 1},
    "BlockwiseQuantization": {3: 4},
    "MultiAxisQuantization": {3: 4},
    "SparsityParameters": {0: 4, 1: 4, 2: ["DimensionMetadata"]},
    "DimensionMetadata": {
        3: {1: "Int32Vector", 2: "Uint16Vector", 3: "Uint8Vector"},
        5: {1: "Int32Vector", 2: "Uint16Vector", 3: "Uint8Vector"},
    },
    "Int32Vector": {0: 4},
    "Uint16Vector": {0: 2},
    "Uint8Vector": {0: 1},
    "VariantSubType": {0: 4},
    "Operator": {
        1: 4,
        2: 4,
        4: {
            3: "ConcatEmbeddingsOptions",
            8: "FullyConnectedOptions",
            17: "ReshapeOptions",
            30: "SqueezeOptions",
            111: "VarHandleOptions",
            115: "BucketizeOptions",
        },
        5: 1,
        7: 1,
        8: 4,
        12: {
            2: "StablehloBroadcastInDimOptions",
            3: "StablehloSliceOptions",
            4: "StablehloConvolutionOptions",
            5: "StablehloCustomCallOptions",
            6: "StablehloReduceOptions",
            7: "StablehloScatterOptions",
            9: "StablehloDynamicSliceOptions",
            10: "StablehloPadOptions",
            12: "StablehloDotGeneralOptions",
            13: "StablehloReduceWindowOptions",
            16: "StablehloGatherOptions",
            17: "StablehloTransposeOptions",
            21: "StableHLOCompositeOptions",
            23: "StablehloCaseOptions",
        },
    },
    "ConcatEmbeddingsOptions": _vectors(4, 1, 2),
    "FullyConnectedOptions": {5: 1},
    "ReshapeOptions": {0: 4},
    "SqueezeOptions": {0: 4},
    "VarHandleOptions": {0: TEXT, 1: TEXT},
    "BucketizeOptions": {0: 4},
    "StablehloBroadcastInDimOptions": {0: 8},
    "StablehloSliceOptions": _vectors(8, 0, 1, 2),
    "StablehloConvolutionOptions": {**_vectors(8, 0, 1, 2, 3, 7, 10, 13), 4: 1, 16: 4},
    "StablehloCustomCallOptions": {0: TEXT, 2: TEXT, 4: 4, 5: 1},
    "StablehloReduceOptions": {0: 8},
    "StablehloScatterOptions": _vectors(8, 1, 2, 3),
    "StablehloDynamicSliceOptions": {0: 8},
    "StablehloPadOptions": _vectors(8, 0, 1, 2),
    "StablehloDotGeneralOptions": {**_vectors(8, 0, 1, 2, 3), 4: 4},
    "StablehloReduceWindowOptions": _vectors(8, 0, 1, 2, 3, 4),
    "StablehloGatherOptions": _vectors(8, 0, 1, 2, 4),
    "StablehloTransposeOptions": {0: 8},
    "StableHLOCompositeOptions": {0: TEXT, 2: 1},
    "StablehloCaseOptions": {0: 4},
    "Buffer": {0: 1},
    "Metadata": {0: TEXT},
    "SignatureDef": {0: ["TensorMap"], 1: ["TensorMap"], 2: TEXT},
    "TensorMap": {0: TEXT},
    "ExternalBufferGroup": {0: TEXT},
    "ExternalBuffer": {4: TEXT},
}
"""Table → slot of every field that is an offset; all others are numbers."""

REQUIRED: Mapping[str, tuple[int, ...]] = {
    "Model": (1, 2, 4),
    "SubGraph": (0, 1, 2, 3),
    "Operator": (1, 2),
    "SignatureDef": (0, 1, 2),
    "TensorMap": (0,),
    "Metadata": (0,),
}
"""Table → slots that the schema lets out and LiteRT reads all the same."""

_MOST_TABLES = 1_000_000
_LEAST_SCALE, _LARGEST_SCALE = 2.0**-126, 2.0**126
_ZERO_POINTS = {3: (0, 255), 9: (-128, 127)}
"""Type of the schema (UINT8, INT8) → its range; all others are symmetric, or have 16 bits."""
_MOST_PLAIN_INPUTS = 4
_MOST_VALUES = 2**28
_BUFFER_OFFSET, _BUFFER_SIZE = 1, 2


def verify_model(path: Path) -> None:
    """Refuse a .tflite with offsets that lead out of the file.

    Raises:
        ModelError: not readable, not a .tflite, or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path}: not a .tflite (no TFL3 mark); copy it again")
    try:
        _Verifier(content).table("Model", 0)
    except ValueError as error:
        raise ModelError(
            f"{path}: is no whole .tflite ({error}); copy it again, or export it again"
        ) from None


class _Verifier:
    """Follows the offsets of one file.

    What is followed may not add up to much more than the file: offsets that overlap make small
    files large.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left = 4 * len(content) + (1 << 20)
        self._tables = 0
        self._tensors = 0

    def table(self, name: str, offset_at: int) -> None:
        """Check the table whose offset is at ``offset_at``, and all that it refers to."""
        self._tables += 1
        if self._tables > _MOST_TABLES:
            raise ValueError(f"more than {_MOST_TABLES} tables")
        start = offset_at + self._number("<I", offset_at)
        slots = self._slots(name, start)
        for slot in REQUIRED.get(name, ()):
            if slot not in slots:
                raise ValueError(f"{name} lacks its field {slot}")
        for slot, field in TABLES.get(name, {}).items():
            if slot in slots:
                kind = self._kind(slot, slots) if isinstance(field, dict) else 0
                self._field(f"{name}.{slot}", field, kind, slots[slot])
        check = {
            "Buffer": self._far_buffer,
            "SubGraph": self._count_tensors,
            "Tensor": self._tensor,
            "Operator": self._inputs,
            "TensorMap": self._index,
        }.get(name)
        if check is not None:
            check(slots)

    def _slots(self, name: str, start: int) -> dict[int, int]:
        """Return slot → position of the fields that are there, all within their table."""
        vtable = start - self._number("<i", start)
        vtable_bytes = self._number("<H", vtable)
        table_bytes = self._number("<H", vtable + 2)
        if vtable_bytes < 4 or table_bytes < 4:
            raise ValueError(f"{name} has no table")
        self._within(name, vtable, vtable_bytes)
        self._within(name, start, table_bytes)
        offsets = struct.unpack_from(f"<{(vtable_bytes - 4) // 2}H", self._content, vtable + 4)
        if max(offsets, default=0) >= table_bytes:
            raise ValueError(f"a field of {name} is outside of it")
        return {slot: start + offset for slot, offset in enumerate(offsets) if offset}

    def _kind(self, slot: int, slots: Mapping[int, int]) -> int:
        """Return the type of a union; 0 is none."""
        return self._number("<B", slots[slot - 1]) if slot - 1 in slots else 0

    def _field(self, where: str, field: Field, kind: int, at: int) -> None:
        if isinstance(field, dict):
            self.table(field.get(kind, "options without offsets"), at)
        elif isinstance(field, str):
            self.table(field, at)
        elif isinstance(field, list):
            first, count = self._vector(where, 4, at)
            for number in range(count):
                self.table(field[0], first + 4 * number)
        else:
            self._vector(where, field or 1, at, ends=field == TEXT)

    def _vector(
        self, where: str, item_bytes: int, at: int, *, ends: bool = False
    ) -> tuple[int, int]:
        """Return where a vector begins, and how many items it has."""
        start = at + self._number("<I", at)
        count = self._number("<I", start)
        self._within(where, start + 4, item_bytes * count + ends)
        if ends:
            if self._content[start + 4 + count]:
                raise ValueError(f"{where} is a text without end")
            self._content[start + 4 : start + 4 + count].decode()
        return start + 4, count

    def _far_buffer(self, slots: Mapping[int, int]) -> None:
        """Check a buffer behind the tables, as files of more than 2 GB have them."""
        if _BUFFER_OFFSET in slots and _BUFFER_SIZE in slots:
            offset, size = (self._number("<Q", slots[n]) for n in (_BUFFER_OFFSET, _BUFFER_SIZE))
            self._within("a buffer", offset, size)

    def _count_tensors(self, slots: Mapping[int, int]) -> None:
        self._tensors = max(self._tensors, self._vector("tensors", 4, slots[0])[1])

    def _index(self, slots: Mapping[int, int]) -> None:
        """Check that an input or output of a signature is a tensor."""
        if 1 in slots and self._number("<I", slots[1]) >= self._tensors:
            raise ValueError("a signature names a tensor that is not there")

    def _tensor(self, slots: Mapping[int, int]) -> None:
        """Check that kernels can take a tensor's size and its quantization."""
        shape = self._numbers("i", 4, slots.get(0))
        if math.prod(max(1, size) for size in shape) > _MOST_VALUES:
            raise ValueError(f"a tensor of shape {shape} is too large")
        if 4 in slots:
            at = slots[4] + self._number("<I", slots[4])
            self._quantization(
                self._slots("QuantizationParameters", at),
                self._number("<b", slots[1]) if 1 in slots else 0,
            )

    def _quantization(self, inner: Mapping[int, int], kind: int) -> None:
        scales = self._numbers("f", 4, inner.get(2))
        least = 0.0 if len(scales) > 1 else _LEAST_SCALE  # a channel of a constant may be all 0
        if any(not least <= scale <= _LARGEST_SCALE for scale in scales):
            raise ValueError("a scale is out of range")
        low, high = _ZERO_POINTS.get(kind, (-(2**15), 2**15 - 1))
        if any(not low <= zero <= high for zero in self._numbers("q", 8, inner.get(3))):
            raise ValueError("a zero point is out of range")

    def _inputs(self, slots: Mapping[int, int]) -> None:
        """Check that no operator goes without its first inputs; only recurrent ones may."""
        inputs = self._numbers("i", 4, slots[1])
        first = inputs[: 2 if len(inputs) <= _MOST_PLAIN_INPUTS else 1]
        if not first or min(first) < 0:
            raise ValueError("an operator lacks an input")

    def _numbers(self, kind: str, item_bytes: int, at: int | None) -> tuple[float, ...]:
        if at is None:
            return ()
        start, count = self._vector("numbers", item_bytes, at)
        return struct.unpack_from(f"<{count}{kind}", self._content, start)

    def _number(self, kind: str, at: int) -> int:
        if not 0 <= at <= len(self._content) - struct.calcsize(kind):
            raise ValueError("an offset leads out of the file")
        value: int = struct.unpack_from(kind, self._content, at)[0]
        return value

    def _within(self, where: str, start: int, size: int) -> None:
        self._left -= size
        if start < 0 or start + size > len(self._content):
            raise ValueError(f"{where} reaches past the end of the file")
        if self._left < 0:
            raise ValueError(f"{where} overlaps with others")
