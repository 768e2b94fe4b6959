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

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ExportError
from quantdet.quant.litert.convert import tensorflow
from quantdet.quant.litert.flatbuffer import pack_model, read_model
from quantdet.quant.numerics import QuantParams, quantize

Function = Callable[[NDArray[np.float32]], Any]
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
    fixed: Mapping[str, Any] = field(default_factory=dict)


_INT16_KERNELS = {
    "CONCATENATION": _Kernel(3, "ConcatenationOptions", same_grid=True),
    "PADV2": _Kernel(3, "PadV2Options", same_grid=True),
    "RELU6": _Kernel(3),
    "ADD": _Kernel(3, "AddOptions", fixed={"potScaleInt16": False}),
    "SUB": _Kernel(5, "SubOptions", fixed={"potScaleInt16": False}),
    "MUL": _Kernel(4, "MulOptions"),
}


def as_operator(name: str, function: Callable[..., Any], **options: int) -> Any:
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


def as_table(key: str) -> Any:
    """Return a function of one TensorFlow tensor that becomes a table lookup.

    Args:
        key: under which :func:`use_integer_kernels` finds what it computes.
    """
    # Custom operators have no body; this one only tells the shape.
    return _custom(_TABLE + key, lambda tensor: tensorflow().exp(tensor), {})


def _custom(name: str, function: Callable[..., Any], options: Mapping[str, int]) -> Any:
    numbers = {"tfl_fusable_op": "b: true"} | {k: f"i: {v}" for k, v in options.items()}
    attributes = (f'attr {{ key: "{key}" value {{ {v} }} }}' for key, v in numbers.items())
    return tensorflow().function(
        function,
        autograph=False,
        experimental_implements=f'name: "{name}" ' + " ".join(attributes),
    )


def use_integer_kernels(content: bytes, functions: Mapping[str, Function] | None = None) -> bytes:
    """Return the .tflite with integer operators for what the converter left float.

    Args:
        content: what the converter wrote.
        functions: key of :func:`as_table` → what it computes.

    Raises:
        ExportError: a function is not a number for a value of its input's range.
    """
    file = _File(read_model(content))
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
    file.drop_unread()
    return pack_model(file.model)


