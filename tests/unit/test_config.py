import copy
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantdet.cli.tables import settings_text
from quantdet.config import (
    Config,
    DataConfig,
    ModelConfig,
    PredictConfig,
    TrainConfig,
    explain_config,
    load_config,
)
from quantdet.errors import ConfigError
from quantdet.presets import preset_names

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)


@st.composite
def configs(draw):
    return Config(
        data=DataConfig(
            train_split=draw(words),
            labels=draw(st.none() | st.just(Path("classes.txt"))),
            skip_bad=draw(st.booleans()),
        ),
        model=ModelConfig(width=draw(st.floats(0.35, 1.4)), weights=draw(words)),
        train=TrainConfig(
            epochs=draw(st.integers(0, 500)), learning_rate=draw(st.floats(1e-9, 1.0))
        ),
        predict=PredictConfig(score_threshold=draw(st.floats(0, 1))),
    )


@given(config=configs())
def test_toml_round_trip(tmp_path_factory, config):
    file = tmp_path_factory.mktemp("config") / "config.toml"
    config.save(file)
    assert load_config(file) == config


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads(name):
    assert isinstance(load_config(preset=name), Config)


def test_note_preset_is_the_reference_and_equals_the_defaults():
    config = load_config(preset="note")
    assert (config.train.epochs, config.qat.epochs, config.model.input_size) == (10, 5, 224)


def test_later_layers_win(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[train]\nepochs = 3\nbatch_size = 8\n")
    config = load_config(
        file,
        preset="recommended",
        overrides=["train.epochs=4"],
        values={"train": {"seed": 7}},
    )
    assert config.train.epochs == 4
    assert config.train.batch_size == 8
    assert config.train.seed == 7
    assert config.model.head == "grid"  # from the preset


@pytest.mark.parametrize(
    ("override", "section", "key", "expected"),
    [
        ("train.epochs=20", "train", "epochs", 20),
        ("train.learning_rate=1e-4", "train", "learning_rate", 1e-4),
        ("train.balance=true", "train", "balance", True),
        ("train.balance=True", "train", "balance", True),
        ("model.weights=none", "model", "weights", "none"),
        ('model.weights="none"', "model", "weights", "none"),
        # A split or folder may be called like a number.
        ("data.train_split=2007", "data", "train_split", "2007"),
        ("data.root=2007", "data", "root", Path("2007")),
        ("data.root=a=b/c", "data", "root", Path("a=b/c")),
        ("train.finetune_from=", "train", "finetune_from", ""),
    ],
)
def test_override_values(override, section, key, expected):
    assert getattr(getattr(load_config(overrides=[override]), section), key) == expected


@pytest.mark.parametrize("bad", ["train.epochs", "epochs=3", "a.b.c=1", ".epochs=1", "="])
def test_malformed_override(bad):
    with pytest.raises(ConfigError, match=r"expected section\.key=value") as caught:
        load_config(overrides=[bad])
    assert bad in str(caught.value)


def test_unknown_key_names_the_file_key_and_choices(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[train]\nepoch = 3\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    message = str(caught.value)
    assert f"{file}: unknown key 'train.epoch'" in message
    assert "epochs" in message


def test_unknown_section():
    message = r"unknown key 'trian', did you mean 'train'\?; known there: data, target"
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=["trian.epochs=3"])


def test_error_names_the_layer_that_is_wrong_not_the_file(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[train]\nepochs = 3\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides=["train.epochs=many"])
    assert str(caught.value).startswith("--set train.epochs=many: train.epochs: ")
    assert "got 'many'" in str(caught.value)


def test_every_wrong_value_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=["model.input_size=225", "predict.score_threshold=50"])
    assert "takes 32 to 1024 pixels in steps of 32, e.g. 224" in str(caught.value)
    assert "predict.score_threshold" in str(caught.value)


def test_unknown_preset_lists_the_known():
    with pytest.raises(ConfigError, match=r"preset 'best' is unknown.*note.*recommended"):
        load_config(preset="best")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: no such configuration file"):
        load_config(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[train\n")
    with pytest.raises(ConfigError, match=r"broken\.toml: not readable as TOML.*line 1"):
        load_config(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"broken\.toml: not readable as TOML"):
        load_config(broken)


def test_byte_order_mark_is_no_error(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[train]\nepochs = 3\n", encoding="utf-8-sig")
    assert load_config(file).train.epochs == 3


def test_arguments_are_not_changed():
    values = {"train": {"epochs": 1}}
    before = copy.deepcopy(values)
    load_config(preset="note", values=values, overrides=["train.epochs=2"])
    assert values == before


def test_every_setting_says_what_set_it(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[train]\nseed = 3\n")
    found = explain_config(
        file, preset="ssd", overrides=["qat.epochs=7"], values={"data": {"root": "mine"}}
    )
    origins = {(item.section, item.key): (item.value, item.origin) for item in found}
    assert origins["train", "finetune_epochs"] == (40, "preset ssd")
    assert origins["train", "seed"] == (3, str(file))
    assert origins["qat", "epochs"] == (7, "--set qat.epochs=7")
    assert origins["data", "root"] == ("mine", "option")
    assert origins["model", "width"] == (1.0, "default")


def test_settings_as_text_are_a_configuration(tmp_path):
    overrides = ["data.class_map={'a b' = 'c'}", "data.classes=['x', 'y']", "qat.distill=0.5"]
    text = settings_text(explain_config(preset="voc_ssd300", overrides=overrides))
    assert "# Share of the starting weights" in text
    assert re.search(r"^start_share = 0.15 +# preset voc_ssd300$", text, re.MULTILINE)
    (tmp_path / "all.toml").write_text(text)
    expected = load_config(preset="voc_ssd300", overrides=overrides)
    assert load_config(tmp_path / "all.toml") == expected


def test_a_wrong_key_suggests_the_right_one():
    with pytest.raises(ConfigError, match=r"'train.epoch', did you mean 'train.epochs'\?; known"):
        load_config(overrides=["train.epoch=3"])


@pytest.mark.parametrize(
    ("override", "suggested"),
    [
        ("model.batch_size=3", "train.batch_size"),
        ("train.input_size=320", "model.input_size"),
        ("qat.epoch=3", "qat.epochs"),
        ("epochs=3", "train.epochs"),
    ],
)
def test_suggestions_are_of_all_sections(override, suggested):
    with pytest.raises(ConfigError, match=f"did you mean '{suggested}'"):
        load_config(overrides=[override])


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.patience=3", "train.keep=last"],
        ["train.min_steps=300", "train.max_steps=100"],
    ],
)
def test_settings_that_do_not_go_together(overrides):
    with pytest.raises(ConfigError, match=r"patience waits|is below min_steps"):
        load_config(overrides=overrides)


@pytest.mark.parametrize("seed", ["train.seed", "qat.seed", "data.split_seed"])
@pytest.mark.parametrize("value", [-1, 2**32, 2**70])
def test_seeds_that_no_generator_takes(seed, value):
    with pytest.raises(ConfigError, match=f"{seed}: Input should be"):
        load_config(overrides=[f"{seed}={value}"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("train = {epochs = " + "9" * 5000 + "}", "more than 64 bits"),
        ("train = {epochs = 0x" + "f" * 5000 + "}", "more than 64 bits"),
        ("train = {epochs = [[" + "0x" + "f" * 5000 + "]]}", "more than 64 bits"),
    ],
)
def test_toml_without_end_is_refused_in_a_line(tmp_path, text, says):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(path)
    assert len(str(caught.value)) < 300
    override = text.replace("{epochs = ", "").removesuffix("}").replace(" = ", ".x=", 1)
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[override])
