"""The integers of the kernels, one by one: all 256 inputs, or random ones where there are two."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from quantdet.quant.kernel_sets import (
    KERNEL_SETS,
    Sums,
    multiply_scales,
    round_twice,
    squared_difference,
)
from quantdet.quant.kernel_tables import TABLES, kernel_table
from quantdet.quant.litert.writer import exact_ends
from tests.export.test_integer_operators import converted, on_grid, params_of, run

SHAPE = (1, 4, 8, 8)
ALL = np.arange(256, dtype=np.uint8).reshape(SHAPE)
# Operator → (TensorFlow's function, range of the input, of the output).
FUNCTIONS = {
    "EXP": (tf.exp, (-4, 1), (0, 2.7)),
    "LOG": (tf.math.log, (-1, 4), (-4, 1.4)),
    "GELU": (lambda x: tf.nn.gelu(x, approximate=False), (-3, 3), (-0.2, 3)),
    "GELU_TANH": (lambda x: tf.nn.gelu(x, approximate=True), (-3, 3), (-0.2, 3)),
    "SQRT": (tf.sqrt, (0, 4), (0, 2)),
    "RSQRT": (tf.math.rsqrt, (0, 4), (0, 8)),
}


def stretched(limits, factors):
    return [end * factor for end, factor in zip(limits, factors, strict=True)]


@pytest.mark.parametrize("name", TABLES)
def test_tables(name):
    function, source, target = FUNCTIONS[name]
    random = np.random.default_rng(0)
    for _ in range(3):
        limits = [stretched(ends, random.uniform(0.5, 1.5, 2)) for ends in (source, target)]

        def network(x, limits=limits):
            return on_grid(function(on_grid(x, *limits[0])), *limits[1])

        content = converted(network, 8)
        grids, grid = params_of(content)
        expected = kernel_table(name, grids["x0"], grid)[ALL]
        # TFLite-Micro has only this one of them.
        micro = ("tflite-micro",) if name == "RSQRT" else ()
        for kernels in ("reference", "optimized", "xnnpack", *micro):
            result = run(content, kernels, {"x0": (ALL ^ 128).view(np.int8)})
            np.testing.assert_array_equal(result.view(np.uint8) ^ 128, expected, kernels)


def test_reciprocal_roots_are_not_rounded_quotients():
    # One of 6,000 results is a step off: fixed point.
    scales = np.float32([0.012544501, 0.02894705])

    def network(x):
        root = tf.math.rsqrt(on_grid(x, 0, 255 * scales[0]))
        return on_grid(root, 0, 255 * scales[1])

    content = converted(network, 8)
    grids, grid = params_of(content)
    told = kernel_table("RSQRT", grids["x0"], grid)
    result = run(content, "reference", {"x0": (ALL ^ 128).view(np.int8)}).view(np.uint8) ^ 128
    np.testing.assert_array_equal(result.reshape(-1), told)
    exact = 1 / (np.sqrt(np.arange(1, 256) * grids["x0"].scale) * grid.scale)
    assert (told[1:] != np.clip(np.floor(exact + 0.5), 0, 255)).sum() == 1


def integers(random, shape):
    return random.integers(-128, 128, shape).astype(np.int8)


def relative(q, params):
    return q.astype(np.int64) + 128 - params.zero_point


def assert_same(content, inputs, told):
    """Compare every kernel set with told(kernel set, grid of the output)."""
    _, grid = params_of(content)
    for kernels, kernel_set in KERNEL_SETS.items():
        expected = np.clip(told(kernel_set, grid) + grid.zero_point - 128, -128, 127)
        result = run(content, kernels, inputs)
        np.testing.assert_array_equal(result, expected.reshape(result.shape), kernels)


def test_sums_that_are_half_a_step():
    """Scales of a sum in a trained detector: two pairs of integers make the kernel sets differ."""
    shape = (1, 1, 256 * 256, 3)
    scales = np.float32([0.1494126319885254, 0.11808720231056213, 0.22722430527210236])
    ends = exact_ends(-128 * scales, 127 * scales, scales, 255)
    grids = [tuple(map(float, pair)) for pair in zip(*ends, strict=True)]

    def network(a, b):
        return on_grid(tf.add(on_grid(a, *grids[0]), on_grid(b, *grids[1])), *grids[2])

    content = converted(network, 8, [shape] * 2)
    every = np.arange(-128, 128)
    pairs = np.stack(np.meshgrid(every, every), axis=-1).reshape(1, 1, -1, 2)
    inputs = {f"x{i}": np.repeat(pairs[..., i : i + 1], 3, -1).astype(np.int8) for i in (0, 1)}
    found, grid = params_of(content)
    assert [found["x0"].scale, found["x1"].scale, grid.scale] == scales.tolist()
    a, b = (relative(inputs[name], found[name]) for name in inputs)
    ratios = [found[name].scale / grid.scale for name in inputs]
    told = {name: kernels.add(a, b, *ratios) for name, kernels in KERNEL_SETS.items()}
    assert (told["optimized"] != told["reference"]).any()
    assert_same(content, inputs, lambda kernels, _: kernels.add(a, b, *ratios))


def test_absolute_values():
    content = converted(lambda x: on_grid(tf.abs(on_grid(x, -1.3, 0.9)), 0, 1.1), 8)
    q = (ALL ^ 128).view(np.int8)
    source = params_of(content)[0]["x0"]
    values = np.abs(relative(q, source))
    assert_same(content, {"x0": q}, lambda _, grid: round_twice(values, source.scale / grid.scale))


def test_squared_differences():
    random = np.random.default_rng(1)
    shape = (1, 20, 20, 8)

    def network(a, b):
        squares = tf.math.squared_difference(on_grid(a, -1.3, 0.9), on_grid(b, -0.4, 0.7))
        return on_grid(squares, 0, 2.1)

    content = converted(network, 8, [shape] * 2)
    inputs = {name: integers(random, shape) for name in ("x0", "x1")}
    grids, _ = params_of(content)
    a, b = (relative(inputs[name], grids[name]) for name in inputs)
    scales = (grids["x0"].scale, grids["x1"].scale)
    assert_same(content, inputs, lambda _, grid: squared_difference(a, b, (*scales, grid.scale)))


@pytest.mark.parametrize("transposed", [False, True])
def test_matrix_products_of_activations(transposed):
    random = np.random.default_rng(2)
    shapes = [(1, 3, 40, 60), (1, 3, 50, 60) if transposed else (1, 3, 60, 50)]

    def network(a, b):
        a, b = on_grid(a, -1.3, 0.9), on_grid(b, -0.4, 0.7)
        return on_grid(tf.matmul(a, b, transpose_b=transposed), -3.1, 3.6)

    content = converted(network, 8, shapes)
    inputs = {f"x{i}": integers(random, shape) for i, shape in enumerate(shapes)}
    grids, _ = params_of(content)
    a, b = (relative(inputs[name], grids[name]) for name in inputs)
    sums = a @ (b.swapaxes(-1, -2) if transposed else b)
    scales = (grids["x0"].scale, grids["x1"].scale)
    assert_same(
        content,
        inputs,
        lambda _, grid: round_twice(sums, multiply_scales(*scales, grid.scale)),
    )


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("axes", [(1,), (2,), (3,), (1, 2), (2, 3), (1, 2, 3)])
def test_means_over_any_axes(axes, kept):
    random = np.random.default_rng(3)
    shape = (1, 9, 14, 24)

    def network(x):
        means = tf.reduce_mean(on_grid(x, -1.3, 0.93), axes, keepdims=kept)
        return on_grid(means, -0.17, 0.21)

    content = converted(network, 8, [shape])
    q = integers(random, shape)
    source = params_of(content)[0]["x0"]
    sums = Sums(
        values=relative(q, source).sum(axis=axes, keepdims=kept),
        count=int(np.prod([shape[axis] for axis in axes])),
        zero_point=source.zero_point - 128,
        kept=kept and axes == (1, 2),
    )
    assert_same(content, {"x0": q}, lambda k, grid: k.global_mean(sums, source.scale, grid.scale))


def assert_spread(network, told, other):
    random = np.random.default_rng(4)
    shapes = [(1, 9, 14, 24), other]
    inputs = {f"x{i}": integers(random, shape) for i, shape in enumerate(shapes)}
    content = converted(network, 8, shapes)
    grids, _ = params_of(content)
    a, b = (relative(inputs[name], grids[name]) for name in inputs)
    scales = (grids["x0"].scale, grids["x1"].scale)
    assert_same(content, inputs, lambda k, grid: told(k, (a, b), (*scales, grid.scale)))


ONE_PER_TOKEN, ONE_PER_CHANNEL = (1, 9, 14, 1), (1, 1, 1, 24)


@pytest.mark.parametrize("other", [ONE_PER_TOKEN, ONE_PER_CHANNEL])
def test_sums_that_spread_an_operand(other):
    def network(a, b):
        return on_grid(on_grid(a, -1.3, 0.93) + on_grid(b, -0.41, 0.7), -1.51, 1.3)

    def told(k, operands, scales):
        return k.add(*operands, scales[0] / scales[2], scales[1] / scales[2])

    assert_spread(network, told, other)


@pytest.mark.parametrize("other", [ONE_PER_TOKEN, ONE_PER_CHANNEL])
def test_products_that_spread_an_operand(other):
    def network(a, b):
        return on_grid(on_grid(a, -1.3, 0.93) * on_grid(b, -0.41, 0.7), -0.81, 0.6)

    def told(k, operands, scales):
        return k.product(operands[0] * operands[1], k.multiplier(*scales))

    assert_spread(network, told, other)