class _File:
    """Object tree of a .tflite whose operators are replaced."""

    def __init__(self, model: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model = model
        self.graph = model.subgraphs[0]
        self.tensors: list[Any] = self.graph.tensors
        self._builtins = {v: k for k, v in vars(schema.BuiltinOperator).items() if k[0] != "_"}
        self._constants: dict[Any, int] = {}

    @property
    def operators(self) -> list[Any]:
        operators: list[Any] = self.graph.operators
        return operators

    def name(self, op: Any) -> str:
        """Return the name of an operator, of a custom one its own."""
        code = self.model.operatorCodes[op.opcodeIndex]
        name = self._builtins[max(code.builtinCode, code.deprecatedBuiltinCode)]
        return str(code.customCode.decode()) if name == "CUSTOM" else str(name)

    def producer(self, tensor: int) -> Any:
        """Return the operator that computes a tensor, None for inputs and constants."""
        return next((op for op in self.operators if tensor in op.outputs), None)

    def readers(self, tensor: int) -> list[Any]:
        """Return the operators that read a tensor."""
        return [op for op in self.operators if tensor in op.inputs]

    def is_float(self, tensor: int) -> bool:
        """Tell whether a tensor is float32."""
        return bool(self.tensors[tensor].type == self.schema.TensorType.FLOAT32)

    def values(self, tensor: int) -> NDArray[np.float32] | None:
        """Return the values of a float constant, None if it is none."""
        data = self.model.buffers[self.tensors[tensor].buffer].data
        if data is None or not len(data):
            return None
        return np.frombuffer(bytes(data), np.float32)

    def quantized_input(self, tensor: int) -> int | None:
        """Return the integer tensor that an operator without integer kernel reads.

        DEQUANTIZE makes a float tensor of it. Of an output of the model the converter lets the
        operator read the output itself, which may be the uint8 copy of an int8 tensor.
        """
        kinds, kind, op = self.schema.TensorType, self.tensors[tensor].type, self.producer(tensor)
        if kind in (kinds.INT8, kinds.INT16):
            return tensor
        copied = "QUANTIZE" if kind == kinds.UINT8 else "DEQUANTIZE"
        return int(op.inputs[0]) if op is not None and self.name(op) == copied else None

    def quantized_output(self, tensor: int) -> int | None:
        """Return the integer tensor of the QUANTIZE that alone reads a float tensor."""
        readers = self.readers(tensor)
        if tensor in self.graph.outputs or [self.name(op) for op in readers] != ["QUANTIZE"]:
            return None
        return int(readers[0].outputs[0])

    def params(self, tensor: int) -> QuantParams:
        """Return scale and zero point of an integer tensor: uint8 view, or int16."""
        what = self.tensors[tensor]
        kinds = self.schema.TensorType
        scale, zero = what.quantization.scale[0], int(what.quantization.zeroPoint[0])
        shift = 128 if what.type == kinds.INT8 else 0
        return QuantParams(float(scale), zero + shift, 16 if what.type == kinds.INT16 else 8)

    def add_tensor(self, name: str, like: int, kind: int) -> int:
        """Add a tensor of another one's shape, named after it."""
        tensor, other = self.schema.TensorT(), self.tensors[like]
        tensor.name, tensor.type = other.name + f"/{name}".encode(), kind
        tensor.shape, tensor.shapeSignature = other.shape, other.shapeSignature
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def add_constant(self, values: NDArray[Any], params: QuantParams | None = None) -> int:
        """Add a constant of int8, int16 or int32, or return the one that is there already."""
        known = (values.dtype.name, values.shape, values.tobytes(), params)
        if known not in self._constants:
            tensor, buffer = self.schema.TensorT(), self.schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
            tensor.name = f"quantdet_constant_{len(self._constants)}".encode()
            tensor.type = getattr(self.schema.TensorType, values.dtype.name.upper())
            tensor.shape = list(values.shape)
            if params is not None:
                tensor.quantization = self.quantization(params, values.dtype == np.int8)
            self.tensors.append(tensor)
            self._constants[known] = len(self.tensors) - 1
        return self._constants[known]

    def quantization(self, params: QuantParams, signed: bool) -> Any:
        """Return parameters as the file has them; ``signed`` for int8."""
        quantization = self.schema.QuantizationParametersT()
        zero_point = params.zero_point - (128 if signed else 0)
        quantization.scale, quantization.zeroPoint = [params.scale], [zero_point]
        return quantization

    def operator(self, name: str, version: int, tensors: tuple[list[int], list[int]]) -> Any:
        """Return a new operator without options: name, version, (inputs, outputs)."""
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        self.model.operatorCodes.append(code)
        op = self.schema.OperatorT()
        op.opcodeIndex = len(self.model.operatorCodes) - 1
        op.inputs, op.outputs = tensors
        return op

    def set_options(self, op: Any, table: str, options: Mapping[str, Any]) -> None:
        """Give an operator its settings."""
        op.builtinOptionsType = getattr(self.schema.BuiltinOptions, table)
        op.builtinOptions = getattr(self.schema, f"{table}T")()
        for key, value in options.items():
            setattr(op.builtinOptions, key, value)

    def replace(self, op: Any, operators: list[Any]) -> None:
        """Put operators in the place of one."""
        place = self.operators.index(op)
        self.operators[place : place + 1] = operators

    def lower_version(self, name: str, version: int) -> None:
        """Ask for an older version of an operator."""
        for code in self.model.operatorCodes:
            if code.builtinCode == getattr(self.schema.BuiltinOperator, name):
                code.version = version

    def drop_unread(self) -> None:
        """Drop operators whose results nothing reads, and tensors, buffers and codes of none."""
        while dead := [op for op in self.operators if not any(map(self._is_read, op.outputs))]:
            for op in dead:
                self.operators.remove(op)
        kept = _Renumbering({*self._read(), *self.graph.inputs, *self.graph.outputs})
        self.graph.tensors = self.tensors = kept.select(self.tensors)
        for op in self.operators:
            op.inputs, op.outputs = kept.all(op.inputs), kept.all(op.outputs)
        self.graph.inputs, self.graph.outputs = map(
            kept.all, (self.graph.inputs, self.graph.outputs)
        )
        for signature in self.model.signatureDefs or []:
            for item in (*signature.inputs, *signature.outputs):
                (item.tensorIndex,) = kept.all([item.tensorIndex])
        codes = _Renumbering({op.opcodeIndex for op in self.operators})
        self.model.operatorCodes = codes.select(self.model.operatorCodes)
        for op in self.operators:
            (op.opcodeIndex,) = codes.all([op.opcodeIndex])
        owners = [*self.tensors, *(self.model.metadata or [])]
        buffers = _Renumbering({0, *(owner.buffer for owner in owners)})  # 0 stands for none
        self.model.buffers = buffers.select(self.model.buffers)
        for owner in owners:
            (owner.buffer,) = buffers.all([owner.buffer])

    def _is_read(self, tensor: int) -> bool:
        return tensor in self.graph.outputs or bool(self.readers(tensor))

    def _read(self) -> Iterator[int]:
        for op in self.operators:
            yield from (int(t) for t in (*op.inputs, *op.outputs) if t >= 0)


class _Renumbering:
    """New numbers for the entries of a list that are kept."""

    def __init__(self, kept: set[int]) -> None:
        self._kept = sorted(map(int, kept))
        self._new = {old: new for new, old in enumerate(self._kept)} | {-1: -1}

    def select(self, entries: list[Any]) -> list[Any]:
        """Return the entries that are kept."""
        return [entries[old] for old in self._kept]

    def all(self, numbers: Any) -> list[int]:
        """Return the new numbers; -1 (an operand left out) stays."""
        return [self._new[int(number)] for number in numbers]


def _place_table(file: _File, op: Any, function: Function) -> None:
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
    copies: list[Any] = []
    if file.tensors[target].type == kinds.UINT8:  # an output of the model
        if file.readers(target):
            target, copies = _read_on(file, target)
        else:
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
    file.replace(op, [cast, add, gather, *copies])


def _read_on(file: _File, output: int) -> tuple[int, list[Any]]:
    """Give the readers of a uint8 output an int8 tensor; return it, and what copies it.

    The converter lets them read the output, whose type their kernels do not take.
    """
    inner = file.add_tensor("int8", output, file.schema.TensorType.INT8)
    file.tensors[inner].quantization = file.quantization(file.params(output), signed=True)
    for reader in file.readers(output):
        reader.inputs = [inner if tensor == output else tensor for tensor in reader.inputs]
    return inner, [file.operator("QUANTIZE", 1, ([inner], [output]))]


def _table(
    integers: NDArray[Any], grids: tuple[QuantParams, QuantParams], function: Function
) -> NDArray[Any]:
    """Return the result for every integer of the file (int8 or int16)."""
    source, target = grids
    shift = 128 if source.bits == 8 else 0
    steps = (integers + shift - source.zero_point).astype(np.float32)
    real = np.asarray(function(steps * np.float32(source.scale)), np.float32)
    if np.isnan(real).any():
        where = float(steps[np.isnan(real)][0] * source.scale)
        raise ExportError(
            f"its function is not a number at {where:.4g}, which lies in the range of its input; "
            "clip the input to where it is defined"
        )
    q = quantize(real, target).astype(np.int16)
    return q if target.bits == 16 else (q - 128).astype(np.int8)


def _place_kernel(file: _File, op: Any, name: str) -> None:
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


def _integer_operand(file: _File, tensor: int, grid: QuantParams | None) -> int | None:
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


def _suits(file: _File, kernel: _Kernel, tensors: list[int]) -> bool:
    """Tell whether the kernel computes on these tensors what the float operator does."""
    kinds = file.schema.TensorType
    quantized = [t for t in tensors if file.tensors[t].type != kinds.INT32]
    if any(file.tensors[t].type != kinds.INT16 for t in quantized):
        return False
    scales = {np.float32(file.params(t).scale) for t in quantized}
    return len(scales) == 1 or not kernel.same_grid


def _remove_quantize(file: _File, tensor: int) -> None:
    (quantize_op,) = file.readers(tensor)
    file.operators.remove(quantize_op)


def _fix_unit_outputs(file: _File) -> None:
    for op in file.operators:
        output = file.tensors[op.outputs[0]]
        if file.name(op) in _INT16_UNIT and output.type == file.schema.TensorType.INT16:
            output.quantization = file.quantization(QuantParams(1.0 / 32768.0, 0, 16), signed=False)


def _drop_same_grid_quantize(file: _File) -> None:
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


def _same_grid(file: _File, a: int, b: int) -> bool:
    return bool(
        file.tensors[a].type == file.tensors[b].type == file.schema.TensorType.INT16
        and np.isclose(file.params(a).scale, file.params(b).scale, rtol=1e-6, atol=0)
    )
