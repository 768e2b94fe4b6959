"""Read the static content of a .tflite: operators, tensors, quantization, signature."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema


@dataclass(frozen=True)
class FileTensor:
    """One tensor of the file; ``real = (q - zero_point) * scale`` along ``axis``.

    ``dynamic``: a size is known only when the model runs.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: NDArray[np.float32]
    zero_point: int
    data: NDArray[np.number] | None
    dynamic: bool = False


@dataclass(frozen=True)
class FileOp:
    """One operator, e.g. "CONV_2D"; optional inputs that are absent are left out.

    ``options``: its settings as the file's schema has them, e.g. ``Conv2DOptionsT``.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    # Objects of the schema are equal only to themselves.
    options: Any = field(default=None, compare=False)


@dataclass(frozen=True)
class FileGraph:
    """The main subgraph.

    Attributes:
        inputs: signature name → tensor index.
        outputs: signature name → tensor index.
        output_order: signature names in the order of the subgraph's outputs, which is the
            converter's choice; for runtimes that know no signatures.
    """

    tensors: tuple[FileTensor, ...]
    ops: tuple[FileOp, ...]
    inputs: dict[str, int]
    outputs: dict[str, int]
    output_order: tuple[str, ...]


def read_litert(content: bytes | Path) -> FileGraph:
    """Parse a .tflite (path or bytes).

    A file without a signature has the names of its tensors, and a custom operator its own name.

    Raises:
        ModelError: not a .tflite.
    """
    from ai_edge_litert import schema_py_generated as schema

    where = str(content) if isinstance(content, Path) else "model"
    raw = content.read_bytes() if isinstance(content, Path) else content
    if raw[4:8] != b"TFL3":
        raise ModelError(f"{where}: not a .tflite file (no TFL3 mark); export it again")
    model = schema.ModelT.InitFromPackedBuf(raw, 0)
    graph = model.subgraphs[0]
    inputs, outputs = _interface(model, graph)
    types = _names(schema.TensorType)
    codes = _names(schema.BuiltinOperator)
    names = [
        code.customCode.decode(errors="replace")
        if code.customCode
        else codes[max(code.builtinCode, code.deprecatedBuiltinCode)]
        for code in model.operatorCodes
    ]
    by_index = {index: name for name, index in outputs.items()}
    return FileGraph(
        tensors=tuple(_tensor(tensor, types, model.buffers) for tensor in graph.tensors),
        ops=tuple(
            FileOp(
                names[op.opcodeIndex],
                tuple(int(i) for i in op.inputs if i >= 0),
                tuple(int(i) for i in op.outputs),
                op.builtinOptions,
            )
            for op in graph.operators
        ),
        inputs=inputs,
        outputs=outputs,
        output_order=tuple(by_index[int(index)] for index in graph.outputs),
    )


def _interface(
    model: schema.ModelT, graph: schema.SubGraphT
) -> tuple[dict[str, int], dict[str, int]]:
    """Return name → tensor of inputs and of outputs: of the first signature, else the tensors'."""
    if model.signatureDefs:
        signature = model.signatureDefs[0]
        inputs, outputs = (
            {item.name.decode(): int(item.tensorIndex) for item in items}
            for items in (signature.inputs, signature.outputs)
        )
        return inputs, outputs
    inputs, outputs = (
        {graph.tensors[index].name.decode(errors="replace"): int(index) for index in indices}
        for indices in (graph.inputs, graph.outputs)
    )
    return inputs, outputs


def operator_counts(file: FileGraph) -> dict[str, int]:
    """Return operator name → how often it occurs, most frequent first."""
    return dict(Counter(op.name for op in file.ops).most_common())


def _names(enumeration: type) -> dict[int, str]:
    return {value: key for key, value in vars(enumeration).items() if isinstance(value, int)}


def _tensor(
    tensor: schema.TensorT, types: dict[int, str], buffers: list[schema.BufferT]
) -> FileTensor:
    quantization = tensor.quantization
    scales = [] if quantization is None or quantization.scale is None else quantization.scale
    has_zero = quantization is not None and quantization.zeroPoint is not None
    zero = int(quantization.zeroPoint[0]) if has_zero and len(quantization.zeroPoint) else 0
    shape = tuple(int(size) for size in tensor.shape) if tensor.shape is not None else ()
    dtype = types[tensor.type].lower()
    data = _constant(buffers[tensor.buffer].data, dtype, shape)
    dynamic = tensor.shapeSignature is not None and min(tensor.shapeSignature, default=0) < 0
    return FileTensor(
        tensor.name.decode(errors="replace"),
        shape,
        dtype,
        np.asarray(scales, dtype=np.float32),
        zero,
        data,
        dynamic,
    )


def _constant(
    raw: Sequence[int] | NDArray[np.uint8] | None, dtype: str, shape: tuple[int, ...]
) -> NDArray[np.number] | None:
    if raw is None or not len(raw):
        return None
    if dtype == "int4":
        pairs = np.frombuffer(bytes(raw), np.uint8)
        # Two values a byte, the lower half first; the shifts bring the sign along.
        halves = np.stack([pairs << 4, pairs], axis=-1).reshape(-1).view(np.int8) >> 4
        values: NDArray[np.number] = halves[: math.prod(shape)].reshape(shape)
        return values
    if dtype in ("int8", "int16", "int32", "int64", "uint8", "float32"):
        return np.frombuffer(bytes(raw), dtype=dtype).reshape(shape)
    return None
