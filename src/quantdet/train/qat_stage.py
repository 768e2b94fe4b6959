"""The QAT stage: trained float model in, frozen fake-quantized model out.

    FOLDER/finetune/     checkpoints and history (see loop.fit)
    FOLDER/model.keras   the result: every weight on its integer grid
    FOLDER/summary.json  what it came from, and whether training beat calibration alone

Training a fitted net further on a small set can lose more than quantization does, so the
calibrated model competes as epoch 0: what has the lower validation loss is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.config import Config, QatConfig
from quantdet.data.sample import Dataset
from quantdet.errors import ConfigError, ModelError
from quantdet.manifest import QatIdentity
from quantdet.progress import Progress, Tick
from quantdet.quant.calibrate import set_output_ranges
from quantdet.quant.freezing import freeze
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.recipes import equalizes
from quantdet.quant.saved import load_keras
from quantdet.results.training import QatSummary
from quantdet.runtime.contract import file_sha256
from quantdet.runtime.pixels import PIXEL_RANGE
from quantdet.system.atomic import atomic_path
from quantdet.train.build import build_losses, jit_compile
from quantdet.train.device import choose_workers, training_device
from quantdet.train.distill import distilled, with_teacher
from quantdet.train.features import extract_features, split_model
from quantdet.train.feed import EpochBatches
from quantdet.train.float_stage import build_task
from quantdet.train.identity import same_training
from quantdet.train.loop import TrainingTask, fit
from quantdet.train.settings import FitSettings
from quantdet.train.task import UNWATCHED, PictureTask, Watch

_log = logging.getLogger(__name__)
_CALIBRATION_BATCH = 16


@dataclass(frozen=True)
class QuantizedModel:
    """A frozen fake-quantized model.

    Attributes:
        model: Keras model, weights on their integer grids.
        summary: calibration and training figures for the manifest.
    """

    model: keras.Model
    summary: QatSummary


def train_qat(
    config: Config,
    dataset: Dataset,
    float_file: Path,
    out_dir: Path,
    watch: Watch = UNWATCHED,
) -> QuantizedModel:
    """Quantize and fine-tune the float model of a run.

    Args:
        config: the whole configuration; [qat] says how.
        dataset: splits by name, the same as in float training.
        float_file: ``model.keras`` of the float stage (its best epoch).
        out_dir: folder of the stage.
        watch: who looks on.

    Raises:
        QuantdetError: model, data or recipe do not fit; the message says which.
    """
    task = watch.over(build_task(config, dataset, watch.progress))
    identity = QatIdentity(
        qat=config.qat.model_dump(mode="json"),
        train=config.train.model_dump(mode="json", exclude={"devices"}),
        float_sha256=file_sha256(float_file) if float_file.is_file() else "",
        data=task.fingerprint,
    )
    finished = _load_finished(out_dir, identity)
    if finished is not None:
        _log.info("quantized already: %s", out_dir / "model.keras")
        return finished
    keras.utils.set_random_seed(config.qat.seed)
    floats = load_keras(float_file)
    prepared = prepare_qat(
        floats,
        calibration_batches(config, task, watch.progress),
        recipe=config.qat.recipe,
        observer=config.qat.observer,
        rounding=config.qat.rounding,
        ranges=config.qat.ranges,
        track_steps=config.qat.track_steps,
        input_range=PIXEL_RANGE,
    )
    set_output_ranges(prepared, task.output_ranges)
    summary = (
        _fine_tune(config, prepared, floats, _Stage(task, identity, out_dir, watch.progress))
        if config.qat.epochs
        else QatSummary(identity=identity)
    )
    device = training_device(config.train.devices)
    return _finish(prepared, summary.model_copy(update={"device": device}), out_dir)


def calibration_pictures(config: Config, task: PictureTask) -> NDArray[np.float32]:
    """Return [qat] calibration_images model inputs, drawn from the training split."""
    count = min(config.qat.calibration_images, len(task.train))
    rng = np.random.default_rng(config.qat.seed)
    return task.train.pictures(np.sort(rng.choice(len(task.train), count, replace=False)))


def calibration_batches(
    config: Config, task: PictureTask, progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """Yield the calibration pictures in batches, reporting progress."""
    pictures = calibration_pictures(config, task)
    for start in range(0, len(pictures), _CALIBRATION_BATCH):
        yield pictures[start : start + _CALIBRATION_BATCH]
        progress("calibrate", min(start + _CALIBRATION_BATCH, len(pictures)), len(pictures))


@dataclass(frozen=True)
class _Stage:
    """What training of this stage works with."""

    task: PictureTask
    identity: QatIdentity
    folder: Path
    progress: Progress

    def report(self, phase: str) -> Tick:
        return partial(self.progress, phase)


def _fine_tune(
    config: Config, prepared: keras.Model, floats: keras.Model, stage: _Stage
) -> QatSummary:
    """Train ``prepared`` in place; keep the calibrated state if training does not beat it."""
    trained, teacher, training = _what_to_train(config, prepared, floats, stage)
    # Accuracy of a few pictures cannot tell an 8 bit net from its neighbour: the loss decides.
    losses = {**training.losses, **stage.task.quantized_losses}
    training = replace(training, losses=losses, accuracy_decides=False)
    if config.qat.distill:
        check_features(config.qat)
        training = distilled(training, stage.task.agreements, config.qat.distill)
        trained = with_teacher(trained, teacher, config.qat.distill_features, config.qat.distill)
    settings = _fit_settings(config)
    calibrated = [np.array(variable) for variable in trained.variables]
    loss_calibrated = _validation_loss(trained, training, settings)
    history = fit(
        trained, training, settings, stage.folder / "finetune", stage.report("train quantized")
    )
    # With a validation split, training has measured the epoch that it kept.
    loss_trained = history.best.get("val_loss")
    if loss_trained is None:
        loss_trained = _validation_loss(trained, training, settings)
    kept = "trained" if loss_trained < loss_calibrated else "calibrated"
    _log.info(
        "kept the %s weights: loss %.4g calibrated, %.4g trained",
        *(kept, loss_calibrated, loss_trained),
    )
    if kept == "calibrated":
        for variable, value in zip(trained.variables, calibrated, strict=True):
            variable.assign(value)
    return QatSummary(
        identity=stage.identity,
        kept=kept,
        loss_calibrated=loss_calibrated,
        loss_trained=loss_trained,
        monitor=history.monitor,
        best_epoch=history.best_epoch,
        seconds=round(history.seconds, 3),
    )


def _fit_settings(config: Config) -> FitSettings:
    # Features of a backbone that stays as it is are in memory.
    workers = config.data.workers if config.qat.train_backbone else 0
    return FitSettings(
        epochs=config.qat.epochs,
        batch_size=config.qat.batch_size or config.train.batch_size,
        optimizer=config.train.optimizer,
        learning_rate=config.qat.learning_rate,
        range_rate=config.qat.range_learning_rate / config.qat.learning_rate,
        schedule=config.train.schedule,
        clip_norm=5.0,
        seed=config.qat.seed,
        validate_every=config.train.validate_every,
        workers=choose_workers(workers),
        devices=config.train.devices,
    )


def check_features(qat: QatConfig) -> None:
    """Refuse layers to distill under a recipe that changes what they compute.

    Raises:
        ConfigError: ``distill_features`` with a recipe that equalizes.
    """
    if qat.distill_features and equalizes(qat.recipe):
        raise ConfigError(
            "qat.distill_features: this recipe equalizes, which scales the channels of inner "
            "layers; leave distill_features out, or use recipe static_wi8_ai8"
        )


def _what_to_train(
    config: Config, prepared: keras.Model, floats: keras.Model, stage: _Stage
) -> tuple[keras.Model, keras.Model | None, TrainingTask]:
    """Return the part to train, the same part of the float model, and the examples."""
    if config.qat.train_backbone:
        return prepared, floats, stage.task.training()
    # The backbone stays as calibrated: its integer features are computed once. They are what the
    # teacher's head sees too.
    backbone, head = split_model(prepared, f"{stage.task.head_input}_quant")
    teacher = split_model(floats, stage.task.head_input)[1] if config.qat.distill else None
    sources = [
        source
        and extract_features(
            backbone, source, stage.folder / "finetune", stage.report("quantized features")
        )
        for source in (stage.task.train, stage.task.validation)
    ]
    return head, teacher, stage.task.training(*sources)


def _validation_loss(model: keras.Model, task: TrainingTask, settings: FitSettings) -> float:
    source = task.validation or task.train
    model.compile(loss=dict(task.losses), jit_compile=jit_compile())
    batches = EpochBatches(source, settings.batch_size, settings.seed, shuffle=False)
    build_losses(model, batches[0])
    return float(model.evaluate(batches, verbose=0, return_dict=True)["loss"])


def _finish(prepared: keras.Model, summary: QatSummary, out_dir: Path) -> QuantizedModel:
    frozen = freeze(prepared)
    with atomic_path(out_dir / "model.keras") as temporary:
        frozen.save(temporary)
    summary.save(out_dir / "summary.json")
    return QuantizedModel(frozen, summary)


def _load_finished(out_dir: Path, identity: QatIdentity) -> QuantizedModel | None:
    summary = QatSummary.read(out_dir / "summary.json")
    try:
        if summary is None or not same_training(summary.identity, identity):
            return None
        return QuantizedModel(load_keras(out_dir / "model.keras"), summary)
    except (OSError, ValueError, KeyError, TypeError, ModelError):
        return None
