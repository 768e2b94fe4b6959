"""Keras feature networks of Sony's Model Compression Toolkit (MCT) 2.6, written anew.

Folder of the peer: tests/keras_tests/feature_networks_tests/feature_networks. ``NETS`` are the 24
that count; ``FURTHER`` are those out of bare operations, constants and attention. Every function
takes the Keras to build with, as in tfmot.py; bare operations come from ``keras.ops``.
"""

from __future__ import annotations

import numpy as np

IMAGE = (8, 8, 3)


def _numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def relu_bound_to_power_of_two(keras):
    # activation_relu_bound_to_power_of_2_test.py
    kl = keras.layers
    x = keras.Input(IMAGE)
    y = kl.ReLU(max_value=6)(kl.Dense(20)(x))
    y = kl.ReLU(max_value=17)(kl.Dense(20)(kl.Dense(20)(y)))
    return keras.Model(x, kl.Dense(30)(y))


def add_same(keras):
    # add_same_test.py
    x = keras.Input(IMAGE)
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(6, 7)(x))
    return keras.Model(x, keras.layers.Add()([y, y]))


def depthwise_times_ten(keras):
    # bias_correction_dw_test.py
    x = keras.Input(IMAGE)
    y = keras.layers.DepthwiseConv2D(3, depth_multiplier=10, use_bias=False)(x)
    return keras.Model(x, y)


def bn_after_relu(keras):
    # bn_attributes_quantization_test.py: the ReLU keeps the normalization from being folded
    x = keras.Input(IMAGE)
    y = keras.layers.ReLU()(keras.layers.Conv2D(128, 3)(x))
    return keras.Model(x, keras.layers.BatchNormalization()(y))


def conv_bn_concat(keras):
    # bn_folding_test.py, Conv2DBNConcatFoldingTest
    kl = keras.layers
    x = keras.Input(IMAGE)
    y = kl.BatchNormalization()(kl.Conv2D(2, 3, padding="same")(x))
    branches = [kl.Activation("relu")(y), y, kl.Activation("tanh")(y)]
    return keras.Model(x, kl.Concatenate()(branches))


def transpose_bn_relu(keras):
    # bn_folding_test.py, Conv2DTransposeBNFoldingTest
    kl = keras.layers
    x = keras.Input(IMAGE)
    y = kl.BatchNormalization()(kl.Conv2DTranspose(2, 3, padding="same")(x))
    return keras.Model(x, kl.Activation("relu")(y))


def bn_before_conv(keras):
    # bn_folding_test.py, BNForwardFoldingTest with a kernel of 2 x 2 and two normalizations
    kl = keras.layers
    x = keras.Input(IMAGE)
    y = kl.Conv2D(2, 2)(kl.BatchNormalization()(x))
    return keras.Model(x, kl.Activation("tanh")(kl.BatchNormalization()(y)))


def concat_of_unequal_ranges(keras):
    # concatination_threshold_update.py: one branch is eight times the other
    x = keras.Input(IMAGE)
    small, large = keras.layers.Conv2D(3, 4)(x), 8 * keras.layers.Conv2D(3, 4)(x)
    return keras.Model(x, keras.layers.Concatenate()([small, large]))


def separable_depth_multiplier(keras):
    # decompose_separable_conv_test.py
    x = keras.Input(IMAGE)
    return keras.Model(x, keras.layers.SeparableConv2D(1, 2, depth_multiplier=2)(x))


def gradient_ptq(keras):
    # gptq/gptq_test.py, build_model
    kl = keras.layers
    x = keras.Input((16, 16, 3))
    y = kl.PReLU()(kl.BatchNormalization()(kl.Conv2D(64, 4)(x)))
    y = kl.ReLU()(kl.BatchNormalization()(kl.Conv2D(64, 8)(y)))
    return keras.Model(x, kl.Dense(20)(y))


def gradient_ptq_groups(keras):
    # gptq/gptq_conv.py, GradientPTQWeightsUpdateConvGroupTest, here with a dilated second one
    kl = keras.layers
    x = keras.Input((16, 16, 4))
    y = kl.ReLU()(kl.BatchNormalization()(kl.Conv2D(16, 4, groups=2)(x)))
    y = kl.ReLU()(kl.BatchNormalization()(kl.Conv2D(16, 3, dilation_rate=2)(y)))
    return keras.Model(x, kl.Dense(20)(y))


