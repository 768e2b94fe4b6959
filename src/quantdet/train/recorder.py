"""After every epoch: measure, record, save, say."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.errors import QuantdetError
from quantdet.models.losses import Metric
from quantdet.progress import Tick
from quantdet.train.batches import BatchSource
from quantdet.train.board import Board
from quantdet.train.checkpoint import Checkpoints
from quantdet.train.epoch_line import epoch_line
from quantdet.train.feed import EpochBatches
from quantdet.train.history import MAP, History
from quantdet.train.settings import FitSettings
from quantdet.train.validation import Validator, predicted

Logs = dict[str, float] | None
"""What Keras tells its callbacks."""
_log = logging.getLogger(__name__)
# Epochs of few steps are not saved one by one: a checkpoint takes as long as a step.
_STEPS_BETWEEN_CHECKPOINTS = 10


@dataclass(frozen=True)
class TrainingTask:
    """What to learn.

    Attributes:
        train: training examples.
        validation: held-out examples that decide which epoch is best; None: the training loss.
        losses: output name → loss; they are added up.
        metrics: output name → Keras metrics to report with the losses.
        fingerprint: changes whenever the examples do; part of what a checkpoint belongs to.
        validator: measures accuracy on ``validation``; None: losses have to do.
        accuracy_decides: choose the best epoch by accuracy where it is measured, not by loss.
        callbacks: notified of everything, as by ``keras.Model.fit``.
        teaching: changes whenever the losses do, which cannot tell; a checkpoint's, too.
    """

    train: BatchSource
    validation: BatchSource | None
    losses: Mapping[str, keras.losses.Loss]
    metrics: Mapping[str, Sequence[Metric]] = field(default_factory=dict)
    fingerprint: str = ""
    validator: Validator | None = None
    accuracy_decides: bool = True
    callbacks: Sequence[keras.callbacks.Callback] = ()
    teaching: str = ""


@dataclass(frozen=True)
class Session:
    """One call of the loop."""

    model: keras.Model
    task: TrainingTask
    settings: FitSettings
    checkpoints: Checkpoints
    batches: EpochBatches
    held_out: EpochBatches | None

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self.batches)


class Recorder(keras.callbacks.Callback):
    """The loop's own callback.

    Args:
        session: what is trained.
        history: of the epochs before, where training resumes.
        progress: called with (steps done, all steps).
    """

    def __init__(self, session: Session, history: History, progress: Tick) -> None:
        super().__init__()
        self.history = history
        self._session = session
        self._progress = progress
        self._clock = _Clock()
        self._board: Board | None = None
        self._raw: list[NDArray[np.float32]] = []

    def on_train_begin(self, logs: Logs = None) -> None:
        """Open the TensorBoard log, and say what takes so long now."""
        self._board = Board(self._session.checkpoints.folder / "logs")
        self._report(len(self.history.rows), -1)
        _log.info("compiling the training step, which takes up to a minute …")
        self._clock.begin()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Choose the order of this epoch."""
        self._session.batches.epoch = epoch
        self._clock.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Report progress."""
        if self._clock.first_step():
            _log.info("first step after %.0f s", self._clock.since_start())
        self._report(len(self.history.rows), batch)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Validate the moving averages, if there are any."""
        self._clock.end_training()
        self._swap_in_averages()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Measure and record the epoch, save the state, say how it went."""
        self._clock.end_training()
        logs = {} if logs is None else logs
        if not math.isfinite(float(logs["loss"])):
            raise QuantdetError(
                f"the training loss became {logs['loss']} in epoch {epoch + 1}; "
                "lower train.learning_rate"
            )
        self._swap_in_averages()
        # Callbacks behind this one see it, too.
        logs.update(self._measure(epoch + 1))
        row = {
            "epoch": epoch + 1,
            "seconds": round(self._clock.epoch(), 3),
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            **{name: float(value) for name, value in logs.items()},
        }
        history = self.history
        self.history = History((*history.rows, row), history.monitor, history.objects)
        self._save()
        if self._board is not None:
            self._board.add_row(row)
        self._say(row)

    def on_train_end(self, logs: Logs = None) -> None:
        """Close the TensorBoard log."""
        if self._board is not None:
            self._board.close()

    def _measure(self, epoch: int) -> dict[str, float]:
        """Return the accuracy of the model as it is now, where this epoch is one to measure."""
        session, every = self._session, self._session.settings.validate_every
        validator = session.task.validator
        if validator is None or session.held_out is None or not every:
            return {}
        if epoch % every and epoch < session.settings.epochs:
            return {}
        found = validator.measure(predicted(self.model, session.held_out))
        if self._board is not None:
            self._board.add_pictures(found.pictures, epoch)
        return {MAP: found.mean_ap}

    def _save(self) -> None:
        """Save what is best so far, with averages in place, and the state after this epoch."""
        settings, checkpoints = self._session.settings, self._session.checkpoints
        checkpoints.save_best(self.model, self.history)
        self._swap_out_averages()
        epochs = len(self.history.rows)
        over = self.history.is_over(settings.epochs, settings.patience)
        if over:
            self.model.stop_training = True
        if over or epochs % math.ceil(_STEPS_BETWEEN_CHECKPOINTS / self._session.steps) == 0:
            checkpoints.save_last(self.model, self.history)
        self.history.save(checkpoints.folder)

    def _say(self, row: Mapping[str, float]) -> None:
        settings = self._session.settings
        left = (settings.epochs - int(row["epoch"])) * self._clock.mean_epoch()
        speed = settings.passes * len(self._session.task.train) / self._clock.training()
        _log.info("%s", epoch_line(row, settings.epochs, speed, left))
        if row["epoch"] < settings.epochs and self.history.is_over(
            settings.epochs, settings.patience
        ):
            _log.info(
                "no better %s since epoch %d: training ends here (train.patience = %d)",
                self.history.monitor.replace("_", " "),
                self.history.peak_epoch,
                settings.patience,
            )

    def _swap_in_averages(self) -> None:
        if self._session.settings.ema and not self._raw:
            variables = self.model.trainable_variables
            self._raw = [keras.ops.convert_to_numpy(variable) for variable in variables]
            self.model.optimizer.finalize_variable_values(variables)

    def _swap_out_averages(self) -> None:
        for variable, value in zip(self.model.trainable_variables, self._raw, strict=False):
            variable.assign(value)
        self._raw = []

    def _report(self, epoch: int, batch: int) -> None:
        steps = self._session.steps
        self._progress(epoch * steps + batch + 1, self._session.settings.epochs * steps)


class _Clock:
    """Seconds of an epoch and of its training part."""

    def __init__(self) -> None:
        self._start = self._first_end = self._epoch = self._trained = 0.0
        self._epochs = 0
        self._stepped = False

    def begin(self) -> None:
        self._start = time.perf_counter()

    def begin_epoch(self) -> None:
        self._epoch, self._trained = time.perf_counter(), 0.0
        self._epochs += 1

    def first_step(self) -> bool:
        """Return whether this is the first call."""
        first, self._stepped = not self._stepped, True
        return first

    def end_training(self) -> None:
        """Note the end of the training part, once an epoch."""
        self._trained = self._trained or self.epoch()

    def since_start(self) -> float:
        return time.perf_counter() - self._start

    def epoch(self) -> float:
        return time.perf_counter() - self._epoch

    def training(self) -> float:
        return max(self._trained, 1e-9)

    def mean_epoch(self) -> float:
        """Return the mean of the epochs, without the first, which compiles, once there are more."""
        if self._epochs == 1:
            self._first_end = time.perf_counter()
            return self.since_start()
        return (time.perf_counter() - self._first_end) / (self._epochs - 1)
