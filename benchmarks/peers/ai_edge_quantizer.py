"""The operators that ai-edge-quantizer 0.11 knows, each as a small Keras 3 net.

Source: ai_edge_quantizer/qtyping.py, TFLOperationName, without its '*', INPUT, OUTPUT, CUSTOM_OP
and STABLEHLO_COMPOSITE, which are no operators of LiteRT's own. An operator that Keras has as a
layer and as an operation is built as both ("OPERATOR.layer", "OPERATOR.ops"); it passes when
both do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Nets for which LiteRT's float converter writes another operator, and which: no Keras net brings
# out an EMBEDDING_LOOKUP; Keras repeats pixels where LiteRT has an operator for that.
OTHERWISE_CONVERTED = {
    "EMBEDDING_LOOKUP.layer": "GATHER",
    "EMBEDDING_LOOKUP.ops": "GATHER",
    "RESIZE_NEAREST_NEIGHBOR.layer": "TILE",
}


def _numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def on_maps(operation: Callable, batch: int | None = None):
    """Return a builder: convolution, then ``operation(keras, maps of 10 x 10 x 4)``."""

    def build(keras):
        x = keras.Input((12, 12, 3), batch_size=batch)
        return keras.Model(x, operation(keras, keras.layers.Conv2D(4, 3)(x)))

    return build


def before_convolution(operation: Callable):
    """Return a builder: ``operation(keras, picture)``, fused if it came behind a convolution."""

    def build(keras):
        x = keras.Input((12, 12, 3))
        return keras.Model(x, keras.layers.Conv2D(4, 3)(operation(keras, x)))

    return build


def on_two_maps(operation: Callable, batch: int | None = None):
    """Return a builder: two convolutions, then ``operation(keras, maps, maps)``."""

    def build(keras):
        x = keras.Input((12, 12, 3), batch_size=batch)
        maps = [keras.layers.Conv2D(4, 3)(x) for _ in range(2)]
        return keras.Model(x, operation(keras, *maps))

    return build


def on_vectors(operation: Callable):
    """Return a builder: ``operation(keras, input of 16 features)``."""

    def build(keras):
        x = keras.Input((16,))
        return keras.Model(x, operation(keras, x))

    return build


def on_tokens(operation: Callable):
    """Return a builder: ``operation(keras, 10 integers below 10)``."""

    def build(keras):
        x = keras.Input((10,), dtype="int32")
        return keras.Model(x, operation(keras, x))

    return build


def on_two_switches(operation: Callable):
    """Return a builder: maps of 0 or 6 nearly everywhere, so that equality means something."""

    def build(keras):
        x = keras.Input((12, 12, 3))
        steep = keras.initializers.RandomNormal(stddev=50.0, seed=1)
        maps = [
            keras.layers.Conv2D(4, 3, activation="relu6", kernel_initializer=steep)(x),
            keras.layers.Conv2D(4, 3, activation="relu6", kernel_initializer="he_normal")(50 * x),
        ]
        return keras.Model(x, operation(keras, *maps))

    return build


def activation(name):
    return on_maps(lambda keras, x: keras.layers.Activation(name)(x))


def _tokens(keras, maps):
    return keras.layers.Reshape((100, 4))(maps)


def _attention_scores(keras, a, b):
    a, b = _tokens(keras, a), _tokens(keras, b)
    return keras.ops.matmul(a, keras.ops.transpose(b, (0, 2, 1)))


def _squared_difference(keras, x):
    mean, variance = keras.ops.moments(x, axes=[-1], keepdims=True)
    return mean + variance


def _every_other_pixel(keras, x):
    places = np.meshgrid([0], np.arange(0, 10, 2), np.arange(0, 10, 2), range(4), indexing="ij")
    return keras.ops.image.map_coordinates(x, np.stack(places).astype(np.float32), order=0)


def _as_number(keras, truth):
    return keras.ops.cast(truth, "float32")


FORMS = {
    "FULLY_CONNECTED": {
        "layer": on_vectors(lambda keras, x: keras.layers.Dense(5)(x)),
        "ops": on_vectors(lambda keras, x: keras.ops.matmul(x, _numbers(16, 5))),
    },
    "BATCH_MATMUL": {
        "layer": on_two_maps(
            lambda keras, a, b: keras.layers.Dot(axes=2)([_tokens(keras, a), _tokens(keras, b)])
        ),
        "ops": on_two_maps(_attention_scores),
    },
    "DEPTHWISE_CONV_2D": {
        "layer": on_maps(lambda keras, x: keras.layers.DepthwiseConv2D(3)(x)),
        "ops": on_maps(lambda keras, x: keras.ops.depthwise_conv(x, _numbers(3, 3, 4, 1))),
    },
    "CONV_2D": {
        "layer": on_maps(lambda keras, x: keras.layers.Conv2D(5, 3)(x)),
        "ops": on_maps(lambda keras, x: keras.ops.conv(x, _numbers(3, 3, 4, 5))),
    },
    "CONV_2D_TRANSPOSE": {
        # Not as operation: that of Keras 3.15 mixes up its arguments in a functional model.
        "layer": on_maps(lambda keras, x: keras.layers.Conv2DTranspose(5, 3, strides=2)(x)),
    },
    "AVERAGE_POOL_2D": {
        "layer": on_maps(lambda keras, x: keras.layers.AveragePooling2D(2)(x)),
        "ops": on_maps(lambda keras, x: keras.ops.average_pool(x, 2, 2)),
    },
    "RESHAPE": {
        "layer": on_maps(lambda keras, x: keras.layers.Reshape((50, 8))(x)),
        "ops": on_maps(lambda keras, x: keras.ops.reshape(x, (-1, 50, 8))),
    },
    "EMBEDDING_LOOKUP": {
        "layer": on_tokens(lambda keras, x: keras.layers.Embedding(10, 8)(x)),
        "ops": on_tokens(lambda keras, x: keras.ops.take(_numbers(10, 8), x, axis=0)),
    },
    "SOFTMAX": {
        "layer": on_maps(lambda keras, x: keras.layers.Softmax()(x)),
        "ops": on_maps(lambda keras, x: keras.ops.softmax(x)),
    },
    "TANH": {
        "layer": activation("tanh"),
        "ops": on_maps(lambda keras, x: keras.ops.tanh(x)),
    },
    "TRANSPOSE": {
        "layer": on_maps(lambda keras, x: keras.layers.Permute((3, 1, 2))(x)),
        "ops": on_maps(lambda keras, x: keras.ops.transpose(x, (0, 3, 1, 2))),
    },
    "GELU": {
        "layer": activation("gelu"),
        "ops": on_maps(lambda keras, x: keras.ops.gelu(x, approximate=False)),
    },
    "ADD": {
        "layer": on_two_maps(lambda keras, a, b: keras.layers.Add()([a, b])),
        "ops": on_two_maps(lambda keras, a, b: a + b),
    },
    "SUB": {
        "layer": on_two_maps(lambda keras, a, b: keras.layers.Subtract()([a, b])),
        "ops": on_two_maps(lambda keras, a, b: a - b),
    },
    "MUL": {
        "layer": on_two_maps(lambda keras, a, b: keras.layers.Multiply()([a, b])),
        "ops": on_two_maps(lambda keras, a, b: a * b),
    },
    "MEAN": {
        "layer": on_maps(lambda keras, x: keras.layers.GlobalAveragePooling2D()(x)),
        "ops": on_maps(lambda keras, x: keras.ops.mean(x, axis=(1, 2))),
    },
    "RSQRT": {
        "ops": on_maps(lambda keras, x: keras.ops.rsqrt(keras.layers.Activation("sigmoid")(x))),
    },
    "CONCATENATION": {
        "layer": on_two_maps(lambda keras, a, b: keras.layers.Concatenate()([a, b])),
        "ops": on_two_maps(lambda keras, a, b: keras.ops.concatenate([a, b], axis=-1)),
    },
    "STRIDED_SLICE": {
        "layer": on_maps(lambda keras, x: keras.layers.Cropping2D(2)(x)),
        "ops": on_maps(lambda keras, x: x[:, ::2, 1::2, :]),
    },
    "SPLIT": {
        "ops": on_maps(lambda keras, x: keras.ops.split(x, 2, axis=-1)),
    },
    "LOGISTIC": {
        "layer": activation("sigmoid"),
        "ops": on_maps(lambda keras, x: keras.ops.sigmoid(x)),
    },
    "SLICE": {
        "ops": on_maps(lambda keras, x: keras.ops.slice(x, (0, 1, 1, 0), (1, 8, 8, 2)), batch=1),
    },
    "SUM": {
        "ops": on_maps(lambda keras, x: keras.ops.sum(x, axis=(1, 2))),
    },
    "SELECT": {
        # With any batch size it would be a SELECT_V2.
        "ops": on_two_maps(lambda keras, a, b: keras.ops.where(a > b, a, b), batch=1),
    },
    "SELECT_V2": {
        "ops": on_two_maps(lambda keras, a, b: keras.ops.where(a[..., :1] > b[..., :1], a, b)),
    },
    "DYNAMIC_UPDATE_SLICE": {
        "ops": on_two_maps(
            lambda keras, a, b: keras.ops.slice_update(a, (0, 1, 1, 0), b[:, :4, :4, :])
        ),
    },
    "PAD": {
        "layer": on_maps(lambda keras, x: keras.layers.ZeroPadding2D(2)(x)),
        "ops": on_maps(lambda keras, x: keras.ops.pad(x, ((0, 0), (1, 2), (2, 1), (0, 0)))),
    },
    "SQUARED_DIFFERENCE": {
        "layer": on_maps(lambda keras, x: keras.layers.LayerNormalization()(x)),
        "ops": on_maps(_squared_difference),
    },
    "MAX_POOL_2D": {
        "layer": on_maps(lambda keras, x: keras.layers.MaxPooling2D(2)(x)),
        "ops": on_maps(lambda keras, x: keras.ops.max_pool(x, 2, 2)),
    },
    "RESIZE_BILINEAR": {
        "layer": on_maps(
            lambda keras, x: keras.layers.UpSampling2D(2, interpolation="bilinear")(x)
        ),
        "ops": on_maps(lambda keras, x: keras.ops.image.resize(x, (20, 20))),
    },
    "RESIZE_NEAREST_NEIGHBOR": {
        "layer": on_maps(lambda keras, x: keras.layers.UpSampling2D(2)(x)),
        "ops": on_maps(
            lambda keras, x: keras.ops.image.resize(x, (20, 20), interpolation="nearest")
        ),
    },
    "GATHER_ND": {
        "ops": on_maps(_every_other_pixel, batch=1),
    },
    "PACK": {
        "ops": on_two_maps(lambda keras, a, b: keras.ops.stack([a, b], axis=1)),
    },
    "UNPACK": {
        "ops": on_maps(lambda keras, x: keras.ops.unstack(x, axis=-1)),
    },
    "DIV": {
        "ops": on_two_maps(lambda keras, a, b: a / keras.layers.Activation("sigmoid")(b)),
    },
    "BROADCAST_TO": {
        "ops": on_maps(lambda keras, x: keras.ops.broadcast_to(x[:, :1], (1, 10, 10, 4)), batch=1),
    },
    "SQRT": {
        "ops": on_maps(lambda keras, x: keras.ops.sqrt(keras.layers.Activation("sigmoid")(x))),
    },
    "GATHER": {
        "ops": on_maps(lambda keras, x: keras.ops.take(x, np.array([3, 0, 1]), axis=-1)),
    },
    "HARD_SWISH": {
        "layer": activation("hard_swish"),
        "ops": on_maps(lambda keras, x: keras.ops.hard_swish(x)),
    },
    "MAXIMUM": {
        "layer": on_two_maps(lambda keras, a, b: keras.layers.Maximum()([a, b])),
        "ops": on_two_maps(lambda keras, a, b: keras.ops.maximum(a, b)),
    },
    "PADV2": {
        "ops": on_maps(
            lambda keras, x: keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)
        ),
    },
    "REDUCE_MIN": {
        "ops": on_maps(lambda keras, x: keras.ops.min(x, axis=(1, 2))),
    },
    "EQUAL": {
        "ops": on_two_switches(lambda keras, a, b: _as_number(keras, keras.ops.equal(a, b))),
    },
    "NOT_EQUAL": {
        "ops": on_two_switches(lambda keras, a, b: _as_number(keras, keras.ops.not_equal(a, b))),
    },
    "MIRROR_PAD": {
        "ops": on_maps(
            lambda keras, x: keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        ),
    },
    "SPACE_TO_DEPTH": {
        "ops": on_maps(lambda keras, x: keras.ops.space_to_depth(x, 2)),
    },
    "RELU": {
        "layer": before_convolution(lambda keras, x: keras.layers.ReLU()(x)),
        "ops": before_convolution(lambda keras, x: keras.ops.relu(x)),
    },
}
NETS = {
    f"{operator}.{form}": build
    for operator, forms in FORMS.items()
    for form, build in forms.items()
}