def six_convs(keras):
    # linear_collapsing_test.py, SixConv2DCollapsingTest
    y = x = keras.Input((16, 16, 3))
    for filters, kernel, options in (
        (32, 5, {"use_bias": False}),
        (4, 1, {}),
        (128, 1, {"activation": "relu"}),
        (16, 3, {"use_bias": False}),
        (64, 1, {}),
        (8, 1, {"activation": "relu"}),
    ):
        y = keras.layers.Conv2D(filters, kernel, padding="same", **options)(y)
    return keras.Model(x, y)


def all_weighted_layers(keras):
    # mixed_precision_bops_test.py, MixedPrecisionBopsAllWeightsLayersTest
    kl = keras.layers
    x = keras.Input((16, 16, 3))
    y = kl.Conv2D(3, 4)(kl.Conv2D(3, 4)(x))
    y = kl.ReLU()(kl.BatchNormalization()(y))
    y = kl.ReLU()(kl.BatchNormalization()(kl.Conv2DTranspose(3, 4)(y)))
    return keras.Model(x, kl.Dense(5)(kl.DepthwiseConv2D(3, depth_multiplier=5)(y)))


def multiple_inputs(keras):
    # multiple_inputs_model_test.py
    inputs = [keras.Input(IMAGE) for _ in range(3)]
    maps = [keras.layers.Conv2D(3, 4)(x) for x in inputs]
    return keras.Model(inputs, keras.layers.Concatenate()(maps))


def multiple_inputs_of_a_node(keras):
    # multiple_inputs_node_tests.py
    kl = keras.layers
    x = keras.Input((24, 24, 3))
    y = kl.ReLU(max_value=6.0)(kl.Dense(20)(x))
    return keras.Model(x, kl.Add()([kl.Dense(20)(y), y]))


def nested_multiple_outputs(keras):
    # nested_networks/nested_model_multiple_outputs_test.py: two of the inner outputs are unused
    kl = keras.layers
    x = keras.Input((24, 24, 3))
    y = kl.Conv2D(3, 4)(kl.Conv2D(3, 4)(x))
    inner = keras.Input(y.shape[1:])
    first = kl.Activation("swish")(kl.BatchNormalization()(kl.Conv2D(3, 4)(inner)))
    others = [kl.Conv2D(3, 4)(inner) for _ in range(3)]
    _, second, third, _ = keras.Model(inner, [first, *others])(y)
    y = kl.Add()([kl.BatchNormalization()(second), kl.Activation("relu")(third)])
    return keras.Model(x, y)


def output_in_middle(keras):
    # output_in_middle_test.py
    x = keras.Input(IMAGE)
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 4)(x))
    return keras.Model(x, [keras.layers.Activation("relu")(y), y])


def residual_of_the_input(keras):
    # residual_collapsing_test.py, ResidualCollapsingTest2: even and one-sided kernels
    kl = keras.layers
    x = keras.Input((16, 16, 3))
    y = kl.Add()([kl.Conv2D(3, (3, 4), padding="same")(x), x])
    y = kl.ReLU()(kl.Add()([kl.Conv2D(3, (2, 2), padding="same")(y), y]))
    y = kl.ReLU()(kl.Add()([y, kl.Conv2D(3, (1, 3), padding="same")(y)]))
    return keras.Model(x, y)


def reused_separable(keras):
    # reused_separable_test.py
    x = keras.Input(IMAGE)
    layer = keras.layers.SeparableConv2D(3, 3)
    return keras.Model(x, layer(layer(x)))


def scale_equalization(keras):
    # scale_equalization_test.py: Conv2D, ReLU, padding, Conv2DTranspose
    kl = keras.layers
    x = keras.Input((16, 16, 3))
    y = kl.ReLU()(kl.BatchNormalization()(kl.Conv2D(3, 4)(x)))
    return keras.Model(x, kl.Conv2DTranspose(3, 4)(kl.ZeroPadding2D()(y)))


def shift_negative_elu(keras):
    # shift_neg_activation_test.py: ELU, padding, Dense
    kl = keras.layers
    x = keras.Input(IMAGE)
    y = kl.ZeroPadding2D(((3, 4), (5, 6)))(kl.ELU()(x))
    return keras.Model(x, kl.Dense(4)(y))


