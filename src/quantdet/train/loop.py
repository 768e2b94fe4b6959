"""The training loop: any model, any losses, resumable.

    fit(model, task, settings, folder) -> History

The state is saved after every epoch. A process that was killed and started again with the same
arguments resumes after the last whole epoch; a finished training is not repeated.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from quantdet.errors import DataError, QuantdetError
from quantdet.progress import Tick, no_tick
from quantdet.train.batches import BatchSource, EpochBatches
from quantdet.train.build import build_losses
from quantdet.train.checkpoint import Checkpoints
from quantdet.train.curves import draw_curves
from quantdet.train.history import History
from quantdet.train.optimizer import make_optimizer
from quantdet.train.precision import copy_variables, mixed_precision_twin
from quantdet.train.settings import FitSettings


@dataclass(frozen=True)
class TrainingTask:
    """What to learn.

    Attributes:
        train: training examples.
        validation: held-out examples that decide which epoch is best; None: the training loss.
        losses: output name → loss; they are added up.
        metrics: output name → Keras metrics to report beside the losses.
        fingerprint: changes whenever the examples do; part of what a checkpoint belongs to.
    """

    train: BatchSource
    validation: BatchSource | None
    losses: Mapping[str, Any]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


def fit(
    model: Any,
    task: TrainingTask,
    settings: FitSettings,
    folder: Path,
    progress: Tick = no_tick,
) -> History:
    """Train ``model`` in place; afterwards it has the variables of its best epoch.

    Args:
        model: Keras model with named outputs. Its ``trainable`` flags are obeyed.
        task: examples, losses, metrics.
        settings: how to train.
        folder: gets last.npz, best-NNNN.npz, history.csv, history.json, curves.png and logs/
            (TensorBoard).
        progress: called with (steps done, all steps), also once on resuming.

    Raises:
        DataError: no training example.
        QuantdetError: the folder belongs to another training, or the loss is not finite.
        ModelError: a checkpoint is damaged.
    """
    if not len(task.train):
        raise DataError("no training example is left; check the split and [target] of the config")
    checkpoints = _checkpoints(model, task, settings, folder)
    monitor = "val_loss" if task.validation else "loss"
    history = checkpoints.history() or History((), "last" if settings.keep == "last" else monitor)
    if len(history.rows) < settings.epochs:
        keras.utils.set_random_seed(settings.seed)
        worker = mixed_precision_twin(model) if settings.mixed_precision else model
        history = _train(_Session(worker, task, settings, checkpoints), history, progress)
        if worker is not model:
            copy_variables(worker, model)
    checkpoints.restore_best(model, history)
    history.save(folder)
    draw_curves(history, folder / "curves.png")
    return history


def remaining_epochs(model: Any, task: TrainingTask, settings: FitSettings, folder: Path) -> int:
    """Return how many epochs :func:`fit` would train with the same arguments.

    Only the lengths and the fingerprint of the examples count, so a caller may ask before it
    goes to the expense of making them.

    Raises:
        QuantdetError, ModelError: as :func:`fit`.
    """
    history = _checkpoints(model, task, settings, folder).history()
    return settings.epochs - (len(history.rows) if history else 0)


def _checkpoints(
    model: Any, task: TrainingTask, settings: FitSettings, folder: Path
) -> Checkpoints:
    identity = {
        **asdict(settings),
        "data": task.fingerprint,
        "examples": [len(task.train), len(task.validation or ())],
        "start": _digest(model),
    }
    return Checkpoints(folder, identity)


@dataclass(frozen=True)
class _Session:
    model: Any
    task: TrainingTask
    settings: FitSettings
    checkpoints: Checkpoints


def _train(session: _Session, history: History, progress: Tick) -> History:
    task, settings = session.task, session.settings
    batches = EpochBatches(task.train, settings.batch_size, settings.seed, shuffle=True)
    held_out = None
    if task.validation is not None:
        held_out = EpochBatches(task.validation, settings.batch_size, settings.seed, shuffle=False)
    session.model.compile(
        make_optimizer(settings, len(batches)),
        loss=dict(task.losses),
        metrics=dict(task.metrics),
        # On TensorFlow's CPU kernels XLA is ten times slower; elsewhere Keras decides.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    session.model.optimizer.build(session.model.trainable_variables)
    build_losses(session.model, batches[0])
    if history.rows:
        session.checkpoints.restore_last(session.model)
    recorder = _Recorder(session, history, batches, progress)
    session.model.fit(
        batches,
        validation_data=held_out,
        initial_epoch=len(history.rows),
        epochs=settings.epochs,
        callbacks=[recorder],
        shuffle=False,  # EpochBatches has its own order; Keras' comes from a global generator
        verbose=0,
    )
    return recorder.history


class _Recorder(keras.callbacks.Callback):
    """After every epoch: record, save, report."""

    def __init__(
        self,
        session: _Session,
        history: History,
        batches: EpochBatches,
        progress: Tick,
    ) -> None:
        super().__init__()
        self.history = history
        self._session = session
        self._batches = batches
        self._progress = progress
        self._start = 0.0
        self._board: Any = None
        self._raw: list[Any] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the TensorBoard log."""
        from tensorboard.summary import Writer  # type: ignore[import-untyped]

        self._board = Writer(str(self._session.checkpoints.folder / "logs"))
        self._report(len(self.history.rows), -1)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Choose the order of this epoch."""
        self._batches.epoch = epoch
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Report progress."""
        self._report(len(self.history.rows), batch)

    def on_test_begin(self, logs: Any = None) -> None:
        """Validate the moving averages, if there are any."""
        self._swap_in_averages()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the epoch and save the state."""
        values = {name: float(value) for name, value in (logs or {}).items()}
        if not math.isfinite(values["loss"]):
            raise QuantdetError(
                f"the training loss became {values['loss']} in epoch {epoch + 1}; "
                "lower train.learning_rate"
            )
        row = {
            "epoch": epoch + 1,
            "seconds": round(time.perf_counter() - self._start, 3),
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            **values,
        }
        self.history = History((*self.history.rows, row), self.history.monitor)
        self._swap_in_averages()
        self._session.checkpoints.save_best(self.model, self.history)
        self._swap_out_averages()
        self._session.checkpoints.save_last(self.model, self.history)
        self.history.save(self._session.checkpoints.folder)
        for name, value in row.items():
            if name != "epoch":
                part = "validation" if name.startswith("val_") else "train"
                self._board.add_scalar(f"{name.removeprefix('val_')}/{part}", value, epoch + 1)
        self._board.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Close the TensorBoard log."""
        self._board.close()

    def _swap_in_averages(self) -> None:
        if self._session.settings.ema and not self._raw:
            variables = self.model.trainable_variables
            self._raw = [keras.ops.convert_to_numpy(variable) for variable in variables]
            self.model.optimizer.finalize_variable_values(variables)
            # Copies: JAX gives the variables' memory away in a step, and the averages shared it.
            for variable in variables:
                variable.assign(np.array(keras.ops.convert_to_numpy(variable)))

    def _swap_out_averages(self) -> None:
        for variable, value in zip(self.model.trainable_variables, self._raw, strict=False):
            variable.assign(value)
        self._raw = []

    def _report(self, epoch: int, batch: int) -> None:
        steps = len(self._batches)
        self._progress(epoch * steps + batch + 1, self._session.settings.epochs * steps)


def _digest(model: Any) -> str:
    """Return a digest of structure and values that training starts from."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in model.variables:
        digest.update(f"{variable.shape} {variable.trainable}\n".encode())
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    return digest.hexdigest()
