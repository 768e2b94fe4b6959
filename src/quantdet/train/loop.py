"""The training loop: any model, any losses, resumable.

    fit(model, task, settings, folder) -> History

The state is saved after epochs, at most every ten steps. A process that was killed and started
again with the same arguments resumes from there; a finished training is not repeated. Every epoch
is a line of the logger ``quantdet.train``.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.system.memory import release_memory
from quantdet.system.processes import require_same_everywhere, start_alike
from quantdet.train.batches import Share
from quantdet.train.build import build_losses, jit_compile
from quantdet.train.checkpoint import Checkpoints
from quantdet.train.curves import draw_curves
from quantdet.train.feed import EpochBatches
from quantdet.train.history import MAP, History
from quantdet.train.optimizer import make_optimizer
from quantdet.train.parallel import WholeValidation, shared_batches
from quantdet.train.recorder import Recorder, Session, TrainingTask
from quantdet.train.settings import FitSettings
from quantdet.train.twins import copy_variables, mixed_precision_twin, twin

__all__ = ["TrainingTask", "fit", "remaining_epochs"]

# With other values of these the steps are the same.
_WATCHING = ("validate_every", "patience", "workers", "devices")


def fit(
    model: keras.Model,
    task: TrainingTask,
    settings: FitSettings,
    folder: Path | str,
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
        ConfigError: there are not so many devices, or batches have no equal parts for them.
        ModelError: a checkpoint is damaged.
    """
    if not len(task.train):
        raise DataError("no training example is left; check the split and [target] of the config")
    folder = Path(folder)
    start_alike(model)
    checkpoints = _checkpoints(model, task, settings, folder)
    history = checkpoints.history() or _new_history(task, settings)
    require_same_everywhere([checkpoints.identity, history.to_dict()])
    if not history.is_over(settings.epochs, settings.patience):
        keras.utils.set_random_seed(settings.seed)
        with shared_batches(settings.devices, settings.batch_size) as share:
            worker = _worker(model, settings, share)
            session = _session(worker, task, settings, checkpoints, share)
            history = _train(session, history, progress)
        if worker is not model:
            copy_variables(worker, model)
        # The step with its buffers belongs to the compiled model.
        worker.train_function = worker.test_function = worker.predict_function = None
        release_memory()
    checkpoints.restore_best(model, history)
    history.save(folder)
    draw_curves(history, folder / "curves.png")
    return history


def remaining_epochs(
    model: keras.Model, task: TrainingTask, settings: FitSettings, folder: Path
) -> int:
    """Return how many epochs :func:`fit` would train with the same arguments.

    Only the lengths and the fingerprint of the examples count, so a caller may ask before it
    goes to the expense of making them.

    Raises:
        QuantdetError, ModelError: as :func:`fit`.
    """
    history = _checkpoints(model, task, settings, folder).history()
    if history is None:
        return settings.epochs
    over = history.is_over(settings.epochs, settings.patience)
    return 0 if over else settings.epochs - len(history.rows)


def _new_history(task: TrainingTask, settings: FitSettings) -> History:
    """Return a history without epochs, which knows what decides."""
    if settings.keep == "last":
        return History((), "last")
    if task.validator is not None and settings.validate_every and task.accuracy_decides:
        return History((), MAP, task.validator.objects)
    return History((), "val_loss" if task.validation else "loss")


def _checkpoints(
    model: keras.Model, task: TrainingTask, settings: FitSettings, folder: Path
) -> Checkpoints:
    shaping = {key: value for key, value in asdict(settings).items() if key not in _WATCHING}
    if settings.passes == 1:  # as it was before there were others
        del shaping["passes"]
    identity = {
        **shaping,
        "data": task.fingerprint,
        "examples": [len(task.train), len(task.validation or ())],
        "start": _digest(model),
    }
    if task.teaching:
        identity["teaching"] = task.teaching
    return Checkpoints(folder, identity)


def _worker(model: keras.Model, settings: FitSettings, share: Share) -> keras.Model:
    """Return what is trained: the model itself, or one that computes elsewhere or otherwise."""
    if settings.mixed_precision:
        return mixed_precision_twin(model)
    return model if share.devices == 1 else twin(model)


def _session(
    model: keras.Model,
    task: TrainingTask,
    settings: FitSettings,
    checkpoints: Checkpoints,
    share: Share,
) -> Session:
    size, seed = settings.batch_size, settings.seed
    batches = EpochBatches(task.train, size, seed, shuffle=True, share=share)
    batches.passes = settings.passes
    held_out = None
    if task.validation is not None:
        held_out = EpochBatches(task.validation, size, seed, shuffle=False)
    return Session(model, task, settings, checkpoints, batches, held_out)


def _train(session: Session, history: History, progress: Tick) -> History:
    model, task, batches = session.model, session.task, session.batches
    model.compile(
        make_optimizer(session.settings, session.steps),
        loss=dict(task.losses),
        metrics=dict(task.metrics),
        jit_compile=jit_compile(),
    )
    model.optimizer.build(model.trainable_variables)
    build_losses(model, batches[0])
    if history.rows:
        session.checkpoints.restore_last(model)
    recorder = Recorder(session, history, progress)
    done, epochs = len(history.rows), session.settings.epochs
    numbers = range(done * session.steps, epochs * session.steps)
    with batches.made_beside(numbers, session.settings.workers):
        model.fit(
            batches,
            validation_data=session.held_out,
            initial_epoch=done,
            epochs=epochs,
            callbacks=[recorder, WholeValidation(), *task.callbacks],
            shuffle=False,  # EpochBatches has its own order; Keras' comes from a global generator
            verbose=0,
        )
    return recorder.history


def _digest(model: keras.Model) -> str:
    """Return a digest of structure and values that training starts from."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in model.variables:
        digest.update(f"{variable.shape} {variable.trainable}\n".encode())
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    return digest.hexdigest()
