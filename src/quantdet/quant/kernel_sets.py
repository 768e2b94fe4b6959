"""Integer arithmetic of the kernel sets that run a .tflite: how each one rounds.

The specification of int8 leaves rounding open, and the kernel sets use that freedom:

- reference, tflite-micro: gemmlowp's fixed point (Jacob et al. 2018, arXiv:1712.05877, section
  2.2), a product of 32 x 32 bits rounded to 32, then a shift that rounds again, halves away from
  zero. LiteRT's dense kernel rounds once, TFLite-Micro's twice. Sums are computed 20 bits finer.
  Means divide the multiplier of the scales by the count and cut what is left over.
- scales are multiplied in float64, but LiteRT multiplies the two of a matrix product in float32,
  and its optimized kernels those of a dense layer whose weights have one: an integer in a million.
- optimized: the same, but ruy's convolutions and dense layers round halves up in the second step
  (x86). So does the mean with kept dimensions, which also rounds the zero point to an integer of
  the new grid: all results are shifted by up to half a step. Vectors round otherwise than what is
  left of them: depthwise and transposed convolutions, 8 channels, and these means, 16, round halves
  up; sums, 16 values, round their terms once. Differences are the reference's.
- absolute values and squared differences: the reference kernels in all sets (no other set has
  kernels of its own), so ``round_twice`` for each of them. Matrix products of two activations, too,
  unless XNNPACK takes them: it wants a second matrix with int8's zero point 0.
- xnnpack: ``lrint(float(accumulator) * scale)``, halves to even, the scales multiplied in float32;
  sums with multipliers of 21 bits, leaky ReLU with 8, bilinear resizing with 11. It takes no 4 bit
  weights, which leaves them to the optimized kernels; these leave groups of them to the reference.

Found in the kernels' sources and by experiment; tests/quant/test_exact.py compares whole files
with the kernels themselves.

Integers here are relative to the zero point: q - zero_point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Scales = NDArray[np.floating] | np.floating | float
Requantize = Callable[[Integers, Scales], Integers]
"""(accumulators, real multiplier: scalar or per channel) → rounded product."""
Multiplier = Callable[[Scales, Scales, float], Scales]
"""(scale of a: scalar or per channel, scale of b, scale of the result) → real multiplier."""


@dataclass(frozen=True)
class Sums:
    """What a mean starts from.

    Attributes:
        values: sums of q - zero_point.
        count: values that each one adds up.
        zero_point: of q, as int8.
        kept: the mean is over the two axes of positions of a picture (B, H, W, C), which stay as
            dimensions of size 1. Means over other axes never count as kept, nor do other shapes.
    """

    values: Integers
    count: int
    zero_point: int
    kept: bool


MeanIntegers = Callable[[Sums, float, float], Integers]
"""(sums, scale of the values, scale of the mean) → rounded mean."""
AddIntegers = Callable[[Integers, Integers, float, float], Integers]
"""(a, b, scale of a / scale of the sum, scale of b / scale of the sum) → rounded sum."""
MatrixProduct = Callable[[Integers, tuple[float, float, float], bool], Integers]
"""(sums, scales of a, b and the product, zero point of b is int8's 0) → rounded product."""
ResizeIntegers = Callable[[Integers, tuple[int, int], int], Integers]
"""(integers relative to the zero point, new size, zero point of the uint8 view) → the same."""


def round_twice(accumulators: Integers, multiplier: Scales) -> Integers:
    """Return what gemmlowp's two rounding steps make of ``accumulators * multiplier``."""
    return _round_twice(accumulators, *_fixed_point(multiplier))


def round_twice_up(accumulators: Integers, multiplier: Scales) -> Integers:
    """Return the same with halves rounded up in both steps."""
    high, bits = _high_product(accumulators, *_fixed_point(multiplier))
    rounded: Integers = (high + _half(bits)) >> bits
    return rounded


def round_once(accumulators: Integers, multiplier: Scales) -> Integers:
    """Return the product rounded at its last bit only, halves up."""
    mantissa, exponent = _fixed_point(multiplier)
    total = 31 - exponent
    product: Integers = (accumulators * mantissa + _half(total)) >> total
    return product


def round_twice_by_8(accumulators: Integers, multiplier: Scales) -> Integers:
    """Return the product rounded twice, with halves up in whole groups of 8 channels."""
    return _round_by(8, accumulators, multiplier)


def round_float32(accumulators: Integers, multiplier: Scales) -> Integers:
    """Return ``lrint`` of the product of two float32, halves to even."""
    product = accumulators.astype(np.float32) * np.asarray(multiplier, np.float32)
    return np.rint(product).astype(np.int64)


def add_twice(a: Integers, b: Integers, ratio_a: float, ratio_b: float) -> Integers:
    """Return the sum as LiteRT's and TFLite-Micro's kernels compute it, 20 bits finer inside."""
    return _add_finely(a, b, (ratio_a, ratio_b), round_twice)


def add_by_16(a: Integers, b: Integers, ratio_a: float, ratio_b: float) -> Integers:
    """Return the sum with terms rounded once in whole groups of 16 values of a picture."""
    once = _add_finely(a, b, (ratio_a, ratio_b), round_once)
    twice = _add_finely(a, b, (ratio_a, ratio_b), round_twice)
    together = _common_size(a.shape[1:], b.shape[1:])
    places = np.arange(math.prod(once.shape[1:])).reshape(once.shape[1:]) % together
    return np.where(places < together // 16 * 16, once, twice)


def _common_size(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Return how many values in a row need no broadcasting."""
    common = 1
    for size, other in zip(reversed(a), reversed(b), strict=False):
        if size != other:
            break
        common *= size
    return common


def _add_finely(
    a: Integers, b: Integers, ratios: tuple[float, float], requantize: Requantize
) -> Integers:
    largest = 2.0 * max(ratios)
    fine = [
        requantize(values << 20, ratio / largest)
        for values, ratio in zip((a, b), ratios, strict=True)
    ]
    return round_twice(fine[0] + fine[1], largest / (1 << 20))


def add_21_bits(a: Integers, b: Integers, ratio_a: float, ratio_b: float) -> Integers:
    """Return the sum as XNNPACK computes it: the larger multiplier has 21 bits."""
    shift = 21 - int(np.frexp(np.float32(max(ratio_a, ratio_b)))[1])
    fine = [
        values * int(np.rint(np.ldexp(np.float32(ratio), shift)))
        for values, ratio in ((a, ratio_a), (b, ratio_b))
    ]
    return (fine[0] + fine[1] + (1 << (shift - 1))) >> shift


def matrix_product_twice(
    sums: Integers, scales: tuple[float, float, float], symmetric: bool
) -> Integers:
    """Return the product of two computed matrices as LiteRT's own kernels round it."""
    return round_twice(sums, multiply_scales_of_tensors(*scales))


def matrix_product_micro(
    sums: Integers, scales: tuple[float, float, float], symmetric: bool
) -> Integers:
    """Return the same as TFLite-Micro does, which multiplies the scales in float64."""
    return round_twice(sums, multiply_scales(*scales))


def matrix_product_float32(
    sums: Integers, scales: tuple[float, float, float], symmetric: bool
) -> Integers:
    """Return the same as XNNPACK does, which takes it only if the second matrix is symmetric."""
    if not symmetric:
        return matrix_product_twice(sums, scales, symmetric)
    return round_float32(sums, multiply_scales_float32(*scales))


def squared_difference(a: Integers, b: Integers, scales: tuple[float, float, float]) -> Integers:
    """Return ``(a - b)**2`` as the kernels of all sets compute it, 7 bits finer inside.

    Args:
        a: first integers.
        b: second integers.
        scales: of a, of b, of the result.
    """
    scale_a, scale_b, out = scales
    largest = 2.0 * max(scale_a, scale_b)
    difference = round_twice(a << 7, scale_a / largest) - round_twice(b << 7, scale_b / largest)
    return round_twice(difference * difference, largest * largest / ((1 << 14) * out))


def multiply_scales(a: Scales, b: Scales, out: float) -> Scales:
    """Return ``a * b / out`` in float64: the multiplier of a product of two scaled integers."""
    return a * b / out


def multiply_scales_of_tensors(a: Scales, b: Scales, out: float) -> Scales:
    """Return the same with ``a * b`` rounded to float32.

    LiteRT's ``GetQuantizedConvolutionMultipler`` (kernel_util.cc), for tensors of one scale each.
    """
    return np.float64(np.asarray(a, np.float32) * np.asarray(b, np.float32)) / out


def multiply_scales_float32(a: Scales, b: Scales, out: float) -> Scales:
    """Return the same with every step rounded to float32."""
    return np.asarray(a, np.float32) * np.asarray(b, np.float32) / np.float32(out)


def round_8_bits(values: Integers, multiplier: Scales) -> Integers:
    """Return the product with a multiplier of 8 fractional bits, halves up."""
    fixed = np.rint(np.asarray(multiplier) * 256).astype(np.int64)
    product: Integers = (values * fixed + 128) >> 8
    return product


def mean_twice(sums: Sums, scale: float, scale_out: float) -> Integers:
    """Return means as LiteRT's reference kernels and TFLite-Micro compute them.

    The quotient of multiplier and count is cut to an integer and not normalized again.
    """
    mantissa, exponent = _fixed_point(scale / scale_out)
    shift = min(sums.count.bit_length() - 1, 32, 31 + int(exponent))
    return _round_twice(sums.values, (mantissa << shift) // sums.count, exponent - shift)


def mean_optimized(sums: Sums, scale: float, scale_out: float) -> Integers:
    """Return means as LiteRT's optimized kernels do, on one thread.

    With kept dimensions the zero point is rounded, scales are float32, and only whole groups of 16
    channels round halves up.
    """
    if not sums.kept:
        return mean_twice(sums, scale, scale_out)
    raw = sums.values + sums.count * sums.zero_point
    multiplier = np.float32(scale) / (np.float32(sums.count) * np.float32(scale_out))
    return _round_by(16, raw, multiplier) - round(
        float(sums.zero_point * np.float32(scale) / np.float32(scale_out))
    )


def mean_float32(sums: Sums, scale: float, scale_out: float) -> Integers:
    """Return means as XNNPACK does, rounded once in float32."""
    return round_float32(sums.values, scale / scale_out / sums.count)


def mean_away_from_zero(means: NDArray[np.float64], zero_point: int) -> Integers:
    """Return means rounded as int8 values (zero_point of the uint8 view), halves away from zero."""
    shift = zero_point - 128
    values = np.round(means, 4) + shift
    rounded: Integers = (np.sign(values) * np.floor(np.abs(values) + 0.5)).astype(np.int64) - shift
    return rounded


def resize_in_10_bits(values: Integers, size: tuple[int, int], zero_point: int) -> Integers:
    """Return values (B, H, W, C) resized bilinearly to ``size`` as LiteRT's own kernels do.

    Positions and weights have 10 fractional bits, pixels are centred; the result is rounded as an
    int8 value, halves away from zero.
    """
    shift = zero_point - 128
    rows, columns = map(_positions, values.shape[1:3], size)
    whole = _interpolate(values + shift, rows, columns, 1 << 10)
    rounded: Integers = np.sign(whole) * ((np.abs(whole) + (1 << 19)) >> 20) - shift
    return rounded


def resize_in_11_bits(values: Integers, size: tuple[int, int], zero_point: int) -> Integers:
    """Return the same as XNNPACK does: float32 positions, weights of 11 bits, halves up."""
    shift = zero_point - 128
    rows, columns = map(_positions_float32, values.shape[1:3], size)
    whole = _interpolate(values + shift, rows, columns, 1 << 11)
    rounded: Integers = ((whole + (1 << 21)) >> 22) - shift
    return rounded


Positions = tuple[Integers, Integers, Integers]
"""For every new position: its neighbours, and the share of the second in fixed point."""


def _interpolate(values: Integers, rows: Positions, columns: Positions, one: int) -> Integers:
    (top, bottom, y), (left, right, x) = rows, columns
    mixed: Integers = (
        values[:, top] * (one - y)[:, None, None] + values[:, bottom] * y[:, None, None]
    )
    whole: Integers = mixed[:, :, left] * (one - x)[:, None] + mixed[:, :, right] * x[:, None]
    return whole


def _positions(old: int, new: int) -> Positions:
    step = (1024 * old + new // 2) // new
    places = np.arange(new, dtype=np.int64) * step + step // 2 - 512
    before = np.maximum(places >> 10, 0)
    after = np.minimum((places + 1023) >> 10, old - 1)
    return before, after, places - (before << 10)


def _positions_float32(old: int, new: int) -> Positions:
    scale = np.float32(old) / np.float32(new)
    offset = np.float32(0.5) * scale - np.float32(0.5)
    places = np.clip(np.arange(new, dtype=np.float32) * scale + offset, 0, np.float32(old - 1))
    before = places.astype(np.int64)
    shares = np.rint((places - before.astype(np.float32)) * np.float32(1 << 11))
    after: Integers = np.minimum(before + 1, old - 1)
    return before, after, shares.astype(np.int64)


def _round_by(group: int, accumulators: Integers, multiplier: Scales) -> Integers:
    """Return the product rounded twice, with halves up in whole groups of channels."""
    channels = accumulators.shape[-1]
    return np.where(
        np.arange(channels) < channels // group * group,
        round_twice_up(accumulators, multiplier),
        round_twice(accumulators, multiplier),
    )


def _round_twice(accumulators: Integers, mantissa: Integers, exponent: Integers) -> Integers:
    high, bits = _high_product(accumulators, mantissa, exponent)
    rounded: Integers = np.sign(high) * ((np.abs(high) + _half(bits)) >> bits)
    return rounded


def _high_product(
    accumulators: Integers, mantissa: Integers, exponent: Integers
) -> tuple[Integers, Integers]:
    """Return (round(accumulators * mantissa * 2^(exponent + bits - 31)), bits), halves up.

    ``bits`` is the shift that remains, at least 0.
    """
    high = ((accumulators << np.maximum(exponent, 0)) * mantissa + (1 << 30)) >> 31
    return high, np.maximum(-exponent, 0)


def _fixed_point(multiplier: Scales) -> tuple[Integers, Integers]:
    """Return m of 31 bits and e with ``multiplier = m * 2^(e - 31)``."""
    fraction, exponent = np.frexp(np.asarray(multiplier, np.float64))
    return np.rint(fraction * (1 << 31)).astype(np.int64), exponent.astype(np.int64)


def _half(bits: Integers) -> Integers:
    half: Integers = (np.int64(1) << bits) >> 1
    return half


@dataclass(frozen=True)
class KernelSet:
    """How one kernel set rounds each kind of operator.

    Attributes:
        multiplier: of products of two scaled integers.
        multiplier_of_tensors: the same in Dense, if its weights have one scale.
        convolution: Conv2D.
        depthwise: DepthwiseConv2D and Conv2DTranspose.
        dense: Dense.
        product: Multiply.
        matrix_product: of two computed matrices.
        global_mean: of all positions, on a grid of its own.
        leaky_relu: with one multiplier per value.
        add: Add.
        subtract: Subtract, as a sum with the second term negated.
        resize: bilinearly, pixels centred.
        four_bits: the set that computes Conv2D with 4 bit weights; None: this one.
    """

    multiplier: Multiplier = multiply_scales
    multiplier_of_tensors: Multiplier = multiply_scales
    convolution: Requantize = round_twice
    depthwise: Requantize = round_twice
    dense: Requantize = round_once
    product: Requantize = round_twice
    matrix_product: MatrixProduct = matrix_product_twice
    global_mean: MeanIntegers = mean_twice
    leaky_relu: Requantize = round_twice
    add: AddIntegers = add_twice
    subtract: AddIntegers = add_twice
    resize: ResizeIntegers = resize_in_10_bits
    four_bits: KernelSet | None = None

    def for_weights(self, bits: int, groups: int) -> KernelSet:
        """Return the set that computes a convolution."""
        if bits == 8:
            return self
        return _REFERENCE if groups > 1 else self.four_bits or self


_REFERENCE = KernelSet()
_OPTIMIZED = KernelSet(
    convolution=round_twice_up,
    depthwise=round_twice_by_8,
    multiplier_of_tensors=multiply_scales_of_tensors,
    dense=round_twice_up,
    global_mean=mean_optimized,
    add=add_by_16,
)
KERNEL_SETS = {
    "reference": _REFERENCE,
    "tflite-micro": KernelSet(dense=round_twice, matrix_product=matrix_product_micro),
    "optimized": _OPTIMIZED,
    "xnnpack": KernelSet(
        multiplier=multiply_scales_float32,
        multiplier_of_tensors=multiply_scales_float32,
        convolution=round_float32,
        depthwise=round_float32,
        dense=round_float32,
        product=round_float32,
        matrix_product=matrix_product_float32,
        global_mean=mean_float32,
        leaky_relu=round_8_bits,
        add=add_21_bits,
        subtract=add_21_bits,
        resize=resize_in_11_bits,
        four_bits=_OPTIMIZED,
    ),
}
