"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) as one flat functional graph.

Layers carry the names of keras.applications, so that its weight files fit by name. Differences
to keras.applications: a Normalization layer in front, padding and epsilon by choice, and
"same" convolutions instead of explicit padding at stride 2 (equal for even map sizes, and no
PAD operator on the device).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.models.style import KERAS_STYLE, BackboneStyle
from quantdet.quant.tensors import Tensor


@dataclass(frozen=True)
class _Block:
    """One inverted residual: expansion factor, output channels at width 1, stride."""

    index: int
    expansion: int
    channels: int
    stride: int

    @property
    def prefix(self) -> str:
        return f"block_{self.index}_" if self.index else "expanded_conv_"


# Table 2 of the paper: expansion t, channels c, repeats n, stride s of the first.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _blocks() -> Iterator[_Block]:
    index = 0
    for expansion, channels, repeats, stride in _STAGES:
        for repeat in range(repeats):
            yield _Block(index, expansion, channels, stride if repeat == 0 else 1)
            index += 1


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round a channel number to a multiple of ``divisor``, never more than 10 % down."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def mobilenet_v2(input_size: int, width: float, style: BackboneStyle = KERAS_STYLE) -> keras.Model:
    """Build the convolutional part with random weights.

    Args:
        input_size: side of the square input picture in pixels, divisible by 32.
        width: channel multiplier, 0.35 to 1.4.
        style: conventions of the weights that will be loaded.

    Returns:
        A flat functional model: float32 (B, S, S, 3), real = (pixel - 128) / 127.5, to the
        feature map "out_relu" (B, S/32, S/32, 1280 or more), range [0, 6]. The stride-16 map
        for detectors is the layer "block_13_expand_relu".
    """
    picture = keras.Input((input_size, input_size, 3), name="image")
    x = keras.layers.Normalization(
        axis=-1, mean=list(style.mean), variance=list(style.variance), name="normalization"
    )(picture)
    make = _Layers(style)
    x = make.convolution(x, "Conv1", make_divisible(32 * width), kernel=3, stride=2)
    x = make.normalized(x, "bn_Conv1", "Conv1_relu")
    for block in _blocks():
        x = make.inverted_residual(x, block, make_divisible(int(block.channels * width)))
    # The last layer is never made thinner than 1280 (paper, section 5).
    x = make.convolution(x, "Conv_1", make_divisible(1280 * max(width, 1.0)))
    x = make.normalized(x, "Conv_1_bn", "out_relu")
    return keras.Model(picture, x, name="mobilenet_v2")


class _Layers:
    """Layer calls under one style."""

    def __init__(self, style: BackboneStyle) -> None:
        self._style = style

    def normalized(self, x: Tensor, name: str, relu: str = "") -> Tensor:
        x = keras.layers.BatchNormalization(epsilon=self._style.epsilon, momentum=0.999, name=name)(
            x
        )
        return keras.layers.ReLU(6.0, name=relu)(x) if relu else x

    def convolution(
        self, x: Tensor, name: str, channels: int, *, kernel: int = 1, stride: int = 1
    ) -> Tensor:
        x, padding = self._padded(x, f"{name}_pad", stride)
        layer = keras.layers.Conv2D(
            channels, kernel, strides=stride, padding=padding, use_bias=False, name=name
        )
        return layer(x)

    def inverted_residual(self, x: Tensor, block: _Block, channels: int) -> Tensor:
        inputs, prefix = x, block.prefix
        if block.index:
            x = self.convolution(x, f"{prefix}expand", block.expansion * inputs.shape[-1])
            x = self.normalized(x, f"{prefix}expand_BN", f"{prefix}expand_relu")
        x, padding = self._padded(x, f"{prefix}pad", block.stride)
        x = keras.layers.DepthwiseConv2D(
            3,
            strides=block.stride,
            padding=padding,
            use_bias=False,
            name=f"{prefix}depthwise",
        )(x)
        x = self.normalized(x, f"{prefix}depthwise_BN", f"{prefix}depthwise_relu")
        x = self.convolution(x, f"{prefix}project", channels)
        x = self.normalized(x, f"{prefix}project_BN")
        if block.stride == 1 and inputs.shape[-1] == channels:
            x = keras.layers.Add(name=f"{prefix}add")([inputs, x])
        return x

    def _padded(self, x: Tensor, name: str, stride: int) -> tuple[Tensor, str]:
        """Return the input of a convolution and the padding it shall use itself."""
        if stride == 1 or self._style.padding == "same":
            return x, "same"
        return keras.layers.ZeroPadding2D(1, name=name)(x), "valid"


def torch_names() -> dict[str, str]:
    """Return torchvision's tensor name → our "layer/variable" name, without the classifier."""
    names = {"features.0.0.weight": "Conv1/kernel", **_torch_norm("features.0.1", "bn_Conv1")}
    for block in _blocks():
        base, prefix = f"features.{block.index + 1}.conv", block.prefix
        # Each part is a ConvBNReLU of its own; the projection is a bare conv and BatchNorm.
        parts = ["expand", "depthwise"] if block.index else ["depthwise"]
        for i, part in enumerate(parts):
            names[f"{base}.{i}.0.weight"] = f"{prefix}{part}/kernel"
            names |= _torch_norm(f"{base}.{i}.1", f"{prefix}{part}_BN")
        names[f"{base}.{len(parts)}.weight"] = f"{prefix}project/kernel"
        names |= _torch_norm(f"{base}.{len(parts) + 1}", f"{prefix}project_BN")
    names["features.18.0.weight"] = "Conv_1/kernel"
    return names | _torch_norm("features.18.1", "Conv_1_bn")


def width_of(arrays: Mapping[str, NDArray[np.number]]) -> float:
    """Return the width of folded weights, from the last block: exact for multiples of 0.025."""
    last = list(_blocks())[-1]
    return arrays[f"{last.prefix}project/bias"].size / last.channels


def _torch_norm(torch: str, layer: str) -> dict[str, str]:
    return {
        f"{torch}.weight": f"{layer}/gamma",
        f"{torch}.bias": f"{layer}/beta",
        f"{torch}.running_mean": f"{layer}/moving_mean",
        f"{torch}.running_var": f"{layer}/moving_variance",
    }


def keras_url(width: float, input_size: int) -> str | None:
    """Return the address of keras.applications' file without the classifier."""
    if width not in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4):
        return None
    # Other sizes use the weights trained at 224, as keras.applications does.
    side = input_size if input_size in (96, 128, 160, 192, 224) else 224
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(width)}_{side}_no_top.h5"
    return f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/{name}"
