"""Losses of detectors that neither Keras has, in TensorFlow: every worker trains with these.

They are those of quantdet.models.losses, which legacy Keras cannot load.
"""

from __future__ import annotations

import tensorflow as tf


def focal(y_true, y_pred):
    """Sigmoid focal loss, alpha 0.25, gamma 2, per positive anchor.

    Targets (B, N, C + 1): one-hot class, then the weight of the anchor; predictions: logits.
    """
    wanted, weight = y_true[..., :-1], y_true[..., -1:]
    cross_entropy = wanted * tf.nn.softplus(-y_pred) + (1.0 - wanted) * tf.nn.softplus(y_pred)
    probability = tf.sigmoid(y_pred)
    wrong = wanted * (1.0 - probability) + (1.0 - wanted) * probability
    alpha = wanted * 0.25 + (1.0 - wanted) * 0.75
    total = tf.reduce_sum(weight * alpha * wrong**2 * cross_entropy)
    return total / tf.maximum(tf.reduce_sum(weight * wanted), 1.0)


def huber(y_true, y_pred):
    """A quarter of the Huber loss of encoded boxes, mean over positive anchors.

    Targets (B, N, 5): encoded box, then 1 for positive anchors; predictions (B, N, 4).
    """
    distance = tf.abs(y_true[..., :4] - y_pred)
    each = tf.where(distance < 1.0, 0.5 * distance**2, distance - 0.5)
    weight = y_true[..., 4]
    total = tf.reduce_sum(weight * tf.reduce_sum(each, axis=-1))
    return 0.25 * total / tf.maximum(tf.reduce_sum(weight), 1.0)


LOSSES = {"focal": focal, "huber": huber}
