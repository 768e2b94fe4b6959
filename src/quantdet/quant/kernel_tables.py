"""Integer results of LiteRT's int8 kernels for functions of one value: tables of 256.

EXP, LOG and GELU look their results up in a table that is filled in float32: dequantize, apply the
function, divide by the output's scale, round halves away from zero. SQRT computes the same for
every value but *cuts* instead of rounding. RSQRT works in fixed point; RSQRT of 0 is the largest
integer. The kernel sets that have these operators (TFLite-Micro: only RSQRT) agree on all 256
values; tests/quant/test_kernel_tables.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from quantdet.quant.kernel_sets import Integers, round_twice
from quantdet.quant.numerics import QuantParams

Reals = NDArray[np.float32]
Table = Callable[[Integers, QuantParams, QuantParams], NDArray[np.number]]
"""(q - zero_point, grid of the input, grid of the output) → result before the zero point."""


def kernel_table(operator: str, source: QuantParams, target: QuantParams) -> NDArray[np.uint8]:
    """Return the operator's result for the integers 0…255 (uint8 view on both sides).

    Args:
        operator: a key of ``TABLES``: "EXP", "LOG", "GELU", "GELU_TANH" (GELU's approximation by
            tanh), "SQRT" or "RSQRT".
        source: grid of the input; SQRT and RSQRT refuse to run with integers below its zero point.
        target: grid of the output.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        integers = TABLES[operator](np.arange(256) - source.zero_point, source, target)
    integers = np.nan_to_num(integers) + target.zero_point
    table: NDArray[np.uint8] = np.clip(integers, *target.limits).astype(np.uint8)
    return table


def _real(steps: Integers, grid: QuantParams) -> Reals:
    return np.float32(grid.scale) * steps.astype(np.float32)


def _looked_up(function: Callable[[Reals], Reals]) -> Table:
    def rounded(steps: Integers, source: QuantParams, target: QuantParams) -> NDArray[np.number]:
        # The kernels multiply by the reciprocal in float32.
        reciprocal = np.float32(1) / np.float32(target.scale)
        exact = function(_real(steps, source)).astype(np.float32) * reciprocal
        steps_out: Reals = np.copysign(np.floor(np.abs(exact) + np.float32(0.5)), exact)
        return steps_out

    return rounded


def _log(real: Reals) -> Reals:
    # At 0 and below the kernel gives the smallest integer.
    return np.log(np.maximum(real, np.float32(0)))


def _gelu(real: Reals) -> Reals:
    upper_tail = [math.erfc(-float(x) * math.sqrt(0.5)) for x in real]
    return np.float32(0.5) * real * np.asarray(upper_tail, np.float32)


def _gelu_tanh(real: Reals) -> Reals:
    inner = np.float32(math.sqrt(2 / math.pi)) * (real + np.float32(0.044715) * real**3)
    return np.asarray(np.float32(0.5) * real * (np.float32(1) + np.tanh(inner)), np.float32)


def _square_root(steps: Integers, source: QuantParams, target: QuantParams) -> NDArray[np.number]:
    return np.trunc(np.sqrt(_real(steps, source)) / np.float32(target.scale))


def _reciprocal_root(
    steps: Integers, source: QuantParams, target: QuantParams
) -> NDArray[np.number]:
    scale = float(np.sqrt(np.float32(source.scale)) * np.float32(target.scale))
    fine = np.array([_fixed_reciprocal_root(max(int(n), 1)) for n in steps], np.int64)
    return np.where(steps > 0, round_twice(fine, 1 / (scale * (1 << 20))), np.inf)


def _fixed_reciprocal_root(value: int) -> int:
    """Return ``2**20 / sqrt(value)`` by five Newton steps in fixed point, as LiteRT computes it."""
    if value == 1:
        return 1 << 20
    pairs = (31 - value.bit_length()) // 2 - 1
    half = ((value << 2 * pairs >> 1) + 1) >> 1
    root = 1 << 28  # 28 bits behind the point
    for _ in range(5):
        cube = _high_product(_high_product(root, root), root) << 6
        root = (_high_product(3 << 27, root) - _high_product(half, cube)) << 3
    mantissa = _high_product(root, 1518500250)  # sqrt(1/2)
    return ((mantissa << (9 + pairs)) + (1 << 30)) >> 31


def _high_product(a: int, b: int) -> int:
    return (a * b + (1 << 30)) >> 31


TABLES: Mapping[str, Table] = {
    "EXP": _looked_up(np.exp),
    "LOG": _looked_up(_log),
    "GELU": _looked_up(_gelu),
    "GELU_TANH": _looked_up(_gelu_tanh),
    "SQRT": _square_root,
    "RSQRT": _reciprocal_root,
}
