"""Typed configuration ⇄ TOML. An unknown key is an error that names the key.

A configuration is built in layers, later ones win: defaults (the reference note's settings),
a preset shipped with quantdet, a TOML file, ``--set section.key=value``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quantdet.errors import ConfigError
from quantdet.kinds import DEFAULT_KIND, KINDS, size_problem
from quantdet.system.atomic import write_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


# (what the user knows it by, nested values)
_Layer = tuple[str, Mapping[str, Any]]
_ABSENT = object()


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExtraSource(_Section):
    """More pictures to train on."""

    root: Path
    format: str = "auto"
    split: str = ""
    class_map: dict[str, str] = {}


class DataConfig(_Section):
    """Where the pictures are and how they are split."""

    root: Path = Path("VOCdevkit/VOC2012")
    format: str = "auto"
    train_split: str = "train"
    val_split: str = "val"
    test_split: str = "test"
    split_seed: int = Field(0, ge=0)
    labels: Path | None = None
    classes: list[str] = []
    class_map: dict[str, str] = {}
    extra: list[ExtraSource] = []
    skip_bad: bool = False
    cache_dir: Path | None = None

    @model_validator(mode="after")
    def _one_class_list(self) -> DataConfig:
        if self.labels is not None and self.classes:
            raise ValueError("labels and classes both say which classes to learn; set one of them")
        return self


class TargetConfig(_Section):
    """Which object of a picture a single-object model learns (choices of the task)."""

    choose: Literal["first", "largest"] = "first"
    skip_difficult: bool = True
    skip_truncated: bool = True


class ModelConfig(_Section):
    """Architecture and where its weights start."""

    name: str = DEFAULT_KIND
    backbone: str = "mobilenet_v2"
    width: float = Field(1.0, ge=0.35, le=1.4)
    input_size: int = Field(224, ge=32, le=1024)
    head: Literal["global", "grid"] = "global"
    anchors: str = "classic"
    weights: str = "imagenet"
    start_classes: dict[str, str] = {}

    @model_validator(mode="after")
    def _size_fits(self) -> ModelConfig:
        if self.name not in KINDS:
            raise ValueError(f"name {self.name!r} is unknown; choose one of {', '.join(KINDS)}")
        problem = size_problem(self.name, self.input_size)
        if problem is not None:
            raise ValueError(problem)
        return self


class TrainConfig(_Section):
    """Float training: first the heads on a frozen backbone, then optionally all layers."""

    epochs: int = Field(10, ge=0)
    batch_size: int = Field(32, ge=1)
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    finetune_epochs: int = Field(0, ge=0)
    finetune_learning_rate: float = Field(1e-4, gt=0)
    finetune_from: str = ""
    augment: Literal["none", "mild", "ssd", "ssd_mosaic"] = "none"
    crop_scale: float = Field(1.0, ge=1.0, le=3.0)
    balance: bool = False
    ema: float = Field(0.0, ge=0, lt=1)
    start_share: float = Field(0.0, ge=0, lt=1)
    backbone_rate: float = Field(1.0, ge=0)
    class_head_rate: float = Field(1.0, ge=0)
    keep: Literal["best", "last"] = "best"
    seed: int = 0
    mixed_precision: bool = False


class QatConfig(_Section):
    """Quantization-aware training."""

    recipe: str | list[tuple[str, str]] = "static_wi8_ai8"
    observer: str = "mse"
    rounding: str = "nearest"
    ranges: str = "calibrated"
    track_steps: int = Field(200, ge=0)
    calibration_images: int = Field(200, ge=1)
    epochs: int = Field(5, ge=0)
    learning_rate: float = Field(1e-5, gt=0)
    range_learning_rate: float = Field(1e-3, gt=0)
    train_backbone: bool = False
    distill: float = Field(0.0, ge=0, le=1)
    distill_features: tuple[str, ...] = ()
    seed: int = 0

    @model_validator(mode="after")
    def _features_have_weight(self) -> QatConfig:
        if self.distill_features and not self.distill:
            raise ValueError("distill_features have no weight; set distill above 0, e.g. 0.5")
        return self


class PredictConfig(_Section):
    """What counts as a detection."""

    score_threshold: float = Field(0.5, ge=0, le=1)
    class_thresholds: dict[str, float] = {}
    nms_iou: float = Field(0.5, gt=0, le=1)


class Config(_Section):
    """Everything a run depends on; saved resolved as ``config.toml`` in the run folder."""

    data: DataConfig = DataConfig()
    target: TargetConfig = TargetConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    qat: QatConfig = QatConfig()
    predict: PredictConfig = PredictConfig()

    def to_toml(self) -> str:
        """Return the configuration as TOML; absent values are left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def save(self, path: Path) -> None:
        """Write the configuration to ``path`` in one step."""
        write_text(path, self.to_toml())


