"""Float training from a wider detector: its channels, and following its outputs."""

import keras
import numpy as np
import pytest
from pydantic import ValidationError
from test_loop import Killed, assert_same, build, kill_at, task
from voc_fixture import LABELS, write_dataset

from quantdet.config import load_config
from quantdet.errors import ConfigError, ModelError, QuantdetError
from quantdet.runs import Run
from quantdet.train import start as start_module
from quantdet.train.distill import distilled, with_teacher
from quantdet.train.float_stage import build_task, train_float
from quantdet.train.loop import fit
from quantdet.train.settings import FitSettings
from quantdet.train.task import Watch


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("teacher")


@pytest.fixture(scope="module")
def dataset(folder):
    (folder / "data").mkdir()
    return write_dataset(folder / "data", {"train": 20, "val": 4})


@pytest.fixture(scope="module")
def settings(folder, tiny_backbone):
    def make(train=None, **model):
        values = {
            "data": {"cache_dir": str(folder / "cache")},
            "model": {"backbone": tiny_backbone, "input_size": 160, "weights": "none", **model},
            "train": {"finetune_epochs": 2, "batch_size": 8, "validate_every": 0, **(train or {})},
        }
        return load_config(preset="ssd", values=values, overrides=["train.min_steps=0"])

    return make


@pytest.fixture(scope="module")
def wide(folder, dataset, settings):
    """A finished run of width 1.0, with random weights."""
    config = settings(train={"finetune_epochs": 0})
    run = Run.create(folder / "wide", config)
    summary = train_float(config, dataset, run.float_dir).summary
    run.record("train", summary.content())
    return run


def test_a_narrow_model_starts_from_a_wide_run_and_says_so(
    wide, dataset, settings, tmp_path, caplog
):
    caplog.set_level("INFO", logger="quantdet")
    config = settings(train={"finetune_epochs": 0}, width=0.5, weights=str(wide.root))
    result = train_float(config, dataset, tmp_path / "out")
    taken, known = result.summary.identity.weights["channels"]
    assert 0.4 * known < taken < known
    assert f"choosing {taken} of the {known} channels of run wide" in caplog.text
    assert len(list((tmp_path / "out").glob("start-*.keras"))) == 1


def test_following_a_teacher_resumes_bit_equal(tmp_path):
    def pair():
        student, teacher = build(), build()
        for variable in teacher.trainable_variables:
            variable.assign(variable + 0.5)
        return student, with_teacher(student, teacher)

    settings = FitSettings(epochs=4, batch_size=8, ema=0.9)
    (whole, both), (resumed, again) = pair(), pair()
    training = distilled(task(), {}, 0.5)
    fit(both, training, settings, tmp_path / "whole")
    with pytest.raises(Killed):
        fit(pair()[1], training, settings, tmp_path / "cut", kill_at(17))
    with pytest.raises(QuantdetError, match=r"differs in .*distill"):
        fit(pair()[1], distilled(task(), {}, 0.25), settings, tmp_path / "cut")
    fit(again, training, settings, tmp_path / "cut")
    assert_same(whole, resumed)


@pytest.mark.slow
def test_a_training_that_follows_its_start_resumes_bit_equal(
    wide, dataset, settings, tmp_path, monkeypatch
):
    config = settings(
        train={"distill": 0.5, "ema": 0.9, "validate_every": 1}, width=0.5, weights=str(wide.root)
    )
    whole = train_float(config, dataset, tmp_path / "whole")

    def progress(name, done, total):
        if (name, done) == ("fine-tune", 5):
            raise Killed

    with pytest.raises(Killed):
        train_float(config, dataset, tmp_path / "cut", Watch(progress))

    def never(*_):
        raise AssertionError("the start was made again")

    monkeypatch.setattr(start_module, "narrow_start", never)
    resumed = train_float(config, dataset, tmp_path / "cut")
    for old, new in zip(whole.model.variables, resumed.model.variables, strict=True):
        np.testing.assert_array_equal(old, new)
    assert not [la for la in whole.model.layers if isinstance(la, keras.Model)]


@pytest.mark.slow
def test_following_brings_the_answers_nearer(wide, dataset, settings, tmp_path):
    pictures = build_task(settings(), dataset).validation.pictures(np.arange(4))
    teacher = keras.saving.load_model(wide.float_dir / "model.keras", compile=False)
    wanted = np.asarray(teacher(pictures)["scores"])
    errors = []
    for share in (0.0, 1.0):
        train = {"distill": share, "finetune_epochs": 6, "finetune_learning_rate": 1e-3}
        config = settings(train={**train, "ema": 0.5}, weights=str(wide.root), width=0.75)
        got = train_float(config, dataset, tmp_path / str(share)).model(pictures)["scores"]
        errors.append(np.square(got - wanted).mean())
    assert errors[1] < 0.5 * errors[0]


def test_a_start_that_cannot_teach_is_refused(wide, dataset, settings, tmp_path):
    train = {"distill": 0.5}
    with pytest.raises(ConfigError, match=r"train\.distill: .*not of a detector"):
        train_float(settings(train=train), dataset, tmp_path / "out")
    run = wide.fork(tmp_path / "other")
    identity = {"labels": ["red", "blue"]}
    run.record("train", {"identity": identity})
    config = settings(train=train, weights=str(run.root), width=0.5)
    with pytest.raises(ConfigError, match=rf"run other does not know {LABELS[1]}; train a wide"):
        train_float(config, dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_wider_model_than_the_start_is_refused(wide, dataset, settings, tmp_path):
    with pytest.raises(ModelError, match=r"run wide: has fewer channels .*width = 1 .*or less"):
        train_float(settings(weights=str(wide.root), width=1.4), dataset, tmp_path / "out")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"finetune_epochs": 0}, "second phase; set finetune_epochs"),
        ({"mixed_precision": True}, "float32; set mixed_precision false"),
    ],
)
def test_settings_that_leave_nothing_to_follow_are_refused(settings, train, message):
    with pytest.raises((ConfigError, ValidationError), match=message):
        settings(train={"distill": 0.5, **train})
