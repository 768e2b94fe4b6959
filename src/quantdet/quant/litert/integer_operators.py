"""Integer operators that LiteRT has and its converter does not write.

The converter quantizes most operators between fake quantizations by itself. Two kinds it leaves
float or refuses:

- functions of one tensor without an integer kernel (ELU, softplus, …). With 8 bits such a function
  is a table of 256 values: CAST to int32, ADD 128, GATHER. Every kernel set runs these, and the
  result is the fake-quantized function itself, to the last bit;
- with 16 bits, operators that its own type rules lack though LiteRT has the kernels
  (CONCATENATION, RELU6, …), and constants, which it gives 8 bits.

:func:`as_table` and :func:`as_operator` write them as custom operators, which the converter leaves
alone between DEQUANTIZE and QUANTIZE; :func:`use_integer_kernels` puts the real ones in their
place. What cannot be replaced stays float, and ``check_integer`` refuses the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ExportError
from quantdet.quant.litert.convert import tensorflow
from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.numerics import QuantParams, quantize
from quantdet.quant.tensors import Tensor

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema

Function = Callable[[NDArray[np.float32]], Tensor]
"""Real values → real values, one by one."""

_TABLE, _OPERATOR = "quantdet.table.", "quantdet.operator."
# Steps of 1/32768 whatever the converter writes (1/65536 for the first two).
_INT16_UNIT = ("LOGISTIC", "SOFTMAX", "TANH")
# The same kernels, but the reference kernels do not know the version that the converter asks for.
_LOWER_VERSION = {"DEPTH_TO_SPACE": 1, "TILE": 1}


@dataclass(frozen=True)
class _Kernel:
    """An int16 kernel.

    Attributes:
        version: of the operator, that int16 needs.
        options: table of the schema that holds its settings.
        same_grid: it copies integers, so that all its tensors must have one scale. LiteRT does not
            check it.
        fixed: settings of every call.
    """

    version: int
    options: str = ""
    same_grid: bool = False
    fixed: Mapping[str, int | bool] = field(default_factory=dict)


_INT16_KERNELS = {
    "CONCATENATION": _Kernel(3, "ConcatenationOptions", same_grid=True),
    "PADV2": _Kernel(3, "PadV2Options", same_grid=True),
    "RELU6": _Kernel(3),
    "ADD": _Kernel(3, "AddOptions", fixed={"potScaleInt16": False}),
    "SUB": _Kernel(5, "SubOptions", fixed={"potScaleInt16": False}),
    "MUL": _Kernel(4, "MulOptions"),
}


def as_operator(
    name: str, function: Callable[..., Tensor], **options: int
) -> Callable[..., Tensor]:
    """Return ``function`` written as one int16 operator, unseen by the converter.

    Args:
        name: CONCATENATION, PADV2, RELU6, ADD, SUB or MUL.
        function: of TensorFlow tensors, what the operator computes. It takes every operand,
            constants too, in the operator's order; a float constant gets 16 bits of its own.
        options: integer settings, by their names in LiteRT's schema, e.g. ``axis=3``.
    """
    if name not in _INT16_KERNELS:
        raise ValueError(f"{name} is none of {', '.join(_INT16_KERNELS)}")
    return _custom(_OPERATOR + name, function, options)


def as_table(key: str) -> Callable[[Tensor], Tensor]:
    """Return a function of one TensorFlow tensor that becomes a table lookup.

    Args:
        key: under which :func:`use_integer_kernels` finds what it computes.
    """
    # Custom operators have no body; this one only tells the shape.
    return _custom(_TABLE + key, lambda tensor: tensorflow().exp(tensor), {})


def _custom(
    name: str, function: Callable[..., Tensor], options: Mapping[str, int]
) -> Callable[..., Tensor]:
    numbers = {"tfl_fusable_op": "b: true"} | {k: f"i: {v}" for k, v in options.items()}
    attributes = (f'attr {{ key: "{key}" value {{ {v} }} }}' for key, v in numbers.items())
    made: Callable[..., Tensor] = tensorflow().function(
        function,
        autograph=False,
        experimental_implements=f'name: "{name}" ' + " ".join(attributes),
    )
    return made


def use_integer_kernels(content: bytes, functions: Mapping[str, Function] | None = None) -> bytes:
    """Return the .tflite with integer operators for what the converter left float.

    Args:
        content: what the converter wrote.
        functions: key of :func:`as_table` → what it computes.

    Raises:
        ExportError: a function is not a number for a value of its input's range.
    """
    file = EditableFile(content)
    for op in list(file.operators):
        name = file.name(op)
        if name.startswith(_TABLE):
            _place_table(file, op, (functions or {})[name.removeprefix(_TABLE)])
        elif name.startswith(_OPERATOR):
            _place_kernel(file, op, name.removeprefix(_OPERATOR))
    _fix_unit_outputs(file)
    _drop_same_grid_quantize(file)
    for name, version in _LOWER_VERSION.items():
        file.lower_version(name, version)
    return file.content()


def _place_table(file: EditableFile, op: schema.OperatorT, function: Function) -> None:
    source, target = file.quantized_input(op.inputs[0]), file.quantized_output(op.outputs[0])
    if source is None or target is None:
        return
    kinds, narrow = file.schema.TensorType, file.params(source).bits == 8
    low, count = (-128, 256) if narrow else (-32768, 65536)
    grids = file.params(source), file.params(target)
    try:
        entries = _table(np.arange(low, low + count), grids, function)
    except ExportError as error:
        raise ExportError(f"layer {file.name(op).removeprefix(_TABLE)!r}: {error}") from None
    if file.tensors[target].type == kinds.UINT8:  # an output of the model
        entries = (entries.astype(np.int16) + 128).astype(np.uint8)
    offset = file.add_constant(np.array(-low, np.int32))
    table = file.add_constant(entries, grids[1])
    signed = file.add_tensor("signed", target, kinds.INT32)
    index = file.add_tensor("index", target, kinds.INT32)
    cast = file.operator("CAST", 3 if narrow else 1, ([source], [signed]))
    types = {"inDataType": file.tensors[source].type, "outDataType": kinds.INT32}
    file.set_options(cast, "CastOptions", types)
    add = file.operator("ADD", 1, ([signed, offset], [index]))
    file.set_options(add, "AddOptions", {})
    gather = file.operator("GATHER", 2 if entries.itemsize == 1 else 4, ([table, index], [target]))
    file.set_options(gather, "GatherOptions", {"axis": 0})
    _remove_quantize(file, op.outputs[0])
    file.replace(op, [cast, add, gather])


def _table(
    integers: NDArray[np.number], grids: tuple[QuantParams, QuantParams], function: Function
) -> NDArray[np.number]:
    """Return the result for every integer of the file (int8 or int16)."""
    source, target = grids
    shift = 128 if source.bits == 8 else 0
    steps = (integers + shift - source.zero_point).astype(np.float32)
    real = np.asarray(function(steps * np.float32(source.scale)), np.float32)
    if np.isnan(real).any():
        where = float(steps[np.isnan(real)][0] * source.scale)
        raise ExportError(
            f"its function is not a number at {where:.4g}, which is in the range of its input; "
            "clip the input to where it is defined"
        )
    q = quantize(real, target).astype(np.int16)
    return q if target.bits == 16 else (q - 128).astype(np.int8)


def _place_kernel(file: EditableFile, op: schema.OperatorT, name: str) -> None:
    from flatbuffers import flexbuffers

    kernel, target = _INT16_KERNELS[name], file.quantized_output(op.outputs[0])
    if target is None:
        return
    # A border is filled with a value of the output's grid; other constants have their own grid.
    grid = file.params(target) if kernel.same_grid else None
    operands = [_integer_operand(file, int(tensor), grid) for tensor in op.inputs]
    inputs = [tensor for tensor in operands if tensor is not None]
    if None in operands or not _suits(file, kernel, [*inputs, target]):
        return
    integer = file.operator(name, kernel.version, (inputs, [target]))
    if kernel.options:
        given = op.customOptions
        options = {} if given is None else flexbuffers.Loads(bytes(given))
        file.set_options(integer, kernel.options, {**kernel.fixed, **options})
    _remove_quantize(file, op.outputs[0])
    file.replace(op, [integer])


def _integer_operand(file: EditableFile, tensor: int, grid: QuantParams | None) -> int | None:
    """Return the integer tensor behind an operand; a float constant becomes one of 16 bits."""
    if not file.is_float(tensor):
        return tensor
    values = file.values(tensor)
    if values is None:
        return file.quantized_input(tensor)
    largest = float(np.abs(values).max()) or 1.0
    params = grid or QuantParams(largest / 32767, 0, 16)
    shape = [int(n) for n in file.tensors[tensor].shape]
    return file.add_constant(quantize(values, params).reshape(shape), params)


def _suits(file: EditableFile, kernel: _Kernel, tensors: list[int]) -> bool:
    """Tell whether the kernel computes on these tensors what the float operator does."""
    kinds = file.schema.TensorType
    quantized = [t for t in tensors if file.tensors[t].type != kinds.INT32]
    if any(file.tensors[t].type != kinds.INT16 for t in quantized):
        return False
    scales = {np.float32(file.params(t).scale) for t in quantized}
    return len(scales) == 1 or not kernel.same_grid


def _remove_quantize(file: EditableFile, tensor: int) -> None:
    (quantize_op,) = file.readers(tensor)
    file.operators.remove(quantize_op)


def _fix_unit_outputs(file: EditableFile) -> None:
    for op in file.operators:
        output = file.tensors[op.outputs[0]]
        if file.name(op) in _INT16_UNIT and output.type == file.schema.TensorType.INT16:
            output.quantization = file.quantization(QuantParams(1.0 / 32768.0, 0, 16), signed=False)


def _drop_same_grid_quantize(file: EditableFile) -> None:
    """Drop each QUANTIZE that changes nothing; the converter tells int16 with and without -32768
    apart.
    """
    for op in list(file.operators):
        source, target = int(op.inputs[0]), int(op.outputs[0])
        if file.name(op) != "QUANTIZE" or not _same_grid(file, source, target):
            continue
        before = file.producer(source)
        if before is None or source in file.graph.outputs:
            continue
        file.operators.remove(op)
        before.outputs = [target if t == source else int(t) for t in before.outputs]
        for reader in file.readers(source):
            reader.inputs = [target if t == source else int(t) for t in reader.inputs]


def _same_grid(file: EditableFile, a: int, b: int) -> bool:
    return bool(
        file.tensors[a].type == file.tensors[b].type == file.schema.TensorType.INT16
        and np.isclose(file.params(a).scale, file.params(b).scale, rtol=1e-6, atol=0)
    )
