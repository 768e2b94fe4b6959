"""Quantization arithmetic: round trips, boundaries, ranges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantdet.quant.numerics import QuantParams, dequantize, params_from_range, quantize

low = st.floats(-1e3, 0, width=32, allow_subnormal=False)
high = st.floats(0.001953125, 1e3, width=32)


@given(low, high, st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_round_trip_is_within_half_a_step(minimum, maximum, fractions):
    params = params_from_range(minimum, maximum)
    real = params.minimum + np.array(fractions) * (params.maximum - params.minimum)
    error = np.abs(dequantize(quantize(real, params), params) - real)
    # Half a step, plus float32 noise of large values.
    assert error.max() <= params.scale * 0.5 + 1e-5 * max(abs(minimum), maximum)


@given(low, high)
def test_zero_is_exact_and_the_grid_survives_its_own_range(minimum, maximum):
    params = params_from_range(minimum, maximum)
    assert dequantize(quantize(np.zeros(1), params), params)[0] == 0.0
    again = params_from_range(params.minimum, params.maximum)
    assert again.zero_point == params.zero_point
    assert again.scale == pytest.approx(params.scale, rel=1e-6)


@given(low, high)
def test_values_outside_are_clipped(minimum, maximum):
    params = params_from_range(minimum, maximum)
    assert quantize(np.array([-1e6, 1e6]), params).tolist() == [0, 255]


def test_pixels_are_their_own_quantization():
    params = params_from_range(-128 / 127.5, 127 / 127.5)
    assert params.zero_point == 128
    pixels = np.arange(256)
    assert (quantize((pixels - 128) / 127.5, params) == pixels).all()


@pytest.mark.parametrize(("minimum", "maximum"), [(0.0, 0.0), (1.0, 2.0), (-2.0, -1.0), (1, -1)])
def test_impossible_ranges_are_refused(minimum, maximum):
    with pytest.raises(ValueError, match="contain 0"):
        params_from_range(minimum, maximum)


def test_unit_range_is_the_softmax_grid():
    assert params_from_range(0.0, 255 / 256) == QuantParams(1 / 256, 0)
