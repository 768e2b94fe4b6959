"""Refuse a .tflite that is not integer from end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantdet.errors import ExportError
from quantdet.quant.litert_file import FileGraph, read_litert
from quantdet.system.quiet import quiet_stderr

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

_INTEGER_TYPES = {"int4", "int8", "uint8", "int16", "int32", "int64", "bool"}
# Layers that a refusal names.
_MOST_NAMES = 5
# Operators whose quantized kernels compute something else → what to write instead.
_WRONG_KERNELS = {
    # A shift of more than 31 bits: -1 / 100 may come out as the smallest integer.
    "DIV": "LiteRT's kernels give ±127 for small quotients; multiply by the reciprocal",
    # The bytes of int8 are taken for uint8.
    "SUM": "LiteRT's reference kernels read the wrong integers; multiply a mean by the count",
}


def check_integer(content: bytes, io_dtype: str) -> None:
    """Check that no tensor or operator of a .tflite is float, nor computed wrongly by LiteRT.

    Raises:
        ExportError: names the float tensors and operators, the operator with a wrong kernel, or
            the wrong interface type.
    """
    file = read_litert(content)
    floats = float_tensors(file)
    if floats:
        raise ExportError(
            f"the file is not all integer: {len(floats)} float tensors, of the layers "
            f"{', '.join(_layers(floats))}; operators around them: {', '.join(_float_ops(file))}"
        )
    for op in file.ops:
        if op.name in _WRONG_KERNELS and len(file.tensors[op.outputs[0]].scales):
            raise ExportError(
                f"{file.tensors[op.outputs[0]].name!r} is made by a quantized {op.name}: "
                + _WRONG_KERNELS[op.name]
            )
    for name, index in {**file.inputs, **file.outputs}.items():
        if file.tensors[index].dtype != io_dtype:
            raise ExportError(
                f"{name!r} is {file.tensors[index].dtype} in the file, but {io_dtype} was requested"
            )


def check_runs(content: bytes) -> None:
    """Check that LiteRT's kernels take the file: allocate it with XNNPACK and without.

    Raises:
        ExportError: what the runtime says.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    for kernels in (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
        try:
            with quiet_stderr():
                interpreter = Interpreter(
                    model_content=content, experimental_op_resolver_type=kernels
                )
                if _has_one_size(interpreter):
                    interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ExportError(
                f"LiteRT rejects the exported file: {str(error).strip()}; this is a defect "
                "of the export"
            ) from None


def _has_one_size(interpreter: Interpreter) -> bool:
    """Tell whether no axis is open: LiteRT takes such for 1, which few nets can compute."""
    return all((spec["shape_signature"] > 0).all() for spec in interpreter.get_input_details())


def float_tensors(file: FileGraph) -> list[str]:
    """Return names of the tensors that are not integer."""
    return [tensor.name for tensor in file.tensors if tensor.dtype not in _INTEGER_TYPES]


def _layers(tensors: list[str]) -> list[str]:
    """Return the layers that tensors are named after ("conv/Conv2D;conv/BiasAdd"), quoted."""
    parts = (part.split("/") for tensor in tensors for part in tensor.split(";"))
    return list(dict.fromkeys(repr(path[0]) for path in parts if len(path) > 1))[:_MOST_NAMES]


def _float_ops(file: FileGraph) -> list[str]:
    found = {
        op.name
        for op in file.ops
        if any(
            file.tensors[index].dtype not in _INTEGER_TYPES for index in (*op.inputs, *op.outputs)
        )
    }
    return sorted(found)
