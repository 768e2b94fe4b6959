"""The integer rounding of every kernel set is known: whole files give the same integers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from tflite_micro.python.tflite_micro import runtime

from quantdet.errors import QuantizationError
from quantdet.export.integer import export_integer
from quantdet.quant.exact import ExactModel
from quantdet.quant.freezing import freeze
from quantdet.quant.kernel_sets import KERNEL_SETS
from quantdet.quant.litert_file import read_litert
from quantdet.quant.match import file_params
from quantdet.quant.numerics import dequantize, quantize
from quantdet.quant.prepare import prepare_qat
from quantdet.runtime.engine import Engine
from tests.quant.cases import random_input, random_model

PIXELS = (-128 / 127.5, 127 / 127.5)


def outputs_of(file, path, kernels, pixels):
    """Return output name → integers of all pictures, by the kernels themselves."""
    if kernels == "tflite-micro":
        interpreter = runtime.Interpreter.from_file(str(path))

        def run(picture):
            interpreter.set_input(picture[None], 0)
            interpreter.invoke()
            order = enumerate(file.output_order)
            return {name: np.array(interpreter.get_output(i)) for i, name in order}
    else:
        engine = Engine(path, kernels=kernels, num_threads=1)

        def run(picture):
            return engine.run(picture[None])

    rows = [run(picture) for picture in pixels]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def check_told(frozen, path, x):
    """Compare every kernel set's integers of a net with one input and one output."""
    file = read_litert(path)
    (source,), (result,) = file.inputs.values(), file.outputs.values()
    pixels = quantize(x, file_params(file.tensors[source]))
    real = dequantize(pixels, file_params(file.tensors[source]))
    for kernels in KERNEL_SETS:
        told = quantize(ExactModel(frozen, kernels)(real), file_params(file.tensors[result]))
        (theirs,) = outputs_of(file, path, kernels, pixels).values()
        np.testing.assert_array_equal(told, theirs, kernels)


# The product of two scales is float32 in some kernels and float64 in others. Nets of seeds 7 and 15
# tell it of dense layers (optimized, TFLite-Micro), 18 of LiteRT's matrix products.
@pytest.mark.parametrize(
    ("activation", "seed"), [("tanh", 0), ("relu", 7), ("relu", 15), ("relu", 18)]
)
def test_matrix_products_of_each_kernel_set(activation, seed, tmp_path):
    # XNNPACK takes the product only if the second matrix has the zero point 0, as tanh has.
    keras.utils.set_random_seed(seed)
    picture = keras.Input((48, 32))
    second = keras.layers.Dense(48, activation=activation)(keras.layers.Permute((2, 1))(picture))
    model = keras.Model(picture, keras.ops.matmul(picture, second))
    x = np.random.default_rng(0).uniform(-1, 1, (32, 48, 32)).astype(np.float32)
    prepared = prepare_qat(model, [x], trial_export=False)
    check_told(freeze(prepared), export_integer(prepared, tmp_path / "model.tflite"), x)


def test_4_bit_weights_of_each_kernel_set(tmp_path):
    # XNNPACK takes none; a step of difference in 60 values, were it told to.
    keras.utils.set_random_seed(0)
    picture = keras.Input((10, 10, 8))
    y = keras.layers.Conv2D(24, 3)(picture)
    y = keras.layers.Conv2D(24, 1, groups=4, activation="relu6")(keras.layers.Conv2D(24, 1)(y))
    y = keras.layers.DepthwiseConv2D(3)(y)
    y = keras.layers.Dense(60)(keras.layers.GlobalAveragePooling2D()(y))
    model = keras.Model(picture, keras.layers.Softmax()(y))
    x = np.random.default_rng(0).uniform(-1, 1, (48, 10, 10, 8)).astype(np.float32)
    prepared = prepare_qat(model, [x], recipe="static_wi4_ai8", trial_export=False)
    check_told(freeze(prepared), export_integer(prepared, tmp_path / "model.tflite"), x)


def test_xnnpack_multiplies_scales_in_float32():
    # One integer in a million is another one so; in a net of 50 layers a third of the outputs.
    kernels = KERNEL_SETS["xnnpack"]
    scales = np.float32(0.06192), np.float32(0.03898), np.float32(0.09972)
    accumulators = np.array([22744])
    assert kernels.convolution(accumulators, kernels.multiplier(*scales)) == 550
    exact = KERNEL_SETS["reference"].multiplier(*map(float, scales))
    assert kernels.convolution(accumulators, exact) == 551


def test_optimized_kernels_round_the_terms_of_a_sum_once():
    # A sum of a trained detector that is half a step; it moved 2 % of that detector's outputs.
    a, b = (np.full((1, 1, 1, 17), value) for value in (3, -24))
    ratios = 0.1494126319885254 / 0.22722430527210236, 0.11808720231056213 / 0.22722430527210236
    assert KERNEL_SETS["optimized"].add(a, b, *ratios).ravel().tolist() == [-10] * 16 + [-11]
    assert set(KERNEL_SETS["reference"].add(a, b, *ratios).ravel()) == {-11}


def test_unknown_kernels_and_16_bits_are_refused():
    model = random_model("conv2d")
    x = random_input(model)
    with pytest.raises(QuantizationError, match=r"'fast' are unknown; choose one of .*xnnpack"):
        ExactModel(freeze(prepare_qat(model, [x])), "fast")
    wide = freeze(prepare_qat(model, [x], recipe="static_wi8_ai16"))
    with pytest.raises(QuantizationError, match="16 bit activations"):
        ExactModel(wide)


# Vectors of 8 or 16 channels or values round otherwise than what is left of them, and ties only
# show where no ReLU cuts the negative half.
def _depthwise(x):
    return keras.layers.DepthwiseConv2D(3)(x)


def _depthwise_doubled(x):
    return keras.layers.DepthwiseConv2D(3, depth_multiplier=2)(x)


def _transposed(x):
    return keras.layers.Conv2DTranspose(12, 3, strides=2)(x)


def _sum(x):
    return keras.layers.Add()([x, keras.layers.Conv2D(12, 1)(x)])


def _difference(x):
    return keras.layers.Subtract()([x, keras.layers.Conv2D(12, 1)(x)])


def _mean(x):
    return keras.layers.GlobalAveragePooling2D(keepdims=True)(keras.layers.Conv2D(40, 1)(x))


@pytest.mark.parametrize(
    "network", [_depthwise, _depthwise_doubled, _transposed, _sum, _difference, _mean]
)
def test_what_is_left_of_groups_of_channels(network, tmp_path):
    picture = keras.Input((9, 8, 12))
    model = keras.Model(picture, network(picture))
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(random.normal(scale=0.3, size=variable.shape))
    x = random.uniform(-1, 1, (200, 9, 8, 12)).astype(np.float32)
    prepared = prepare_qat(model, [x], input_range=PIXELS, trial_export=False)
    path = export_integer(prepared, tmp_path / "model.tflite")
    file, frozen = read_litert(path), freeze(prepared)
    (source,), (result,) = file.inputs.values(), file.outputs.values()
    pixels = quantize(x, file_params(file.tensors[source]))
    for kernels in KERNEL_SETS:
        told = quantize(ExactModel(frozen, kernels)(x), file_params(file.tensors[result]))
        (theirs,) = outputs_of(file, path, kernels, pixels).values()
        np.testing.assert_array_equal(told, theirs, kernels)
