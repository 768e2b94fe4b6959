"""Who looks on while the loop trains: accuracy, callbacks, log lines, TensorBoard."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_loop import Killed, assert_same, build, kill_at, measured, task
from voc_fixture import LABELS, write_dataset

from quantdet.config import load_config
from quantdet.stages.validate import find_validator
from quantdet.train.float_stage import build_task
from quantdet.train.history import MAP
from quantdet.train.loop import fit
from quantdet.train.settings import FitSettings
from quantdet.train.validation import Accuracy, StudentOnly

SETTINGS = FitSettings(epochs=5, batch_size=8, learning_rate=0.01, validate_every=2)


class Judge:
    """Says that the model got better until the epoch ``peak``, and worse after it."""

    def __init__(self, peak, objects=10**6):
        self.objects = objects
        self.seen = []
        self._peak = peak

    def measure(self, outputs):
        self.seen.append(sum(len(batch["value"]) for batch in outputs))
        value = 0.9 - 0.1 * abs(len(self.seen) - self._peak)
        return Accuracy(value, [np.full((8, 8, 3), 200, np.uint8)])


def test_best_epoch_is_chosen_by_mean_ap(tmp_path):
    judge = Judge(peak=2)
    history = fit(build(), replace(task(), validator=judge), SETTINGS, tmp_path)
    assert judge.seen == [20, 20, 20]  # epochs 2, 4 and, as the last, 5
    assert [MAP in row for row in history.rows] == [False, True, False, True, True]
    assert (history.monitor, history.best_epoch) == (MAP, 4)
    assert (tmp_path / "best-0004.npz").exists()


@pytest.mark.parametrize(
    ("change", "monitor"),
    [({"accuracy_decides": False}, "val_loss"), ({"validator": None}, "val_loss")],
)
def test_loss_decides_where_it_has_to(tmp_path, change, monitor):
    watched = replace(task(), validator=Judge(peak=1))
    assert fit(build(), replace(watched, **change), SETTINGS, tmp_path).monitor == monitor


def test_early_stopping_ends_for_good(tmp_path, caplog):
    caplog.set_level("INFO", "quantdet")
    settings = replace(SETTINGS, epochs=20, validate_every=1, patience=2)
    first = fit(build(), replace(task(), validator=Judge(peak=3)), settings, tmp_path)
    assert (len(first.rows), first.best_epoch) == (5, 3)
    assert "no better val map since epoch 3: training ends here" in caplog.text
    again = Judge(peak=3)
    assert fit(build(), replace(task(), validator=again), settings, tmp_path) == first
    assert again.seen == []


def test_resumed_run_is_bit_equal_with_validation_and_averages(tmp_path):
    settings = replace(SETTINGS, ema=0.9, validate_every=1)

    class Watched(Judge):
        def measure(self, outputs):
            total = sum(float(np.abs(batch["value"]).sum()) for batch in outputs)
            return Accuracy(min(total / 1000, 1.0))

    watched = replace(task(), validator=Watched(0))
    whole, resumed = build(), build()
    wanted = fit(whole, watched, settings, tmp_path / "whole")
    for step in (17, 31):
        with pytest.raises(Killed):
            fit(build(), watched, settings, tmp_path / "cut", kill_at(step))
    got = fit(resumed, watched, settings, tmp_path / "cut")
    assert measured(got) == measured(wanted)
    assert got.best_epoch == wanted.best_epoch
    assert_same(whole, resumed)


def test_callbacks_see_what_was_measured_and_may_stop(tmp_path):
    seen = []

    class Mine(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, logs.get(MAP)))
            self.model.stop_training = epoch == 3

    watched = replace(task(), validator=Judge(peak=1), callbacks=(Mine(),))
    history = fit(build(), watched, SETTINGS, tmp_path)
    assert [epoch for epoch, _ in seen] == [0, 1, 2, 3]
    assert [value is not None for _, value in seen] == [False, True, False, True]
    assert len(history.rows) == 4


def test_every_epoch_is_a_line_and_compiling_is_announced(tmp_path, caplog):
    caplog.set_level("INFO", "quantdet")
    fit(build(), replace(task(), validator=Judge(peak=1)), SETTINGS, tmp_path)
    lines = [line for line in caplog.messages if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == [f"{n}/5" for n in range(1, 6)]
    assert all("val loss" in line and "images/s" in line and "left" in line for line in lines)
    assert ["val mAP" in line for line in lines] == [False, True, False, True, True]
    assert caplog.messages[0].startswith("compiling the training step")


def test_tensorboard_has_figures_and_pictures(tmp_path):
    fit(build(), replace(task(), validator=Judge(peak=1)), SETTINGS, tmp_path)
    board = EventAccumulator(str(tmp_path / "logs")).Reload()
    tags = board.Tags()
    assert {"loss/train", "loss/validation", "map/validation"} <= set(tags["scalars"])
    assert tags["images"] == ["validation/picture 1"]
    assert [event.step for event in board.Images("validation/picture 1")] == [2, 4, 5]


def test_short_epochs_are_not_saved_one_by_one(tmp_path, monkeypatch):
    from quantdet.train.checkpoint import Checkpoints

    saved, original = [], Checkpoints.save_last
    monkeypatch.setattr(
        Checkpoints,
        "save_last",
        lambda self, model, history: (
            saved.append(len(history.rows)) or original(self, model, history)
        ),
    )
    fit(build(), task(), replace(SETTINGS, batch_size=50, epochs=25), tmp_path)  # one step each
    assert saved == [10, 20, 25]


@pytest.fixture
def detector_task(tmp_path):
    dataset = write_dataset(tmp_path, {"train": 2, "val": 6})
    values = {"data": {"cache_dir": str(tmp_path / "cache")}, "model": {"input_size": 160}}
    config = load_config(preset="ssd", values=values)
    return config, build_task(config, dataset)


def _perfect(source, wrong=0):
    """Return outputs that answer what the targets say; the first ``wrong`` see nothing."""
    targets = source.targets(np.arange(len(source)))
    logits = np.where(targets["scores"][..., :-1] > 0, 6.0, -9.0).astype(np.float32)
    logits[:wrong] = -9.0
    return {"boxes": targets["boxes"][..., :4], "scores": logits}


def test_mean_ap_of_perfect_and_of_blind_answers(detector_task):
    config, made = detector_task
    judge = find_validator(config, LABELS, made.validation)
    counted = sum(int((~item.ignored).sum()) for item in made.validation.objects)
    assert judge.objects == counted
    right = judge.measure([_perfect(made.validation)])
    assert right.mean_ap == pytest.approx(1.0)
    assert judge.measure([_perfect(made.validation, wrong=3)]).mean_ap < 0.9
    assert judge.measure([_perfect(made.validation, wrong=6)]).mean_ap == 0.0
    # Boxes were drawn on copies.
    plain = made.validation.images[made.validation.rows[:4]]
    assert [picture.shape for picture in right.pictures] == [(160, 160, 3)] * 4
    assert all((drawn != before).any() for drawn, before in zip(right.pictures, plain, strict=True))


def test_the_student_is_judged_not_its_teacher(detector_task):
    config, made = detector_task
    judge = StudentOnly(find_validator(config, LABELS, made.validation))
    student, teacher = _perfect(made.validation, wrong=6), _perfect(made.validation)
    both = {name: np.concatenate([student[name], teacher[name]], axis=-1) for name in student}
    assert judge.measure([both]).mean_ap == 0.0


def test_nobody_judges_a_localizer_or_no_objects(detector_task):
    config, made = detector_task
    assert find_validator(load_config(preset="note"), LABELS, made.validation) is None
    nothing = replace(made.validation, objects=[], rows=made.validation.rows[:0])
    assert find_validator(config, LABELS, nothing) is None
