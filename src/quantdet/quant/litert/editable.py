"""The object tree of a .tflite, for passes that change what the converter wrote."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from quantdet.quant.litert.flatbuffer import pack_model, read_model
from quantdet.quant.numerics import QuantParams

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema

Number = TypeVar("Number", np.float32, np.int32)


class EditableFile:
    """The first graph of a .tflite and what it refers to: found, added, replaced, dropped."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model = read_model(content)
        self.graph = self.model.subgraphs[0]
        self.tensors: list[schema.TensorT] = self.graph.tensors
        self._builtins = {v: k for k, v in vars(schema.BuiltinOperator).items() if k[0] != "_"}
        self._constants: dict[Hashable, int] = {}

    @property
    def operators(self) -> list[schema.OperatorT]:
        """The operators, in the order in which they run."""
        operators: list[schema.OperatorT] = self.graph.operators
        return operators

    def content(self) -> bytes:
        """Return the .tflite, without what nothing reads any more."""
        self._drop_unread()
        return pack_model(self.model)

    def name(self, op: schema.OperatorT) -> str:
        """Return the name of an operator, of a custom one its own."""
        code = self.model.operatorCodes[op.opcodeIndex]
        name = self._builtins[max(code.builtinCode, code.deprecatedBuiltinCode)]
        return str(code.customCode.decode()) if name == "CUSTOM" else str(name)

    def producer(self, tensor: int) -> schema.OperatorT | None:
        """Return the operator that computes a tensor, None for inputs and constants."""
        return next((op for op in self.operators if tensor in op.outputs), None)

    def readers(self, tensor: int) -> list[schema.OperatorT]:
        """Return the operators that read a tensor."""
        return [op for op in self.operators if tensor in op.inputs]

    def is_float(self, tensor: int) -> bool:
        """Tell whether a tensor is float32."""
        return bool(self.tensors[tensor].type == self.schema.TensorType.FLOAT32)

    def values(self, tensor: int) -> NDArray[np.float32] | None:
        """Return the values of a float constant, None if it is none."""
        return self._numbers(tensor, np.float32)

    def is_constant(self, tensor: int) -> bool:
        """Tell whether the file has the values of a tensor."""
        data = self.model.buffers[self.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def integers(self, tensor: int) -> NDArray[np.int32] | None:
        """Return the values of an int32 constant, None if it is none."""
        if self.tensors[tensor].type != self.schema.TensorType.INT32:
            return None
        return self._numbers(tensor, np.int32)

    def _numbers(self, tensor: int, kind: type[Number]) -> NDArray[Number] | None:
        if not self.is_constant(tensor):
            return None
        return np.frombuffer(bytes(self.model.buffers[self.tensors[tensor].buffer].data), kind)

    def quantized_input(self, tensor: int) -> int | None:
        """Return the integer tensor that DEQUANTIZE makes a float one of."""
        op = self.producer(tensor)
        return int(op.inputs[0]) if op is not None and self.name(op) == "DEQUANTIZE" else None

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

    def add_constant(self, values: NDArray[np.number], params: QuantParams | None = None) -> int:
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

    def quantization(self, params: QuantParams, signed: bool) -> schema.QuantizationParametersT:
        """Return parameters as the file has them; ``signed`` for int8."""
        quantization = self.schema.QuantizationParametersT()
        zero_point = params.zero_point - (128 if signed else 0)
        quantization.scale, quantization.zeroPoint = [params.scale], [zero_point]
        return quantization

    def operator(
        self, name: str, version: int, tensors: tuple[list[int], list[int]]
    ) -> schema.OperatorT:
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

    def set_options(
        self, op: schema.OperatorT, table: str, options: Mapping[str, int | bool]
    ) -> None:
        """Give an operator its settings."""
        op.builtinOptionsType = getattr(self.schema.BuiltinOptions, table)
        op.builtinOptions = getattr(self.schema, f"{table}T")()
        for key, value in options.items():
            setattr(op.builtinOptions, key, value)

    def replace(self, op: schema.OperatorT, operators: list[schema.OperatorT]) -> None:
        """Put operators in the place of one."""
        place = self.operators.index(op)
        self.operators[place : place + 1] = operators

    def lower_version(self, name: str, version: int) -> None:
        """Ask for an older version of an operator."""
        for code in self.model.operatorCodes:
            if code.builtinCode == getattr(self.schema.BuiltinOperator, name):
                code.version = version

    def _drop_unread(self) -> None:
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
        self._join_codes()
        codes = _Renumbering({op.opcodeIndex for op in self.operators})
        self.model.operatorCodes = codes.select(self.model.operatorCodes)
        for op in self.operators:
            (op.opcodeIndex,) = codes.all([op.opcodeIndex])
        owners = [*self.tensors, *(self.model.metadata or [])]
        buffers = _Renumbering({0, *(owner.buffer for owner in owners)})  # 0 stands for none
        self.model.buffers = buffers.select(self.model.buffers)
        for owner in owners:
            (owner.buffer,) = buffers.all([owner.buffer])

    def _join_codes(self) -> None:
        """Have operators of one name and version share their code."""
        first: dict[Hashable, int] = {}
        for op in self.operators:
            code = self.model.operatorCodes[op.opcodeIndex]
            op.opcodeIndex = first.setdefault((self.name(op), code.version), op.opcodeIndex)

    def _is_read(self, tensor: int) -> bool:
        return tensor in self.graph.outputs or bool(self.readers(tensor))

    def _read(self) -> Iterator[int]:
        for op in self.operators:
            yield from (int(t) for t in (*op.inputs, *op.outputs) if t >= 0)


Entry = TypeVar("Entry")


class _Renumbering:
    """New numbers for the entries of a list that are kept."""

    def __init__(self, kept: set[int]) -> None:
        self._kept = sorted(map(int, kept))
        self._new = {old: new for new, old in enumerate(self._kept)} | {-1: -1}

    def select(self, entries: list[Entry]) -> list[Entry]:
        """Return the entries that are kept."""
        return [entries[old] for old in self._kept]

    def all(self, numbers: Iterable[int]) -> list[int]:
        """Return the new numbers; -1 (an operand left out) stays."""
        return [self._new[int(number)] for number in numbers]