def preset_names() -> list[str]:
    """Return the names of the presets shipped with quantdet."""
    folder = resources.files("quantdet") / "presets"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith("toml"))


def load_config(
    file: Path | None = None,
    *,
    preset: str | None = None,
    overrides: Iterable[str] = (),
    values: Mapping[str, Any] | None = None,
) -> Config:
    """Resolve a configuration.

    Args:
        file: TOML file, may be partial.
        preset: name out of :func:`preset_names`.
        overrides: ``section.key=value`` strings; the value is TOML, or else a plain string.
        values: nested mapping with the last word, e.g. from command line options.

    Raises:
        ConfigError: unreadable file, unknown preset, unknown key or wrong value.
    """
    layers: list[_Layer] = []
    if preset is not None:
        layers.append((f"preset {preset}", _read_preset(preset)))
    if file is not None:
        layers.append((str(file), _read_toml(file)))
    layers += [(f"--set {override}", _parse_override(override)) for override in overrides]
    layers.append(("", values or {}))
    merged: dict[str, Any] = {}
    for _, layer in layers:
        _merge(merged, layer)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_explain(error, layers)) from None


def _read_preset(name: str) -> dict[str, Any]:
    if name not in preset_names():
        raise ConfigError(f"preset {name!r} is unknown; choose one of {preset_names()}")
    return tomllib.loads(
        (resources.files("quantdet") / "presets" / f"{name}.toml").read_text("utf-8")
    )


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        # Windows editors put a byte order mark in front, which TOML does not allow.
        return tomllib.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such configuration file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: not readable as TOML: {error}") from None


def _parse_override(text: str) -> dict[str, Any]:
    path, equals, raw = text.partition("=")
    keys = path.strip().split(".")
    if not equals or len(keys) != 2 or not all(keys):
        raise ConfigError(f"--set {text}: expected section.key=value, e.g. train.epochs=20")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    if not isinstance(value, str | list | dict):
        # The field says what 2007 is: a number, or the name of a split or folder.
        value = raw.strip()
    return {keys[0]: {keys[1]: value}}


def _explain(error: ValidationError, layers: Sequence[_Layer]) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        origin = _origin(item["loc"], layers)
        if item["type"] == "extra_forbidden":
            known = ", ".join(_siblings(item["loc"]))
            lines.append(f"{origin}unknown key {key!r}; known there: {known}")
        else:
            lines.append(f"{origin}{key}: {item['msg']} (got {item['input']!r})")
    return "; ".join(lines)


def _origin(location: tuple[int | str, ...], layers: Sequence[_Layer]) -> str:
    """Return "NAME: " of the last layer that sets the key at ``location``."""
    for name, layer in reversed(layers):
        value: Any = layer
        for part in location[:2]:
            value = value.get(str(part), _ABSENT) if isinstance(value, Mapping) else _ABSENT
        if value is not _ABSENT:
            return f"{name}: " if name else ""
    return ""


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    if len(location) == 1:
        return list(Config.model_fields)
    return list(type(getattr(Config(), str(location[0]))).model_fields)
