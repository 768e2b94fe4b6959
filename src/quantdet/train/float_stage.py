"""The float stage: data set in, trained float model out.

    FOLDER/frozen/      head trained on cached backbone features (see loop.fit for the files)
    FOLDER/finetune/    all layers, if asked for
    FOLDER/start-*.keras  where the start is wider than the model: channels chosen of it
    FOLDER/model.keras  the result
    FOLDER/summary.json what it came from

The result of a finished stage is loaded, not made again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.config import Config, TrainConfig
from quantdet.data.sample import Dataset
from quantdet.errors import ConfigError, ModelError
from quantdet.kinds import DETECTOR, LOCALIZER, find_family
from quantdet.manifest import Identity, Phase
from quantdet.models import WeightSet, resolve_start
from quantdet.progress import Progress, silent
from quantdet.quant.fold import fold_batch_norm
from quantdet.quant.saved import load_keras
from quantdet.results.training import TrainSummary
from quantdet.system.atomic import atomic_path
from quantdet.train.device import choose_workers, training_device
from quantdet.train.distill import distilled, with_teacher
from quantdet.train.features import extract_features, split_model
from quantdet.train.history import History
from quantdet.train.identity import same_training
from quantdet.train.localizer_task import localizer_task
from quantdet.train.loop import fit, remaining_epochs
from quantdet.train.settings import FitSettings
from quantdet.train.ssd_task import ssd_task
from quantdet.train.start import Start
from quantdet.train.steps import choose_epochs, warmup_epochs
from quantdet.train.task import UNWATCHED, PictureTask, Watch
from quantdet.train.teacher import check_teacher, find_teacher

TASKS: dict[str, Callable[[Config, Dataset, Progress], PictureTask]] = {
    LOCALIZER: localizer_task,
    DETECTOR: ssd_task,
}
"""Family → how a data set becomes its training task."""

_log = logging.getLogger(__name__)
# How the names of layers behind the backbone start.
_HEAD_LAYERS = ("box_", "extra_", "bbox_", "head_")


@dataclass(frozen=True)
class TrainedModel:
    """A trained float model.

    Attributes:
        model: Keras model with the variables of the best epoch, not compiled.
        phases: "frozen" and "finetune" → history, those that were asked for.
        summary: what the manifest should remember: weights, labels, data fingerprint, best
            epochs, seconds, skipped pictures.
    """

    model: keras.Model
    phases: Mapping[str, History]
    summary: TrainSummary


def build_task(config: Config, dataset: Dataset, progress: Progress = silent) -> PictureTask:
    """Return the training task of [model] name.

    Raises:
        ConfigError: unknown model.
        DataError: nothing to learn, or a faulty picture.
    """
    return TASKS[find_family(config.model.name)](config, dataset, progress)


def train_float(
    config: Config,
    dataset: Dataset,
    out_dir: Path,
    watch: Watch = UNWATCHED,
) -> TrainedModel:
    """Train the float model of ``config``: the head on a frozen backbone, then all layers.

    Args:
        config: the whole configuration.
        dataset: splits by name.
        out_dir: folder of the stage, see the head of this module.
        watch: who looks on.

    Raises:
        QuantdetError: configuration, data, weights or the folder do not fit; the message says
            which and what to do.
    """
    task = watch.over(build_task(config, dataset, watch.progress))
    weights = resolve_start(config.model, dataset.labels)
    check_teacher(config.train, weights, dataset.labels)
    identity = _identity(config, dataset, task, weights)
    finished = _load_finished(out_dir, identity)
    if finished is not None:
        _log.info("trained already: %s", out_dir / "model.keras")
        return finished
    keras.utils.set_random_seed(config.train.seed)
    model = Start(config.model, weights, task.train, identity).build(out_dir)
    phases: dict[str, History] = {}
    if config.train.epochs:
        phases["frozen"] = _train_head(model, task, config.train, out_dir, watch.progress)
    if config.train.finetune_epochs:
        teacher = find_teacher(config, weights, len(dataset.labels))
        workers = choose_workers(config.data.workers)
        stage = _FineTuning(
            task, config.train, teacher, workers, out_dir / "finetune", watch.progress
        )
        model, phases["finetune"] = _train_all(model, stage)
    summary = TrainSummary(
        identity=identity,
        phases={name: _phase(history) for name, history in phases.items()},
        device=training_device(config.train.devices),
    )
    return _finish(TrainedModel(model, phases, summary), out_dir)


def _train_head(
    model: keras.Model,
    task: PictureTask,
    train: TrainConfig,
    out_dir: Path,
    progress: Progress,
) -> History:
    """Train the head of ``model`` in place."""
    folder = out_dir / "frozen"
    backbone, head = split_model(model, task.head_input)
    epochs = choose_epochs(train.epochs, len(task.train), train)
    settings = FitSettings(
        epochs=epochs.count,
        passes=epochs.passes,
        batch_size=train.batch_size,
        optimizer=train.optimizer,
        learning_rate=train.learning_rate,
        weight_decay=train.weight_decay,
        schedule=train.schedule,
        seed=train.seed,
        validate_every=train.validate_every,
        patience=train.patience,
        devices=train.devices,
    )
    training = task.training()
    if remaining_epochs(head, training, settings, folder):
        report = partial(progress, "backbone features")
        sources = [
            source and extract_features(backbone, source, folder, report)
            for source in (task.train, task.validation)
        ]
        training = task.training(*sources)
    return fit(head, training, settings, folder, partial(progress, "train head"))


@dataclass(frozen=True)
class _FineTuning:
    """What the second phase works with; ``teacher`` is None where nothing is distilled."""

    task: PictureTask
    train: TrainConfig
    teacher: keras.Model | None
    workers: int
    folder: Path
    progress: Progress

    def fit(self, student: keras.Model, settings: FitSettings) -> History:
        """Train ``student`` in place."""
        model, training = student, self.task.training()
        if self.teacher is not None:
            model = with_teacher(student, self.teacher)
            training = distilled(training, self.task.agreements, self.train.distill)
        return fit(model, training, settings, self.folder, partial(self.progress, "fine-tune"))


def _train_all(model: keras.Model, stage: _FineTuning) -> tuple[keras.Model, History]:
    """Return a fine-tuned copy of ``model`` and its history.

    BatchNorm keeps its ImageNet statistics, so it is folded into the convolutions: the same
    function, and training is about twice as fast on CPUs.
    """
    folded = fold_batch_norm(model, over_borders=True)
    freeze_before(folded, stage.train.finetune_from)
    start = [np.array(keras.ops.convert_to_numpy(v)) for v in folded.trainable_variables]
    settings = _fine_tuning_settings(stage.train, len(stage.task.train))
    history = stage.fit(folded, replace(settings, workers=stage.workers))
    if stage.train.start_share:
        _mix(folded.trainable_variables, start, stage.train.start_share)
    return folded, history


def _fine_tuning_settings(train: TrainConfig, pictures: int) -> FitSettings:
    epochs = choose_epochs(train.finetune_epochs, pictures, train)
    return FitSettings(
        epochs=epochs.count,
        passes=epochs.passes,
        batch_size=train.batch_size,
        optimizer=train.optimizer,
        learning_rate=train.finetune_learning_rate,
        weight_decay=train.weight_decay,
        schedule=train.schedule,
        # Adam's first steps are full-sized whatever the gradient; ramp up to spare the backbone.
        warmup_epochs=warmup_epochs(epochs, pictures, train.batch_size),
        clip_norm=5.0,
        seed=train.seed,
        mixed_precision=train.mixed_precision,
        ema=train.ema,
        layer_rates=(
            ("class_", train.class_head_rate),
            *((start, 1.0) for start in _HEAD_LAYERS),
            ("", train.backbone_rate),
        ),
        keep=train.keep,
        validate_every=train.validate_every,
        patience=train.patience,
        devices=train.devices,
    )


def _mix(
    variables: Sequence[keras.Variable], start: Sequence[NDArray[np.float32]], share: float
) -> None:
    """Put a share of the start into trained variables: WiSE-FT, Wortsman 2022, arXiv:2109.01903."""
    for variable, before in zip(variables, start, strict=True):
        variable.assign((1 - share) * variable + share * before)


def freeze_before(model: keras.Model, layer_name: str) -> None:
    """Make the layers before ``layer_name`` untrainable, in place; "" freezes none.

    Raises:
        ConfigError: the model has no such layer.
    """
    if not layer_name:
        return
    names = [layer.name for layer in model.layers]
    if layer_name not in names:
        weighted = [layer.name for layer in model.layers if layer.weights]
        raise ConfigError(
            f"train.finetune_from = {layer_name!r}: no such layer; layers with weights are "
            f"{', '.join(weighted)}"
        )
    for layer in model.layers[: names.index(layer_name)]:
        layer.trainable = False


def _finish(trained: TrainedModel, out_dir: Path) -> TrainedModel:
    """Write a trained model and what it came from."""
    model = trained.model
    # A fresh model on the same layers is not compiled: losses and optimizer stay out of the file.
    model = keras.Model(model.input, model.output, name=model.name)
    for layer in model.layers:
        layer.trainable = True
    with atomic_path(out_dir / "model.keras") as temporary:
        model.save(temporary)
    trained.summary.save(out_dir / "summary.json")
    return replace(trained, model=model)


def _phase(history: History) -> Phase:
    return Phase(
        epochs=len(history.rows),
        best_epoch=history.best_epoch,
        best=history.best,
        seconds=round(history.seconds, 3),
    )


def _identity(
    config: Config, dataset: Dataset, task: PictureTask, weights: WeightSet | None
) -> Identity:
    return Identity(
        model=config.model.model_dump(mode="json"),
        # The steps are the same on any number of them.
        train=config.train.model_dump(mode="json", exclude={"devices"}),
        target=config.target.model_dump(mode="json"),
        labels=dataset.labels,
        data=task.fingerprint,
        pictures=(task.train.distinct, len(task.validation or ())),
        skipped=task.skipped,
        weights={"source": "none"} if weights is None else weights.provenance(),
    )


def _load_finished(out_dir: Path, identity: Identity) -> TrainedModel | None:
    """Return the result in ``out_dir`` if it is complete and of this very training."""
    summary = TrainSummary.read(out_dir / "summary.json")
    try:
        if summary is None or not same_training(summary.identity, identity):
            return None
        phases = {
            name: History.from_dict(json.loads((out_dir / name / "history.json").read_text()))
            for name in summary.phases
        }
        return TrainedModel(load_keras(out_dir / "model.keras"), phases, summary)
    except (OSError, ValueError, KeyError, TypeError, ModelError):
        # Absent or damaged: the checkpoints of the phases decide how much is left to do.
        return None
