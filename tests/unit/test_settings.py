"""Options of the command line, and where the lines of a training go."""

import logging

import pytest

from quantdet.cli.bars import bar
from quantdet.cli.settings import QAT_KEYS, Given, class_list, option_values, training_arguments
from quantdet.config import DEFAULT_PRESET, Config, load_config
from quantdet.errors import ConfigError
from quantdet.stages.announce import describe_training
from quantdet.system.log import written_log


def resolved(preset=None, overrides=(), file=None, **options):
    options = {f"--{name}": value for name, value in options.items()}
    return load_config(**training_arguments(Given(file, preset, overrides, options)))


def test_without_a_preset_all_objects_are_found():
    assert resolved() == load_config(preset=DEFAULT_PRESET)
    assert resolved().model.name == "ssdlite"
    assert resolved(overrides=["model.name=localizer"]) == Config()
    assert resolved(overrides=["model.name=ssd"]).train.augment == "ssd"
    with pytest.raises(ConfigError, match="'yolo' is unknown"):
        resolved(overrides=["model.name=yolo"])


def test_a_file_that_names_its_model_stands_alone(tmp_path):
    whole, part = tmp_path / "whole.toml", tmp_path / "part.toml"
    whole.write_text('[model]\nname = "ssdlite"\ninput_size = 300\n')
    part.write_text("[train]\nseed = 4\n")
    assert resolved(file=whole) == load_config(whole)
    assert resolved(file=part) == load_config(part, preset=DEFAULT_PRESET)


@pytest.mark.parametrize(
    ("preset", "phase"), [("ssd", "finetune_"), ("recommended", "finetune_"), ("note", "")]
)
def test_short_names_mean_the_phase_that_trains_most(preset, phase):
    found = resolved(preset, epochs=7, lr=0.5, batch=3, imgsz=320, seed=9, classes=["a", "b"])
    assert getattr(found.train, f"{phase}epochs") == 7
    assert getattr(found.train, f"{phase}learning_rate") == 0.5
    assert (found.train.batch_size, found.model.input_size) == (3, 320)
    assert (found.train.seed, found.qat.seed) == (9, 9)
    assert found.data.classes == ["a", "b"]


def test_short_names_of_quantization():
    given = Given(options={"--epochs": 4, "--lr": 1e-4, "--batch": None, "--seed": 2})
    assert option_values(given, QAT_KEYS) == {
        "qat": {"epochs": 4, "learning_rate": 1e-4, "seed": 2}
    }


def test_an_option_and_another_value_by_set_are_refused():
    assert resolved(overrides=["train.finetune_epochs=7"], epochs=7).train.finetune_epochs == 7
    with pytest.raises(ConfigError, match=r"--epochs and --set train\.finetune_epochs=3 set the"):
        resolved(overrides=["train.finetune_epochs=3"], epochs=7)
    with pytest.raises(ConfigError, match=r"--seed and --set qat\.seed=3"):
        resolved(overrides=["qat.seed=3"], seed=7)


def test_epochs_that_somebody_gives_are_meant():
    """The bounds of a preset give way; those of the same hand do not."""
    assert resolved().train.min_steps > 0
    assert resolved(epochs=7).train.min_steps == 0
    assert resolved(overrides=["train.epochs=7"]).train.max_steps == 0
    both = ["train.min_steps=50", "train.finetune_epochs=7"]
    assert resolved(overrides=both).train.min_steps == 50


def test_classes_are_split_at_commas():
    assert class_list("car, dog ,") == ["car", "dog"]
    assert class_list(None) is None


@pytest.mark.parametrize(
    ("preset", "says"),
    [
        (
            "ssd",
            ["all objects (SSDLite", "2 classes (a, b)", "300 px", "voc-ssd300"],
        ),
        (
            "note",
            ["one object per picture", "first one", "10 epochs of the head", "--preset ssd"],
        ),
        ("recommended", ["12 epochs of the head, 20 epochs of all layers", "at least 200 steps"]),
    ],
)
def test_the_first_line_says_what_is_trained(preset, says):
    text = describe_training(load_config(preset=preset), ("a", "b"))
    assert all(part in text for part in says), text


def test_many_classes_are_not_listed():
    assert "20 classes (c0, c1, c2, c3, c4, c5, …)" in describe_training(
        load_config(preset="ssd"), [f"c{i}" for i in range(20)]
    )


def test_log_lines_reach_screen_and_file_without_a_terminal(tmp_path, capsys):
    log = logging.getLogger("quantdet.train.loop")
    for _ in range(2):  # a resumed run appends
        with bar() as progress, written_log(tmp_path / "train.log"):
            log.info("before any bar")
            progress("fine-tune", 1, 9)
            log.info("epoch 1/9  loss [0.5] %s", "x" * 120)
    assert capsys.readouterr().err.count(f"epoch 1/9  loss [0.5] {'x' * 120}\n") == 2
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].endswith("  before any bar")
    log.info("nobody listens")
    assert len((tmp_path / "train.log").read_text().splitlines()) == 4
