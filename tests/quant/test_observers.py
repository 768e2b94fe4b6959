"""Observers propose ranges."""

from __future__ import annotations

import inspect
import math
import pickle

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers as kl

from quantdet.config import QatConfig
from quantdet.quant.calibrate import calibrate
from quantdet.quant.histogram import Histogram
from quantdet.quant.layers import ActivationQuantizer
from quantdet.quant.observers import (
    OBSERVERS,
    OBSERVERS_16,
    MeanSquaredError,
    MovingAverage,
    Percentile,
)
from quantdet.quant.prepare import prepare_qat

CHANNELS = (3, 5, 6, 9, 24, 96, 126, 144, 576, 960)
# Of the width of the range; the others are equal to the last bit.
TOLERANCE = {"moving_average": 1e-9}


class Strided:
    """What ``percentile`` was: a quantile of every n-th value, n odd."""

    def __init__(self):
        self._samples = []

    def update(self, values):
        self._samples.append(values.reshape(-1)[:: max(1, values.size // 4096) | 1])

    def range(self):
        low, high = np.percentile(np.concatenate(self._samples), [0.01, 99.99])
        return min(0.0, low), max(0.0, high)


def _values(outlier=None):
    values = np.random.default_rng(0).normal(0, 1, (4, 50, 50, 3)).astype(np.float32)
    if outlier is not None:
        values[0, 0, 0, 0] = outlier
    return values


def _range(make, *batches):
    observer = make()
    for batch in batches:
        observer.update(batch)
    return observer.range()


def _error(values, low, high):
    """Squared error of the quantizer's grid, which has 0 on it."""
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    quantized = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale
    return float(np.mean((quantized - values.astype(np.float64)) ** 2))


@st.composite
def _pictures(draw, least=1):
    """Tensors with heavy tails whose channels differ, as those of a net do, some behind a ReLU."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = [draw(st.integers(least, 6)), draw(st.integers(1, 5)), draw(st.integers(1, 5))]
    channels = draw(st.sampled_from(CHANNELS))
    values = rng.standard_t(3, (*shape, channels)) * 10.0 ** rng.uniform(-3, 1, channels)
    values *= 10.0 ** draw(st.integers(-6, 6))
    if draw(st.booleans()):
        values = np.maximum(values, 0)
    return values.astype(np.float32)


def _assert_same_range(name, one, other):
    tolerance = TOLERANCE.get(name, 0.0) * (one[1] - one[0])
    assert one == pytest.approx(other, rel=0, abs=tolerance)


@pytest.mark.parametrize("name", OBSERVERS)
@settings(deadline=None, max_examples=15)
@given(pictures=_pictures(least=2), data=st.data())
def test_neither_batches_nor_order_matter(name, pictures, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(pictures) - 1))))
    order = data.draw(st.permutations(range(len(pictures))))
    whole = _range(OBSERVERS[name], pictures)
    _assert_same_range(name, _range(OBSERVERS[name], *np.split(pictures, cuts)), whole)
    _assert_same_range(name, _range(OBSERVERS[name], *np.split(pictures[order], cuts)), whole)


@pytest.mark.parametrize("name", OBSERVERS)
@settings(deadline=None, max_examples=10)
@given(pictures=_pictures(), data=st.data())
def test_no_channel_counts_more_than_others(name, pictures, data):
    order = data.draw(st.permutations(range(pictures.shape[-1])))
    mixed = np.ascontiguousarray(pictures[..., order])
    _assert_same_range(name, _range(OBSERVERS[name], mixed), _range(OBSERVERS[name], pictures))


def _one_large_channel(channels, place):
    """32 pictures; of two batches of 16 of them ``Strided`` takes every n-th, n no stranger."""
    step, side = 1, 4
    while math.gcd(step, channels) == 1:
        side += 1
        step = 16 * side**2 * channels // 4096 | 1
    values = np.random.default_rng(1).normal(0, 1, (32, side, side, channels)).astype(np.float32)
    values[..., 0] *= 100
    values[..., [0, place]] = values[..., [place, 0]]
    return values


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", OBSERVERS)
def test_one_large_channel_is_seen_wherever_it_is(name, channels):
    low, high = _range(OBSERVERS[name], _one_large_channel(channels, 0))
    # The other channels end at 5; entropy cuts most.
    assert high > 10 and low < -10
    for place in (0, 1, channels - 1):
        halves = np.split(_one_large_channel(channels, place), 2)
        _assert_same_range(name, _range(OBSERVERS[name], *halves), (low, high))


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_strided_sample_misses_channels(channels):
    """The fault that the test above is for: odd steps are multiples of 3, 5, 7, 9 too."""
    highest = [
        _range(Strided, *np.split(_one_large_channel(channels, place), 2))[1]
        for place in (0, 1, channels - 1)
    ]
    assert min(highest) < 10


@pytest.mark.parametrize(
    "batches",
    [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(64, marks=pytest.mark.slow)],
)
def test_a_net_is_as_good_with_any_number_of_batches(batches):
    """Channels of 0.1, 1 and 3: with four batches a strided sample gave 0.5 dB."""
    x = np.random.default_rng(0).uniform(-1, 1, (64, 16, 16, 3)).astype(np.float32)
    image = keras.Input((16, 16, 3))
    conv = kl.Conv2D(3, 1, use_bias=False)
    model = keras.Model(image, conv(image))
    conv.set_weights([np.diag([0.1, 1.0, 3.0]).reshape(1, 1, 3, 3).astype(np.float32)])
    for name in OBSERVERS:
        quantized = prepare_qat(model, np.split(x, batches), observer=name)
        wanted = model.predict(x, verbose=0)
        noise = wanted - quantized.predict(x, verbose=0)
        # Measured: 42.9 to 43.9.
        assert 10 * np.log10((wanted**2).sum() / (noise**2).sum()) > 40


@pytest.mark.parametrize("name", OBSERVERS)
def test_memory_does_not_grow(name):
    observer = OBSERVERS[name]()
    observer.update(_values())
    once = len(pickle.dumps(observer))
    for _ in range(20):
        observer.update(_values())
    # Integers have a few bytes more as they grow.
    assert len(pickle.dumps(observer)) < once + 100


@pytest.mark.parametrize("name", OBSERVERS)
def test_range_contains_zero_and_lies_within_the_extremes(name):
    minimum, maximum = _range(OBSERVERS[name], np.abs(_values()) + 1)
    assert minimum == 0.0
    assert 0 < maximum <= np.abs(_values()).max() + 1


@pytest.mark.parametrize("name", OBSERVERS)
@settings(deadline=None, max_examples=10)
@given(values=_pictures())
def test_any_range_contains_zero_and_lies_within_the_extremes(name, values):
    low, high = _range(OBSERVERS[name], values)
    tolerance = TOLERANCE.get(name, 0.0) * (high - low)
    assert min(0.0, float(values.min())) - tolerance <= low <= 0.0
    assert 0.0 <= high <= max(0.0, float(values.max())) + tolerance


@pytest.mark.parametrize("name", OBSERVERS)
def test_the_mirrored_tensor_has_the_mirrored_range(name):
    values = np.random.default_rng(0).gumbel(0, 1, (4, 20, 20, 3)).astype(np.float32)
    low, high = _range(OBSERVERS[name], values)
    # Candidates of mse are 2 % apart, and one of the ends is searched first.
    assert _range(OBSERVERS[name], -values) == pytest.approx((-high, -low), rel=0.05)


@pytest.mark.parametrize("name", OBSERVERS)
def test_empty_tensor_of_zeros(name):
    assert _range(OBSERVERS[name], np.zeros((2, 3), np.float32)) == (0.0, 0.0)
    assert _range(OBSERVERS[name]) == (0.0, 0.0)


def test_minmax_keeps_an_outlier_and_percentile_does_not():
    batches = [_values(outlier=1000.0), *[_values()] * 9]
    assert _range(OBSERVERS["minmax"], *batches)[1] == 1000.0
    assert _range(OBSERVERS["percentile"], *batches)[1] < 10.0


def test_moving_average_is_that_of_the_pictures():
    """Two pictures in one batch and one in another: each counts a third."""
    observer = MovingAverage()
    observer.update(np.array([[-1.0, 2.0], [3.0, 4.0]], np.float32))
    assert observer.range() == (-0.5, 3.0)
    observer.update(np.array([[-4.0, 3.0]], np.float32))
    assert observer.range() == pytest.approx((-5 / 3, 3.0))


def test_percentile_cuts_one_of_ten_thousand_at_each_end():
    values = np.random.default_rng(0).uniform(-1, 1, (64, 4096)).astype(np.float32)
    low, high = _range(OBSERVERS["percentile"], *values.reshape(8, 8, 64, 64))
    # Of the range [-1, 1]; 99.9 would be 0.998.
    assert 0.9997 < high < 0.9999
    assert -0.9999 < low < -0.9997


@pytest.mark.parametrize("outlier", [1.0, 1e3, -1e6])
def test_percentile_is_as_good_as_from_all_values(outlier):
    rng = np.random.default_rng(0)
    for draw in (rng.normal, rng.laplace, rng.gumbel):
        values = draw(0, 1, (1, 1_000_000)).astype(np.float32)
        values[0, 0] = outlier
        wanted = np.percentile(values, [0.01, 99.99])
        np.testing.assert_allclose(_range(Percentile, values), wanted, rtol=2e-3)


@pytest.mark.parametrize("outlier", [1e3, 1e6])
def test_an_outlier_takes_no_resolution_from_others(outlier):
    """Percentile and entropy cut what is rare, so one value in 300,000 hardly moves them."""
    ordinary = np.random.default_rng(0).laplace(0, 1, (10, 100, 100, 3)).astype(np.float32)
    strange = ordinary.copy()
    strange[3, 0, 0, 0] = outlier
    for name in ("percentile", "entropy"):
        before = _range(OBSERVERS[name], ordinary)
        assert _range(OBSERVERS[name], strange) == pytest.approx(before, rel=0.1)


def _skewed(name):
    rng = np.random.default_rng(0)
    values = {
        "heavy tails": lambda: rng.standard_t(3, 200_000),
        "both sides": lambda: np.append(rng.exponential(3, 200_000), rng.normal(0, 0.5, 2000)),
        "one huge value": lambda: np.append(rng.normal(0, 1, 200_000), 100.0),
        "relu": lambda: np.maximum(rng.laplace(0, 1, 200_000), 0),
        "relu6": lambda: np.clip(rng.normal(3, 3, 200_000), 0, 6),
    }[name]()
    return values.astype(np.float32)[None]


@pytest.mark.parametrize("name", ["heavy tails", "both sides", "one huge value", "relu", "relu6"])
def test_mse_is_the_best_range(name):
    values = _skewed(name)
    lowest, highest = min(0.0, values.min()), values.max()
    shares = np.linspace(0, 1, 26)[1:]
    best = min(
        _error(values, low, highest * high)
        for low in (lowest * shares if lowest else [0.0])
        for high in shares
    )
    assert _error(values, *_range(MeanSquaredError, values)) < 1.02 * best


def test_mse_beats_minmax_on_heavy_tails():
    values = _skewed("heavy tails")
    # Measured: 0.68 of the error of min-max.
    assert _error(values, *_range(MeanSquaredError, values)) < 0.8 * _error(
        values, values.min(), values.max()
    )


def _step_error(values, low, high):
    step = (high - low) / 65534
    return np.square(np.clip(values, low, high) - np.rint(values / step) * step).mean()


@pytest.mark.parametrize("name", ["mse", "entropy"])
def test_16_bits_are_cut_later(name):
    values = _skewed("both sides")
    low, high = _range(OBSERVERS_16[name], values)
    assert _step_error(values, low, high) <= 1.02 * _step_error(values, values.min(), values.max())
    assert _step_error(values, *_range(OBSERVERS["mse"], values)) > 2 * _step_error(
        values, low, high
    )


def test_16_bits_are_calibrated_for_16_bits():
    x = keras.Input((64,))
    values = _skewed("heavy tails").reshape(-1, 64)
    recipe = {"recipe": "static_wi8_ai16", "trial_export": False}
    prepared = prepare_qat(keras.Model(x, keras.layers.ReLU()(x)), values, **recipe)
    quantizer = next(la for la in prepared.layers if isinstance(la, ActivationQuantizer))
    assert quantizer.params().maximum > 0.8 * np.abs(values).max()


def test_histogram_counts_every_value_in_its_bin():
    rng = np.random.default_rng(0)
    values = (rng.normal(size=3000) * 10.0 ** rng.integers(-20, 20, 3000)).astype(np.float32)
    values[:3] = 0.0, -0.0, 2.0**-140
    histogram = Histogram()
    for part in np.split(values, 10):
        histogram.add(part)
    edges, counts = histogram.bins()
    assert counts.sum() == len(values)
    # An edge belongs to the bin that is further from 0.
    above, below = values[values > 0].astype(np.float64), values[values < 0].astype(np.float64)
    positive = int(np.searchsorted(edges, 0.0))
    np.testing.assert_array_equal(
        counts[positive + 1 :], np.histogram(above, edges[positive + 1 :])[0]
    )
    np.testing.assert_array_equal(
        counts[: positive - 1], np.histogram(-below, -edges[:positive][::-1])[0][::-1]
    )


def test_bins_are_narrow():
    histogram = Histogram()
    histogram.add(np.array([-1e-3, 7.0], np.float32))
    edges, _ = histogram.bins()
    largest = np.maximum(np.abs(edges[1:]), np.abs(edges[:-1]))
    assert (np.diff(edges) <= np.maximum(largest / 512, 7 * 2.0**-31)).all()


@pytest.mark.parametrize("smallest", [0.0, 1e-30, 0.013, 0.5, 1e9])
def test_small_values_may_share_a_bin(smallest):
    histogram = Histogram()
    values = np.random.default_rng(0).laplace(0, 0.1, 10_000).astype(np.float32)
    histogram.add(values)
    _, counts = histogram.bins()
    fewer, merged = histogram.bins(smallest)
    assert np.count_nonzero((fewer[:-1] > 0) & (fewer[:-1] < smallest)) == 0
    assert merged.sum() == len(values)
    # Bins that are not shared are the same.
    apart = fewer[:-1] > smallest
    np.testing.assert_array_equal(merged[apart], counts[len(counts) - apart.sum() :])


def test_one_default_everywhere():
    for function in (prepare_qat, calibrate):
        default = inspect.signature(function).parameters["observer"].default
        assert default == QatConfig().observer
