"""The stages that train: the float model, and quantization-aware training behind it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from quantdet.config import Config
from quantdet.data.configured import judge_training
from quantdet.data.contents import describe_contents, require_same
from quantdet.data.sample import Dataset
from quantdet.errors import ConfigError
from quantdet.manifest import QatRecord, TrainRecord
from quantdet.progress import Progress, silent
from quantdet.runs import Run
from quantdet.stages.announce import describe_training
from quantdet.stages.backend import training_stages
from quantdet.stages.dataset import load_data, write_data_facts
from quantdet.stages.record import recorded
from quantdet.stages.settings import with_config
from quantdet.system.atomic import write_text
from quantdet.system.log import written_log
from quantdet.system.processes import join_processes, own_folder

if TYPE_CHECKING:
    import keras
    from keras.callbacks import Callback

    from quantdet.train.task import Watch

_log = logging.getLogger(__name__)


def run_train(
    config: Config,
    out: Path | str,
    progress: Progress = silent,
    *,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train the float model of ``config`` into the run folder ``out``.

    What happens is written to ``train.log`` there, and to the logger ``quantdet``.

    Args:
        config: the whole configuration.
        out: run folder to create or resume.
        progress: called with (phase, done, total).
        callbacks: Keras callbacks. Each phase is one ``fit`` for them; ``logs`` holds the losses
            and, where it was measured, ``val_map``.

    Raises:
        QuantdetError: configuration, data, weights or folder are wrong; the message says which.
    """
    stage = training_stages()[0]
    join_processes()
    from quantdet.models import resolve_start
    from quantdet.stages.check import check_config, check_names
    from quantdet.train.teacher import check_teacher

    check_names(config)
    judged, digests = judge_training(config, progress=progress)
    dataset = judged.require()
    check_config(config, dataset)
    # Told before anything is written.
    check_teacher(config.train, resolve_start(config.model, dataset.labels), dataset.labels)
    contents = describe_contents(dataset, digests)
    with _own_run(Run(out)) as run, recorded(run, "train") as note:
        with_config(run, config, contents).save_config()
        with written_log(run.log_file):
            _log.info("%s", describe_training(config, dataset.labels))
            write_data_facts(run, config, dataset)
            contents.save(run.pictures_file)
            watch = _watch(config, dataset, progress, callbacks)
            trained = stage(config, dataset, run.float_dir, watch)
            _write_summary(trained.model, run.float_dir)
            found = {**trained.summary.content(), "data_fingerprint": contents.fingerprint}
            note(TrainRecord.model_validate(found))
    return Run(out)


def run_qat(run: Run, progress: Progress = silent, *, callbacks: Sequence[Callback] = ()) -> Run:
    """Quantize and fine-tune the float model of a run; arguments as in :func:`run_train`.

    Settings that were changed for it (``stages.settings.changed_run``) are saved when training
    begins, since it is resumed with them; they stay as they are where it is refused before.
    """
    stage = training_stages()[1]
    join_processes()
    from keras.callbacks import LambdaCallback

    from quantdet.stages.check import check_names

    config = run.load_config()
    check_names(config)
    dataset = load_data(config, run)
    if run.pictures_file.exists():
        require_same(run, describe_contents(dataset), config.data.root)
    with _own_run(run) as own, recorded(own, "qat") as note, written_log(own.log_file):
        _log.info("Quantizing: %d epochs of training after calibration", config.qat.epochs)
        begins = LambdaCallback(on_train_begin=lambda logs: own.save_config())
        watch = _watch(config, dataset, progress, (begins, *callbacks))
        source = own.float_dir / "model.keras"
        quantized = stage(config, dataset, source, own.qat_dir, watch)
        _write_summary(quantized.model, own.qat_dir)
        note(QatRecord.model_validate(quantized.summary.content()))
    return run


@contextmanager
def _own_run(run: Run) -> Iterator[Run]:
    """Yield the run, or in a process that does not lead its copy."""
    with own_folder(run.root) as folder:
        yield run.at(folder)


def _watch(
    config: Config, dataset: Dataset, progress: Progress, callbacks: Sequence[Callback]
) -> Watch:
    """Return who looks on while a stage trains.

    Raises:
        ConfigError: what is given is no Keras callback.
    """
    import keras

    from quantdet.stages.validate import find_validator
    from quantdet.train.task import Watch

    for item in callbacks:
        if not isinstance(item, keras.callbacks.Callback):
            raise ConfigError(f"callbacks: {item!r} is not a keras.callbacks.Callback")
    return Watch(progress, partial(find_validator, config, dataset.labels), tuple(callbacks))


def _write_summary(model: keras.Model, folder: Path) -> None:
    """Write the layers of a model as a text file, as Keras shows them."""
    lines: list[str] = []
    # Wide enough for names of quantizers; what does not fit would be broken into several lines.
    model.summary(line_length=120, print_fn=lambda line, line_break=True: lines.append(line))
    write_text(folder / "model.txt", "\n".join(lines) + "\n")
