"""What every detection task has in common: pictures of a split, and what is learned of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from quantdet.boxes import as_boxes
from quantdet.config import Config
from quantdet.data.cache import ImageCache
from quantdet.data.sample import Dataset, Sample
from quantdet.data.undecoded import model_pictures
from quantdet.errors import DataError
from quantdet.models.losses import Metric
from quantdet.models.targets import PictureObjects
from quantdet.progress import Progress, silent
from quantdet.train.batches import BatchSource
from quantdet.train.distill import Agreement
from quantdet.train.pictures import PictureSource
from quantdet.train.recorder import TrainingTask
from quantdet.train.validation import Validator

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class PictureTask:
    """A detection task as the training stages need it.

    Attributes:
        train: training pictures; their batches are augmented where [train] asks for it.
        validation: held-out pictures, None if the split is empty.
        losses: output name → loss.
        metrics: output name → metrics.
        head_input: layer whose output the head reads.
        fingerprint: of all pictures and targets.
        skipped: "file: reason" of pictures left out because of skip_bad.
        output_ranges: output name → real range of its integers, where calibration must not
            choose it.
        agreements: output name → how far two models' answers are apart, for distillation.
        quantized_losses: output name → loss, where a quantized model needs another one.
        validator: measures accuracy on ``validation``; None: losses have to do.
        callbacks: from the caller, notified of every phase.
    """

    train: PictureSource
    validation: PictureSource | None
    losses: Mapping[str, keras.losses.Loss]
    metrics: Mapping[str, Sequence[Metric]]
    head_input: str
    fingerprint: str
    skipped: tuple[str, ...] = ()
    output_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    agreements: Mapping[str, Agreement] = field(default_factory=dict)
    quantized_losses: Mapping[str, keras.losses.Loss] = field(default_factory=dict)
    validator: Validator | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()

    def training(
        self, train: BatchSource | None = None, validation: BatchSource | None = None
    ) -> TrainingTask:
        """Return what the loop wants, on these pictures or on others, e.g. their features."""
        return TrainingTask(
            self.train if train is None else train,
            self.validation if validation is None else validation,
            self.losses,
            self.metrics,
            self.fingerprint,
            self.validator,
            callbacks=self.callbacks,
        )


@dataclass(frozen=True)
class Watch:
    """Who looks on while a stage trains.

    Attributes:
        progress: called with (phase, done, total).
        find_validator: (validation pictures) → who measures accuracy on them, None: nobody can.
        callbacks: Keras callbacks; training is one ``fit`` after another for them.
    """

    progress: Progress = silent
    find_validator: Callable[[PictureSource], Validator | None] | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()

    def over(self, task: PictureTask) -> PictureTask:
        """Return the task with those who look on."""
        found = None
        if self.find_validator is not None and task.validation is not None:
            found = self.find_validator(task.validation)
        return replace(task, validator=found, callbacks=self.callbacks)


UNWATCHED = Watch()
"""Nobody looks on."""


def cached_split(
    config: Config,
    dataset: Dataset,
    split: str,
    progress: Progress,
    scale: float = 1.0,
) -> ImageCache:
    """Return the decoded pictures of a split at ``scale`` times the model's size.

    Raises:
        DataError: the split has no annotated picture, or a picture is faulty.
    """
    samples = [sample for sample in dataset.splits.get(split, ()) if sample.annotated]
    if not samples:
        raise DataError(
            f"{dataset.root}: split {split!r} has no annotated picture; splits are "
            f"{', '.join(dataset.splits)}; set [data] train_split"
        )
    side = round(scale * config.model.input_size)
    return model_pictures(samples, (side, side), config.data, partial(progress, f"decode {split}"))


def all_objects(sample: Sample, ids: Mapping[str, int]) -> PictureObjects:
    """Return every object of a picture; difficult ones are ignored in training.

    Raises:
        DataError: the class of an object is not in ``ids``.
    """
    unknown = [item.label for item in sample.objects if item.label not in ids]
    if unknown:
        raise DataError(
            f"{sample.image_id}: class {unknown[0]!r} is not in the labels ({', '.join(ids)}); "
            "load the data set with the labels of the model"
        )
    height, width = sample.size_hw
    scale = np.array([width, height, width, height], np.float32)
    return PictureObjects(
        as_boxes([item.box_xyxy for item in sample.objects]) / scale,
        np.array([ids[item.label] for item in sample.objects], dtype=np.int64),
        np.array([item.difficult for item in sample.objects], dtype=bool),
    )