def shift_negative_selu(keras):
    # shift_neg_activation_test.py: SELU, DepthwiseConv2D with an even kernel
    kl = keras.layers
    x = keras.Input(IMAGE)
    y = kl.Activation("selu")(x)
    return keras.Model(x, kl.DepthwiseConv2D(4, padding="same")(y))


def shift_negative_gelu(keras):
    # shift_neg_activation_test.py: GELU, DepthwiseConv2D with wide strides
    kl = keras.layers
    x = keras.Input(IMAGE)
    y = kl.Activation("gelu")(x)
    y = kl.DepthwiseConv2D((8, 7), depth_multiplier=3, padding="same", strides=6)(y)
    return keras.Model(x, y)


def split_concatenate(keras):
    # split_concatenate_test.py: 28 of the 30 parts are unused
    kl = keras.layers
    x = keras.Input(IMAGE)
    parts = keras.ops.split(kl.Dense(30)(x), 30, axis=-1)
    maps = [kl.Conv2D(3, 4)(parts[1]), kl.Conv2D(3, 4)(parts[3])]
    return keras.Model(x, kl.Concatenate()(maps))


def sigmoid_times_itself(keras):
    # sigmoid_mul_substitution_test.py: SiLU in all spellings, twice one that is none
    kl, ops = keras.layers, keras.ops
    x = keras.Input(IMAGE)

    def conv(tensor):
        return kl.Conv2D(5, 3, padding="same")(tensor)

    y = conv(x)
    y = conv(y * ops.sigmoid(y))
    y = conv(ops.sigmoid(y) * y)
    y = conv(kl.Multiply()([kl.Activation("sigmoid")(y), y]))
    y = conv(kl.Multiply()([y + 1, ops.sigmoid(y)]))
    gate = ops.sigmoid(y)
    y = conv(kl.Multiply()([y, gate]))
    return keras.Model(x, [kl.Multiply()([y, ops.sigmoid(y)]), gate])


def slicing(keras):
    # slicing_op_lambda_test.py, with slices that take something away
    x = keras.Input(IMAGE)
    return keras.Model(x, x[:, 1:, :, :] + x[:, :-1, :, :])


def split_conv(keras):
    # split_conv_bug_test.py
    x = keras.Input((24, 24, 3))
    upper, lower = keras.ops.split(x, 2, axis=1)
    return keras.Model(x, [keras.layers.Conv2D(3, 4)(upper), keras.layers.Conv2D(3, 4)(lower)])


def split_into_sixteen(keras):
    # multi_inputs_to_node_test.py
    kl = keras.layers
    x = keras.Input((32, 32, 3))
    y = kl.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
    parts = keras.ops.split(y, 16, axis=3)
    return keras.Model(x, kl.Concatenate()([kl.Conv2D(2, 3, use_bias=False)(p) for p in parts]))


def add_constants(keras):
    # linear_collapsing_test.py, Op2DAddConstCollapsingTest: a constant is added to each kind
    kl = keras.layers
    x = keras.Input((16, 16, 3))
    y = kl.ReLU()(kl.Conv2D(7, 5, padding="same")(x) + _numbers(7))
    y = kl.DepthwiseConv2D(5, padding="same", use_bias=False)(y)
    y = kl.ReLU()(keras.ops.add(_numbers(7), y))
    y = kl.ReLU()(kl.Conv2DTranspose(9, 5, padding="same")(y) + _numbers(9))
    y = kl.Dense(9, use_bias=False)(kl.GlobalAveragePooling2D()(y)) + _numbers(9)
    return keras.Model(x, kl.ReLU()(kl.Dense(9)(y) + y))


def constant_map(keras):
    # const_quantization_test.py, AdvancedConstQuantizationTest: a constant per pixel is added
    kl = keras.layers
    x = keras.Input((16, 16, 3))
    y = kl.ReLU()(kl.Conv2D(13, 3)(x)) + _numbers(14, 14, 13)
    return keras.Model(x, kl.Conv2D(16, 3)(y))


def constant_arithmetic(keras):
    # const_representation_test.py: each kind of arithmetic with constants on either side
    x = keras.Input((8, 8, 16))
    factors = 1 + np.abs(_numbers(16))
    y = 5.1 - (x * factors + 2.45) / factors
    return keras.Model(x, y)


