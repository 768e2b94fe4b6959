"""What LiteRT's int16 kernels ("16x8") want otherwise than its converter writes it.

Biases have 64 bits; the converter writes those of a fake-quantized model with 32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantdet.quant.litert.flatbuffer import pack_model, read_model

if TYPE_CHECKING:
    from types import ModuleType

    from ai_edge_litert.schema_py_generated import ModelT, OperatorT, TensorT

_WITH_BIAS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def fit_int16_kernels(content: bytes) -> bytes:
    """Return the .tflite with int64 biases."""
    from ai_edge_litert import schema_py_generated as schema

    model = read_model(content)
    for bias in _biases(model, schema):
        values = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32)
        wide = schema.BufferT()
        wide.data = np.frombuffer(values.astype(np.int64).tobytes(), np.uint8)
        model.buffers.append(wide)
        bias.buffer, bias.type = len(model.buffers) - 1, schema.TensorType.INT64
    return pack_model(model)


def _biases(model: ModelT, schema: ModuleType) -> list[TensorT]:
    tensors = model.subgraphs[0].tensors
    found = {}
    for op in _operators(model, schema, _WITH_BIAS):
        bias = int(op.inputs[-1])
        if len(op.inputs) > 2 and tensors[bias].type == schema.TensorType.INT32:
            found[bias] = tensors[bias]
    return list(found.values())


def _operators(model: ModelT, schema: ModuleType, names: tuple[str, ...]) -> list[OperatorT]:
    wanted = {getattr(schema.BuiltinOperator, name) for name in names}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [op for op in model.subgraphs[0].operators if codes[op.opcodeIndex] in wanted]
