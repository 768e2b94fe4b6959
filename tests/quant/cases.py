"""One tiny functional model per layer type the engine supports; each test loops over CASES."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers as kl


def _image(size=8, channels=3):
    return keras.Input((size, size, channels), name="image")


def conv2d():
    x = _image()
    return keras.Model(x, kl.Conv2D(4, 3, padding="same")(x))


def conv2d_no_bias_stride_valid():
    x = _image()
    return keras.Model(x, kl.Conv2D(4, 3, strides=2, use_bias=False)(x))


def conv2d_fused_activation():
    x = _image()
    return keras.Model(x, kl.Conv2D(4, 3, activation="relu6")(x))


def conv2d_dilated():
    x = _image()
    return keras.Model(x, kl.Conv2D(4, 3, dilation_rate=2, padding="same")(x))


def depthwise():
    x = _image(channels=4)
    return keras.Model(x, kl.DepthwiseConv2D(3, padding="same")(x))


def depthwise_multiplier():
    x = _image(channels=2)
    return keras.Model(x, kl.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x))


def depthwise_one_channel():
    x = _image(channels=1)
    return keras.Model(x, kl.DepthwiseConv2D(3, padding="same")(x))


def separable():
    x = _image()
    return keras.Model(x, kl.SeparableConv2D(4, 3, padding="same", activation="relu")(x))


def dense():
    x = keras.Input((6,), name="features")
    return keras.Model(x, kl.Dense(5)(x))


def dense_chain():
    x = keras.Input((6,), name="features")
    y = kl.Dense(8, activation="relu", use_bias=False)(x)
    return keras.Model(x, kl.Dense(5, activation="softmax")(y))


def batch_norm_after_conv():
    x = _image()
    y = kl.BatchNormalization()(kl.Conv2D(4, 3, use_bias=False)(x))
    return keras.Model(x, kl.ReLU(max_value=6)(y))


def batch_norm_after_depthwise():
    x = _image(channels=2)
    y = kl.DepthwiseConv2D(3, depth_multiplier=2)(x)
    return keras.Model(x, kl.ReLU()(kl.BatchNormalization(scale=False)(y)))


def batch_norm_after_dense():
    x = keras.Input((6,), name="features")
    return keras.Model(x, kl.BatchNormalization(center=False)(kl.Dense(5)(x)))


def batch_norm_alone():
    x = _image()
    y = kl.Add()([kl.Conv2D(4, 1)(x), kl.Conv2D(4, 1)(x)])
    return keras.Model(x, kl.ReLU()(kl.BatchNormalization()(y)))


def batch_norm_on_vector():
    x = _image()
    y = kl.GlobalAveragePooling2D()(kl.Conv2D(4, 1)(x))
    return keras.Model(x, kl.BatchNormalization()(y))


def normalization():
    x = _image()
    y = kl.Normalization(mean=[0.1, -0.2, 0.3], variance=[0.5, 0.25, 1.5])(x)
    return keras.Model(x, kl.Conv2D(4, 3)(y))


def relu_on_its_own():
    x = _image()
    y = kl.Conv2D(4, 1)(x)
    return keras.Model(x, kl.Add()([y, kl.ReLU()(y)]))


def two_relus_on_one_tensor():
    x = _image()
    y = kl.Conv2D(4, 1)(x)
    a = kl.Concatenate()([kl.ReLU()(y), kl.Conv2D(4, 1)(x)])
    b = kl.Concatenate()([kl.Activation("relu")(y), kl.Conv2D(2, 1)(x)])
    return keras.Model(x, [kl.Conv2D(3, 1)(a), kl.Conv2D(3, 1)(b), kl.Conv2D(3, 1)(y)])


def relu_after_add():
    x = _image()
    y = kl.Add()([kl.Conv2D(4, 1)(x), kl.Conv2D(4, 1)(x)])
    return keras.Model(x, kl.Activation("relu6")(y))


def concatenate():
    x = _image()
    return keras.Model(x, kl.Concatenate()([kl.Conv2D(2, 1)(x), kl.Conv2D(3, 1)(x)]))


def concatenate_mixed_activations():
    x = _image()
    branches = [kl.Conv2D(2, 1, activation="relu6")(x), kl.Conv2D(3, 1)(x)]
    return keras.Model(x, kl.Concatenate()(branches))


def concatenate_with_sigmoid():
    x = _image()
    branches = [kl.Conv2D(2, 1, activation="sigmoid")(x), kl.Conv2D(3, 1)(x)]
    return keras.Model(x, kl.Concatenate()(branches))


def concatenate_with_input():
    x = _image()
    return keras.Model(x, kl.Concatenate()([x, kl.Conv2D(3, 1)(x)]))


def zero_padding():
    x = _image()
    y = kl.ZeroPadding2D(((0, 1), (0, 1)))(x)
    return keras.Model(x, kl.Conv2D(4, 3, strides=2)(y))


def symmetric_padding():
    x = _image()
    y = kl.ZeroPadding2D(1)(kl.Conv2D(4, 1, activation="relu")(x))
    return keras.Model(x, kl.DepthwiseConv2D(3, strides=2)(y))


def max_pool():
    x = _image()
    return keras.Model(x, kl.Conv2D(4, 1)(kl.MaxPooling2D(2)(x)))


def average_pool():
    x = _image()
    return keras.Model(x, kl.AveragePooling2D(2)(kl.Conv2D(4, 1)(x)))


def global_average_pool():
    x = _image()
    return keras.Model(x, kl.GlobalAveragePooling2D()(kl.Conv2D(4, 1)(x)))


def global_average_pool_keepdims():
    x = _image()
    y = kl.GlobalAveragePooling2D(keepdims=True)(kl.Conv2D(4, 1)(x))
    return keras.Model(x, kl.Conv2D(3, 1)(y))


def mean_of_uneven_count():
    # 11 x 11 positions are no power of two, and 64 channels show rare roundings.
    x = keras.Input((11, 11, 3))
    y = kl.Conv2D(64, 1)(x)
    return keras.Model(
        x, [kl.GlobalAveragePooling2D()(y), kl.GlobalAveragePooling2D(keepdims=True)(y)]
    )


def global_max_pool():
    x = _image()
    return keras.Model(x, kl.GlobalMaxPooling2D()(kl.Conv2D(4, 1)(x)))


def reshape():
    x = _image()
    return keras.Model(x, kl.Reshape((64, 4))(kl.Conv2D(4, 1)(x)))


def flatten_dense():
    x = _image(size=4)
    return keras.Model(x, kl.Dense(3)(kl.Flatten()(kl.Conv2D(4, 1)(x))))


def dropout():
    x = _image()
    return keras.Model(x, kl.Conv2D(4, 1)(kl.Dropout(0.5)(kl.Conv2D(4, 1)(x))))


def softmax_layer():
    x = keras.Input((6,), name="features")
    return keras.Model(x, kl.Softmax()(kl.Dense(5)(x)))


def sigmoid_in_the_middle():
    x = _image()
    return keras.Model(x, kl.Conv2D(3, 1)(kl.Activation("sigmoid")(kl.Conv2D(4, 1)(x))))


def upsample_nearest():
    x = _image()
    return keras.Model(x, kl.Conv2D(3, 1)(kl.UpSampling2D(2)(kl.Conv2D(4, 1)(x))))


def upsample_bilinear():
    x = _image()
    return keras.Model(x, kl.UpSampling2D(2, interpolation="bilinear")(kl.Conv2D(4, 1)(x)))


def shared_layer():
    x = _image()
    shared = kl.Conv2D(3, 1)
    return keras.Model(x, kl.Add()([shared(x), shared(kl.ReLU()(shared(x)))]))


def shared_layer_two_batch_norms():
    x = _image()
    shared = kl.Conv2D(3, 3, padding="same")
    first = kl.BatchNormalization()(shared(x))
    second = kl.BatchNormalization()(shared(kl.MaxPooling2D(2)(x)))
    return keras.Model(x, {"first": first, "second": second})


def nested_model():
    inner_in = keras.Input((8, 8, 4))
    inner = keras.Model(
        inner_in, kl.BatchNormalization()(kl.Conv2D(4, 3, padding="same")(inner_in))
    )
    x = _image()
    y = kl.Conv2D(4, 1)(x)
    return keras.Model(x, kl.Add()([inner(y), inner(kl.ReLU()(y))]))


def sequential():
    return keras.Sequential(
        [_image(), kl.Conv2D(4, 3, activation="relu"), kl.Flatten(), kl.Dense(2)]
    )


def two_outputs():
    x = _image()
    y = kl.Conv2D(4, 3, strides=2, activation="relu6")(x)
    vector = kl.GlobalAveragePooling2D()(y)
    return keras.Model(
        x,
        {
            "scores": kl.Softmax(name="s")(kl.Dense(3)(vector)),
            "boxes": kl.Activation("sigmoid")(kl.Dense(4)(vector)),
        },
    )


def multiply():
    x = _image()
    return keras.Model(x, kl.Multiply()([kl.Conv2D(4, 1)(x), kl.Conv2D(4, 1)(x)]))


def squeeze_and_excite():
    x = _image()
    y = kl.Conv2D(4, 1, activation="relu6")(x)
    gate = kl.Reshape((1, 1, 4))(kl.GlobalAveragePooling2D()(y))
    gate = kl.Conv2D(4, 1, activation="sigmoid")(kl.Conv2D(2, 1, activation="relu")(gate))
    return keras.Model(x, kl.Conv2D(3, 1)(kl.Multiply()([y, gate])))


def subtract():
    x = _image()
    return keras.Model(x, kl.Subtract()([kl.Conv2D(4, 1)(x), kl.Conv2D(4, 1)(x)]))


def maximum():
    x = _image()
    return keras.Model(x, kl.Maximum()([kl.Conv2D(4, 1)(x), kl.Conv2D(4, 1)(x)]))


def minimum():
    x = _image()
    return keras.Model(x, kl.Minimum()([kl.Conv2D(4, 1)(x), kl.Conv2D(4, 1, activation="relu")(x)]))


def leaky_relu():
    x = _image()
    return keras.Model(x, kl.LeakyReLU(negative_slope=0.1)(kl.Conv2D(4, 1)(x)))


def tanh():
    x = _image()
    return keras.Model(x, kl.Conv2D(3, 1)(kl.Activation("tanh")(kl.Conv2D(4, 1)(x))))


def silu():
    x = _image()
    return keras.Model(x, kl.Conv2D(3, 1)(kl.Conv2D(4, 3, activation="swish")(x)))


def hard_sigmoid():
    x = _image()
    return keras.Model(x, kl.Conv2D(3, 1)(kl.Activation("hard_sigmoid")(kl.Conv2D(4, 1)(x))))


def hard_sigmoid_on_vector():
    x = keras.Input((6,), name="features")
    return keras.Model(x, kl.Activation("hard_sigmoid")(kl.Dense(5)(x)))


def hard_swish():
    x = _image()
    y = kl.BatchNormalization()(kl.Conv2D(4, 3, use_bias=False)(x))
    return keras.Model(x, kl.Conv2D(3, 1)(kl.Activation("hard_silu")(y)))


def rescaling():
    x = _image()
    return keras.Model(x, kl.Conv2D(4, 3)(kl.Rescaling(0.5, offset=0.25)(x)))


def cropping():
    x = _image()
    return keras.Model(x, kl.Conv2D(3, 1)(kl.Cropping2D(((1, 0), (0, 2)))(kl.Conv2D(4, 1)(x))))


def permute():
    x = _image()
    return keras.Model(x, kl.Conv2D(3, 1)(kl.Permute((2, 1, 3))(kl.Conv2D(4, 1)(x))))


def bare_operations():
    x = _image()
    y = kl.Conv2D(4, 1)(x)
    gate = keras.ops.relu6(y + 3.0) * (1.0 / 6.0)
    return keras.Model(x, kl.Conv2D(3, 1)(1.0 - y * gate))


def depthwise_then_scaled():
    x = _image(channels=2)
    return keras.Model(x, kl.DepthwiseConv2D(3, depth_multiplier=2)(x) * 0.5)


def rescaling_and_normalization():
    x = _image()
    y = kl.Normalization(mean=[0.1, -0.2, 0.3], variance=[0.5, 0.25, 1.5])(kl.Rescaling(0.5)(x))
    return keras.Model(x, kl.Conv2D(4, 3)(y))


def conv2d_transpose():
    x = _image()
    return keras.Model(x, kl.Conv2DTranspose(4, 3, strides=2, padding="same")(x))


def conv2d_transpose_batch_norm():
    x = _image()
    y = kl.Conv2DTranspose(4, 2, strides=2, use_bias=False)(x)
    return keras.Model(x, kl.ReLU()(kl.BatchNormalization()(y)))


def prelu():
    x = _image()
    y = kl.PReLU(shared_axes=[1, 2])(kl.Conv2D(4, 3)(x))
    return keras.Model(x, y)


def prelu_on_vector():
    x = keras.Input((6,), name="features")
    return keras.Model(x, kl.PReLU()(kl.Dense(5)(x)))


def resizing():
    x = _image()
    return keras.Model(x, kl.Resizing(16, 24, interpolation="nearest")(kl.Conv2D(4, 3)(x)))


def resizing_bilinear():
    x = _image()
    return keras.Model(x, kl.Resizing(12, 12)(kl.Conv2D(4, 3)(x)))


def dense_relu_dense():
    x = keras.Input((6,), name="features")
    return keras.Model(x, kl.Dense(5)(kl.Dense(7, activation="relu6")(x)))


CASES = {
    build.__name__: build
    for build in (
        conv2d,
        conv2d_no_bias_stride_valid,
        conv2d_fused_activation,
        conv2d_dilated,
        depthwise,
        depthwise_multiplier,
        depthwise_one_channel,
        separable,
        dense,
        dense_chain,
        batch_norm_after_conv,
        batch_norm_after_depthwise,
        batch_norm_after_dense,
        batch_norm_alone,
        batch_norm_on_vector,
        normalization,
        relu_on_its_own,
        two_relus_on_one_tensor,
        relu_after_add,
        concatenate,
        concatenate_mixed_activations,
        concatenate_with_sigmoid,
        concatenate_with_input,
        zero_padding,
        symmetric_padding,
        max_pool,
        average_pool,
        global_average_pool,
        global_average_pool_keepdims,
        mean_of_uneven_count,
        global_max_pool,
        reshape,
        flatten_dense,
        dropout,
        softmax_layer,
        sigmoid_in_the_middle,
        upsample_nearest,
        upsample_bilinear,
        shared_layer,
        shared_layer_two_batch_norms,
        nested_model,
        sequential,
        two_outputs,
        multiply,
        squeeze_and_excite,
        subtract,
        maximum,
        minimum,
        leaky_relu,
        tanh,
        silu,
        hard_sigmoid,
        hard_sigmoid_on_vector,
        hard_swish,
        rescaling,
        rescaling_and_normalization,
        bare_operations,
        depthwise_then_scaled,
        cropping,
        permute,
        conv2d_transpose,
        conv2d_transpose_batch_norm,
        prelu,
        prelu_on_vector,
        resizing,
        resizing_bilinear,
        dense_relu_dense,
    )
}


def random_model(name, seed=0):
    """Return the case with every weight drawn at random, BatchNorm statistics included."""
    keras.utils.clear_session()
    model = CASES[name]()
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        path = weight.path.rsplit("/", 1)[-1]
        if path in ("moving_variance", "gamma"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif path != "seed_generator_state":
            weight.assign(rng.normal(0, 0.4, weight.shape))
    return model


def random_input(model, count=16, seed=1):
    """Return inputs on the pixel grid: (p - 128) / 127.5 with p in 0..255."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *model.input_shape[1:]))
    return ((pixels - 128) / 127.5).astype(np.float32)