def constant_matmul(keras):
    # const_representation_test.py, ConstRepresentationMatMulTest
    x = keras.Input((8, 16))
    return keras.Model(x, keras.ops.matmul(x, _numbers(16, 8)) + keras.layers.Dense(8)(x))


def matmul_of_activations(keras):
    # matmul_substitution_test.py: the last product is of two activations
    ops = keras.ops
    x = keras.Input((8,))
    y = keras.layers.ReLU()(ops.matmul(x, _numbers(8, 16)))
    y = ops.matmul(y, _numbers(16, 32))
    y = ops.matmul(ops.reshape(y, (-1, 8, 4)), ops.reshape(y, (-1, 4, 8)))
    return keras.Model(x, keras.layers.ReLU()(ops.reshape(y, (-1, 64))))


def wide_range_products(keras):
    # activation_16bit_test.py: squares, products, reshapes and a division
    ops = keras.ops
    x = keras.Input(IMAGE)
    y = x * x
    y = ops.concatenate([y, y], axis=1) + np.ones(3, np.float32)
    y = y * (y - np.ones(3, np.float32))
    y = ops.reshape(ops.reshape(y, (-1, 4, 4, 8, 3)), (-1, 16, 8, 3))
    return keras.Model(x, keras.layers.Conv2D(3, 1)(y) / (2 * np.ones(3, np.float32)))


def functional_convolutions(keras):
    # conv_func_substitutions_test.py: convolutions with constant kernels, without layers
    ops = keras.ops
    x = keras.Input(IMAGE)
    y = keras.layers.ZeroPadding2D(10)(x)
    y = ops.relu(ops.conv(y, _numbers(3, 3, 3, 2), padding="valid") + _numbers(2))
    y = ops.relu(ops.conv(y, _numbers(3, 3, 2, 2), padding="same", dilation_rate=2))
    y = ops.depthwise_conv(y, _numbers(3, 3, 2, 1), strides=2, padding="same")
    return keras.Model(x, ops.conv(ops.relu(y), _numbers(3, 3, 2, 4), padding="valid"))


def multi_head_attention(keras):
    # multi_head_attention_test.py
    inputs = [keras.Input((5, 11)), keras.Input((6, 13))]
    layer = keras.layers.MultiHeadAttention(3, 4, value_dim=7, output_shape=15)
    return keras.Model(inputs, layer(*inputs))


def negative_slope_before_mean(keras):
    # shift_neg_activation_test.py: ReLU(negative_slope), mean, Dense
    kl = keras.layers
    x = keras.Input(IMAGE)
    y = kl.GlobalAveragePooling2D()(kl.LeakyReLU(0.99)(x))
    return keras.Model(x, kl.Dense(4)(y))


def softmax_twice(keras):
    # softmax_shift_test.py: a Dense layer used with and without softmax
    x = keras.Input(IMAGE)
    dense = keras.layers.Dense(20)
    return keras.Model(x, [dense(x), keras.ops.softmax(dense(x))])


NETS = {
    build.__name__: build
    for build in (
        relu_bound_to_power_of_two,
        add_same,
        depthwise_times_ten,
        bn_after_relu,
        conv_bn_concat,
        transpose_bn_relu,
        bn_before_conv,
        concat_of_unequal_ranges,
        separable_depth_multiplier,
        gradient_ptq,
        gradient_ptq_groups,
        six_convs,
        all_weighted_layers,
        multiple_inputs,
        multiple_inputs_of_a_node,
        nested_multiple_outputs,
        output_in_middle,
        residual_of_the_input,
        reused_separable,
        scale_equalization,
        shift_negative_elu,
        shift_negative_selu,
        shift_negative_gelu,
        split_concatenate,
    )
}
FURTHER = {
    build.__name__: build
    for build in (
        sigmoid_times_itself,
        slicing,
        split_conv,
        split_into_sixteen,
        add_constants,
        constant_map,
        constant_arithmetic,
        constant_matmul,
        matmul_of_activations,
        wide_range_products,
        functional_convolutions,
        multi_head_attention,
        negative_slope_before_mean,
        softmax_twice,
    )
}
