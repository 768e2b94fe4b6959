"""A backbone of four convolutions, so that a whole training takes seconds.

python -m tests.tiny_backbone COMMAND … is the command line with it instead of MobileNetV2.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from unittest import mock


@contextlib.contextmanager
def registered(name="tiny"):
    """Let this process know it, as [model] backbone = NAME."""
    from quantdet.models.backbones import BACKBONES

    entry = replace(
        BACKBONES["mobilenet_v2"],
        build=build_tiny,
        features={16: "relu2", 32: "out_relu"},
        packaged=None,
    )
    with mock.patch.dict(BACKBONES, {name: entry}):
        yield name


def instead():
    """Let this process take it for MobileNetV2."""
    return registered("mobilenet_v2")


def build_tiny(input_size, width, style):
    """Four convolutions with BatchNorm, stride 32, ending in "out_relu" as every backbone does."""
    import keras

    picture = x = keras.Input((input_size, input_size, 3), name="image")
    x = keras.layers.Normalization(
        axis=-1, mean=list(style.mean), variance=list(style.variance), name="normalization"
    )(x)
    for index, stride in enumerate((4, 4, 2)):
        x = keras.layers.Conv2D(
            8, 3, stride, padding="same", use_bias=False, name=f"Conv{index + 1}"
        )(x)
        x = keras.layers.BatchNormalization(name=f"bn_Conv{index + 1}")(x)
        x = keras.layers.ReLU(6.0, name=f"relu{index + 1}")(x)
    x = keras.layers.Conv2D(16, 1, use_bias=False, name="Conv_1")(x)
    x = keras.layers.BatchNormalization(name="Conv_1_bn")(x)
    return keras.Model(picture, keras.layers.ReLU(6.0, name="out_relu")(x), name="tiny")


if __name__ == "__main__":
    from quantdet.cli import main

    with instead():
        main()
