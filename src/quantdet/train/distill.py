"""Train a model to follow a teacher (Hinton et al. 2015, arXiv:1503.02531).

Of a quantized model the teacher is its float self: a fitted net that is trained on the labels again
forgets; one that is trained to answer as its float self does only learns to make up for rounding.
Of a float model it is the detector that it started from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import keras
from keras import ops

from quantdet.errors import ConfigError
from quantdet.quant.fold import fold_batch_norm
from quantdet.quant.tensors import Tensor
from quantdet.train.recorder import TrainingTask
from quantdet.train.validation import StudentOnly

Agreement = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(targets, student's answer, teacher's answer) → scalar, 0 where both agree."""


def with_teacher(
    student: keras.Model, teacher: keras.Model, features: Sequence[str] = (), weight: float = 1.0
) -> keras.Model:
    """Return a model whose outputs are the student's, with the teacher's appended on the last axis.

    Args:
        student: to be trained; outputs by name.
        teacher: a float model; same inputs and outputs. It is frozen in the result.
        features: layers (names after folding, as ``quantdet analyse`` shows them) whose results
            should match, too (FitNets, Romero et al. 2015, arXiv:1412.6550).
        weight: of the features' losses.

    Raises:
        ConfigError: no such layer; the message lists those that there are.
    """
    picture = keras.Input(student.input.shape[1:])
    frozen = _frozen_copy(teacher, features)
    followed = _with_features(student, features, "_quant", "student")
    wanted, given = frozen(picture, training=False), followed(picture)
    joined = {
        name: keras.layers.Concatenate(name=name)([given[name], wanted[name]])
        for name in student.output
    }
    # Any output may carry these losses: each is computed once.
    first = next(iter(joined))
    for feature in features:
        joined[first] = FeatureLoss(weight / len(features))(
            [joined[first], given[feature], wanted[feature]]
        )
    return keras.Model(picture, joined, name="student_and_teacher")


def _frozen_copy(model: keras.Model, features: Sequence[str]) -> keras.Model:
    if features:
        # Without BatchNorm its layers are those of the student.
        copy = fold_batch_norm(model)
    else:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    # Both models have layers of the same names; inside a model of its own name they do not clash.
    frozen = _with_features(copy, features, "", "teacher")
    frozen.trainable = False
    return frozen


def _with_features(
    model: keras.Model, features: Sequence[str], ending: str, name: str
) -> keras.Model:
    known = {
        layer.name.removesuffix(ending): layer.output
        for layer in model.layers
        if layer.name.endswith(ending)
    }
    for feature in features:
        if feature not in known:
            raise ConfigError(
                f"qat.distill_features: the trained model has no layer {feature!r}; choose one of "
                + ", ".join(known)
            )
    return keras.Model(model.input, {**model.output, **{f: known[f] for f in features}}, name=name)


class FeatureLoss(keras.layers.Layer):
    """Passes its first input on and adds the loss of the two others, student's and teacher's.

    loss = weight * mean((student - teacher)^2) / mean(teacher^2), so that layers of every
    magnitude count the same.
    """

    def __init__(self, weight: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._weight = weight

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the first input."""
        passed, student, teacher = inputs
        power = ops.mean(ops.square(teacher)) + keras.config.epsilon()
        self.add_loss(self._weight * squared_difference(None, student, teacher) / power)
        return passed

    def get_config(self) -> dict[str, object]:
        """Return what :meth:`from_config` needs."""
        return {**super().get_config(), "weight": self._weight}


class FollowTeacher(keras.losses.Loss):
    """Part the labels' loss, part disagreement with the teacher.

    loss = (1 - share) * labels' loss + share * disagreement. Predictions are those of
    :func:`with_teacher`.

    Args:
        labels_loss: loss of targets and the student's answer.
        agreement: see ``Agreement``.
        share: of the teacher, 0 to 1.
    """

    def __init__(self, labels_loss: keras.losses.Loss, agreement: Agreement, share: float) -> None:
        super().__init__()
        self._labels_loss = labels_loss
        self._agreement = agreement
        self._share = share

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the scalar loss of a batch."""
        student, teacher = ops.split(y_pred, 2, axis=-1)
        labels = ops.mean(self._labels_loss.call(y_true, student))
        return (1.0 - self._share) * labels + self._share * self._agreement(
            y_true, student, teacher
        )


def follow(
    losses: Mapping[str, keras.losses.Loss], agreements: Mapping[str, Agreement], share: float
) -> dict[str, keras.losses.Loss]:
    """Return output name → :class:`FollowTeacher`; mean squared error by default."""
    return {
        name: FollowTeacher(loss, agreements.get(name, squared_difference), share)
        for name, loss in losses.items()
    }


def distilled(
    training: TrainingTask, agreements: Mapping[str, Agreement], share: float
) -> TrainingTask:
    """Return how to train what :func:`with_teacher` returns.

    Args:
        training: of the student alone.
        agreements: output name → how far two models' answers are apart.
        share: of the teacher, 0 to 1.
    """
    return replace(
        training,
        losses=follow(training.losses, agreements, share),
        metrics={},
        validator=training.validator and StudentOnly(training.validator),
        teaching=f"distill {share:g}",
    )


def squared_difference(targets: Tensor, student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of the answers."""
    return ops.mean(ops.square(student - teacher))


def logit_agreement(targets: Tensor, student: Tensor, teacher: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of the sigmoids, summed, per positive anchor.

    Args:
        targets: (B, N, C + 1), one-hot class and then the weight of the anchor.
        student: (B, N, C) logits.
        teacher: (B, N, C) logits.
    """
    p = ops.sigmoid(teacher)
    cross = p * ops.softplus(-student) + (1.0 - p) * ops.softplus(student)
    own = p * ops.softplus(-teacher) + (1.0 - p) * ops.softplus(teacher)
    return ops.sum(cross - own) / ops.maximum(ops.sum(targets[..., :-1]), 1.0)


def offset_agreement(targets: Tensor, student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared difference of encoded boxes, mean over the positive anchors.

    Args:
        targets: (B, N, 5), the last is 1 for positive anchors.
        student: (B, N, 4).
        teacher: (B, N, 4).
    """
    weight = targets[..., 4]
    total = ops.sum(weight * ops.sum(ops.square(student - teacher), axis=-1))
    return total / ops.maximum(ops.sum(weight), 1.0)
