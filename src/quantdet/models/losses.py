"""Losses of the two localizer heads, in ``keras.ops`` so that every backend runs them.

One loss per model output. Keras adds them up unweighted.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from quantdet.quant.tensors import Tensor

Metric = Callable[[Tensor, Tensor], Tensor]
"""(targets, predictions) → figure."""
_EPSILON = 1e-7
# Half a step of probabilities with 8 bits.
_LEAST_SCORE = 1 / 512
_FOCAL_ALPHA = 0.25
_FOCAL_GAMMA = 2.0


class FocalCells(keras.losses.Loss):
    """Sigmoid focal loss over cells and classes, divided by the number of positive cells.

    FL(p) = -alpha_t (1 - p_t)^gamma log(p_t), alpha 0.25, gamma 2 (Lin et al. 2017,
    arXiv:1708.02002, equation 5).

    Targets (B, N, C + 1): one-hot class of each cell (all zero: nothing there), then its
    weight: 0 where the cell must not count, e.g. inside a difficult object.
    Predictions (B, N, C): logits.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the scalar loss of a batch."""
        wanted, weight = y_true[..., :-1], y_true[..., -1:]
        # log(sigmoid(x)) without overflow; softplus(-x) = -log(sigmoid(x)).
        cross_entropy = wanted * ops.softplus(-y_pred) + (1.0 - wanted) * ops.softplus(y_pred)
        probability = ops.sigmoid(y_pred)
        wrong = wanted * (1.0 - probability) + (1.0 - wanted) * probability
        alpha = wanted * _FOCAL_ALPHA + (1.0 - wanted) * (1.0 - _FOCAL_ALPHA)
        loss = ops.sum(weight * alpha * ops.power(wrong, _FOCAL_GAMMA) * cross_entropy)
        return loss / ops.maximum(ops.sum(weight * wanted), 1.0)


class ScoresOnGrid(keras.losses.Loss):
    """Cross-entropy of probabilities that were rounded to 8 bits: -log p of the right class.

    Less than half a step reads 0 there. With Keras' loss one such picture costs -log(1e-7), as
    much as dozens of others, and has no gradient. Here it counts as half a step, with its gradient.

    Targets (B,): class ids. Predictions (B, C): probabilities.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each picture."""
        ids = ops.reshape(ops.cast(y_true, "int32"), (-1, 1))
        right = ops.take_along_axis(y_pred, ids, axis=-1)[:, 0]
        # The value is raised, the gradient passes.
        raised = right + ops.stop_gradient(ops.maximum(right, _LEAST_SCORE) - right)
        return -ops.log(raised)


class HuberOffsets(keras.losses.Loss):
    """Huber loss of encoded boxes with delta 1, summed over the four, mean over positives.

    Targets (B, N, 5): encoded box, then 1 for positive anchors and 0 for others.
    Predictions (B, N, 4). A quarter enters the total, which keeps it near the focal loss.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the scalar loss of a batch."""
        distance = ops.abs(y_true[..., :4] - y_pred)
        huber = ops.where(distance < 1.0, 0.5 * distance**2, distance - 0.5)
        weight = y_true[..., 4]
        total = ops.sum(weight * ops.sum(huber, axis=-1))
        return 0.25 * total / ops.maximum(ops.sum(weight), 1.0)


class GiouCells(keras.losses.Loss):
    """1 - GIoU between boxes around the same centre, mean over positive cells.

    GIoU = IoU - (hull - union) / hull (Rezatofighi et al. 2019, arXiv:1902.09630). Both boxes
    are distances left, top, right, bottom from one centre, so intersection and hull come from
    elementwise minima and maxima (Yu et al. 2016, arXiv:1608.01471, algorithm 1).

    Targets (B, N, 5): the four distances, then 1 for positive cells and 0 for others.
    Predictions (B, N, 4): distances in the same unit.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the scalar loss of a batch, in [0, 2]."""
        wanted, weight = y_true[..., :4], y_true[..., 4]
        loss = weight * (1.0 - giou_ltrb(wanted, y_pred))
        return ops.sum(loss) / ops.maximum(ops.sum(weight), 1.0)


def giou_ltrb(a: Tensor, b: Tensor) -> Tensor:
    """Return GIoU in [-1, 1] of boxes (..., 4) given as distances from a common centre."""
    both, hull = _area(ops.minimum(a, b)), _area(ops.maximum(a, b))
    union = _area(a) + _area(b) - both
    return both / ops.maximum(union, _EPSILON) - (hull - union) / ops.maximum(hull, _EPSILON)


def _area(ltrb: Tensor) -> Tensor:
    return (ltrb[..., 0] + ltrb[..., 2]) * (ltrb[..., 1] + ltrb[..., 3])


def losses_for(head: str) -> dict[str, keras.losses.Loss]:
    """Return output name → loss for a localizer head.

    "global" has the reference note's: mean squared error of the four box numbers, and
    cross-entropy with class index 0 for background.
    """
    if head == "global":
        return {
            "boxes": keras.losses.MeanSquaredError(),
            "scores": keras.losses.SparseCategoricalCrossentropy(),
        }
    return {"boxes": GiouCells(), "scores": FocalCells()}


def quantized_losses_for(head: str) -> dict[str, keras.losses.Loss]:
    """Return output name → loss, where a quantized localizer needs another one than float."""
    return {"scores": ScoresOnGrid()} if head == "global" else {}


def accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Metric of the "global" head: the most probable class is the right one, per picture."""
    wanted = ops.reshape(ops.cast(y_true, "int32"), (-1,))
    return ops.cast(ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), wanted), "float32")


def iou(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Metric of the "global" head: IoU of boxes (B, 4) of ordered corners, per picture."""
    low = ops.maximum(y_true[..., :2], y_pred[..., :2])
    high = ops.minimum(y_true[..., 2:], y_pred[..., 2:])
    both = ops.prod(ops.maximum(high - low, 0.0), axis=-1)
    areas = [ops.prod(ops.maximum(b[..., 2:] - b[..., :2], 0.0), axis=-1) for b in (y_true, y_pred)]
    return both / ops.maximum(areas[0] + areas[1] - both, _EPSILON)


def cell_accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Metric of the "grid" head: share of a batch's object cells whose best class is right."""
    wanted = ops.cast(y_true[..., :-1], y_pred.dtype)
    positive = ops.sum(wanted, axis=-1)
    right = ops.equal(ops.argmax(y_pred, axis=-1), ops.argmax(wanted, axis=-1))
    return ops.sum(positive * ops.cast(right, "float32")) / ops.maximum(ops.sum(positive), 1.0)


def metrics_for(head: str) -> dict[str, list[Metric]]:
    """Return output name → metrics to show with the losses of a localizer head."""
    if head == "global":
        return {"boxes": [iou], "scores": [accuracy]}
    return {"scores": [cell_accuracy]}
