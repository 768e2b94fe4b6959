"""Options of the command line become a configuration; short names stand for keys of the stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from quantdet.errors import ConfigError

if TYPE_CHECKING:
    from quantdet.config import Config

Keys = Mapping[str, tuple[str, ...]]
"""Option → the keys that it sets."""

_DATA_KEYS: Keys = {
    "--data": ("data.root",),
    "--skip-bad": ("data.skip_bad",),
    "--weights": ("model.weights",),
}
QAT_KEYS: Keys = {
    "--epochs": ("qat.epochs",),
    "--batch": ("qat.batch_size",),
    "--lr": ("qat.learning_rate",),
    "--seed": ("qat.seed",),
    "--devices": ("train.devices",),
}
"""Short names of `quantdet qat`."""


@dataclass(frozen=True)
class Given:
    """What the command line says.

    Attributes:
        file: of ``--config``.
        preset: of ``--preset``.
        overrides: of ``--set``.
        options: name of another option → its value, None where it is not given.
    """

    file: Path | None = None
    preset: str | None = None
    overrides: Sequence[str] = ()
    options: Mapping[str, object] = field(default_factory=dict)


class Arguments(TypedDict):
    """Arguments of ``load_config`` and ``explain_config``."""

    file: Path | None
    preset: str | None
    overrides: Sequence[str]
    values: Mapping[str, object]


def training_arguments(given: Given) -> Arguments:
    """Return the arguments of ``load_config`` and ``explain_config`` that training means.

    Without a preset it is that of the detector of all objects.

    Raises:
        ConfigError: something is wrong, or ``--set`` and an option disagree.
    """
    from quantdet.config import default_preset, load_config

    preset = given.preset or default_preset(given.file, overrides=given.overrides)
    config = load_config(given.file, preset=preset, overrides=given.overrides)
    return {
        "file": given.file,
        "preset": preset,
        "overrides": given.overrides,
        "values": option_values(given, training_keys(config)),
    }


def training_keys(config: Config) -> Keys:
    """Return what the short names of `quantdet train` and `quantdet run` set.

    Of the two phases it is the one that trains all layers, where there is one.
    """
    from quantdet.kinds import DETECTOR, find_family

    whole = config.train.finetune_epochs or find_family(config.model.name) == DETECTOR
    phase = "finetune_" if whole else ""
    return {
        **_DATA_KEYS,
        "--epochs": (f"train.{phase}epochs",),
        "--batch": ("train.batch_size",),
        "--imgsz": ("model.input_size",),
        "--lr": (f"train.{phase}learning_rate",),
        "--seed": ("train.seed", "qat.seed"),
        "--classes": ("data.classes",),
        "--devices": ("train.devices",),
    }


def option_values(given: Given, keys: Keys) -> dict[str, dict[str, object]]:
    """Return the options that are given as values of a configuration.

    Raises:
        ConfigError: ``--set`` gives one of the keys another value.
    """
    values: dict[str, dict[str, object]] = {}
    for option, value in given.options.items():
        for key in keys[option] if value is not None else ():
            _refuse_other(given.overrides, option, key, value)
            section, name = key.split(".")
            values.setdefault(section, {})[name] = value
    return values


def _refuse_other(overrides: Sequence[str], option: str, key: str, value: object) -> None:
    from quantdet.config import load_config

    section, name = key.split(".")
    wanted = load_config(values={section: {name: value}})
    for override in overrides:
        if override.partition("=")[0].strip() == key:
            said = load_config(overrides=[override])
            if getattr(getattr(said, section), name) != getattr(getattr(wanted, section), name):
                raise ConfigError(f"{option} and --set {override} set the same key; leave one out")


def class_list(text: str | None) -> list[str] | None:
    """Return the names in "car, dog"."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
