"""``localizer``: one object per picture, class and box.

Two heads on the same backbone, chosen by [model] head:

- "global" is the reference note's: global average pool, one box, softmax over background and
  classes.
- "grid" keeps the map: every cell predicts a box and class logits, in the manner of FCOS (Tian
  et al. 2019, arXiv:1904.01355) on one level. The best cell is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import keras

from quantdet.config import ModelConfig
from quantdet.errors import ModelError
from quantdet.models.style import KERAS_STYLE
from quantdet.models.weight_files import WeightSet, assign_weights
from quantdet.models.weights import find_backbone
from quantdet.quant.tensors import Tensor

_POOL = "global_pool"
_GRID_CHANNELS = 256
# Focal loss starts well when every cell first says "nothing" with probability 0.99
# (Lin et al. 2017, arXiv:1708.02002, section 4.1).
_PRIOR_LOGIT = -math.log((1 - 0.01) / 0.01)


def head_input(config: ModelConfig) -> str:
    """Return the layer whose output the head reads; everything up to there is the backbone.

    Raises:
        ConfigError: unknown backbone.
    """
    if config.head == "global":
        return _POOL
    return find_backbone(config.backbone).features[32]


def build_localizer(
    config: ModelConfig, num_classes: int, weights: WeightSet | None = None
) -> keras.Model:
    """Build the single-object model.

    Args:
        config: the [model] section.
        num_classes: classes without background.
        weights: of the backbone; None leaves it random (an explicit ``weights = "none"``).

    Returns:
        A flat functional model. Input "image": float32 (B, S, S, 3), RGB,
        real = (pixel - 128) / 127.5. Outputs by name, for head "global":
            boxes (B, 4): ymin, xmin, ymax, xmax as fractions of the picture, in [0, 1];
            scores (B, num_classes + 1): probabilities, index 0 is background.
        For head "grid" with N = (S / 32)² cells in row order:
            boxes (B, N, 4): distances from the cell centre to the left, top, right and bottom
                edge as fractions of the picture, in [0, 1];
            scores (B, N, num_classes): logits, one sigmoid per class, no background.

    Raises:
        ModelError: no class, or ``weights`` do not fit the backbone.
        ConfigError: unknown backbone.
    """
    if num_classes < 1:
        raise ModelError("a model needs at least one class; the data set has no labels")
    backbone = find_backbone(config.backbone)
    style = KERAS_STYLE if weights is None else weights.style
    base = backbone.build(config.input_size, config.width, style)
    if weights is not None:
        assign_weights(base.layers, weights)
    features = base.get_layer(backbone.features[32]).output
    outputs = HEADS[config.head](features, num_classes)
    return keras.Model(base.input, outputs, name="localizer")


def _global_head(features: Tensor, num_classes: int) -> dict[str, Tensor]:
    x = keras.layers.GlobalAveragePooling2D(name=_POOL)(features)
    # Linear layer and activation apart: the quantizer rounds the logits between them.
    box = keras.layers.Dense(4, name="bbox_head")(x)
    logits = keras.layers.Dense(num_classes + 1, name="class_head")(x)
    return {
        "boxes": keras.layers.Activation("sigmoid", name="bbox_sigmoid")(box),
        "scores": keras.layers.Activation("softmax", name="class_softmax")(logits),
    }


def _grid_head(features: Tensor, num_classes: int) -> dict[str, Tensor]:
    cells = features.shape[1] * features.shape[2]
    x = keras.layers.Conv2D(_GRID_CHANNELS, 1, name="head_reduce")(features)
    x = keras.layers.ReLU(6.0, name="head_reduce_relu")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="head_depthwise")(x)
    x = keras.layers.ReLU(6.0, name="head_depthwise_relu")(x)
    x = keras.layers.Conv2D(_GRID_CHANNELS, 1, name="head_mix")(x)
    x = keras.layers.ReLU(6.0, name="head_mix_relu")(x)
    box = keras.layers.Conv2D(4, 1, name="bbox_head")(x)
    box = keras.layers.Activation("sigmoid", name="bbox_sigmoid")(box)
    prior = keras.initializers.Constant(_PRIOR_LOGIT)
    logits = keras.layers.Conv2D(num_classes, 1, bias_initializer=prior, name="class_head")(x)
    return {
        "boxes": keras.layers.Reshape((cells, 4), name="boxes_flat")(box),
        "scores": keras.layers.Reshape((cells, num_classes), name="scores_flat")(logits),
    }


HEADS: dict[str, Callable[[Tensor, int], dict[str, Tensor]]] = {
    "global": _global_head,
    "grid": _grid_head,
}
"""[model] head → function (stride-32 features, num_classes) → outputs by name."""
