"""Run a .tflite on real values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.quant.numerics import QuantParams, dequantize, quantize


def run_litert(
    content: bytes, inputs: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of an integer .tflite by name, real values.

    Args:
        content: the file; LiteRT runs it with its default kernels.
        inputs: name → real values (pictures, …).
    """
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=content).get_signature_runner()
    given = {name: _params(spec) for name, spec in runner.get_input_details().items()}
    wanted = {name: _params(spec) for name, spec in runner.get_output_details().items()}
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in wanted}
    for picture in range(len(next(iter(inputs.values())))):
        integers = {
            name: _as_stored(quantize(inputs[name][picture][None], params), signed)
            for name, (params, signed) in given.items()
        }
        for name, values in runner(**integers).items():
            params, signed = wanted[name]
            rows[name].append(dequantize(_as_counted(values, signed), params))
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def _params(spec: Mapping[str, Any]) -> tuple[QuantParams, bool]:
    """Return (parameters in the uint8 view or of int16, stored as int8)."""
    scale, zero_point = spec["quantization"]
    signed = spec["dtype"] is np.int8
    bits = 16 if spec["dtype"] is np.int16 else 8
    return QuantParams(float(scale), int(zero_point) + (128 if signed else 0), bits), signed


def _as_stored(values: NDArray[np.number], signed: bool) -> NDArray[np.number]:
    return np.bitwise_xor(values, np.uint8(128)).view(np.int8) if signed else values


def _as_counted(values: NDArray[np.integer], signed: bool) -> NDArray[np.integer]:
    return values.view(np.uint8) ^ np.uint8(128) if signed else values
