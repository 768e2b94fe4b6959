"""The result files of a run, read and checked. What cannot be read becomes a note, not a crash.

Only the fields that the report shows are named here; others are ignored, so that files of an
older or newer quantdet can be shown as far as they go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quantdet.config import TargetConfig
from quantdet.runs import Run
from quantdet.runtime.contract import Contract


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


Bounds = tuple[float, float]


class Variant(_Part):
    """One form of the model."""

    variant: str
    name: str
    file: str = ""
    bytes: int = Field(gt=0)
    pictures: int = Field(gt=0)


class LocalizerVariant(Variant):
    """Accuracy of a single-object model, see ``evaluate.single_object``; shares are 0 to 1."""

    class_accuracy: float
    mean_iou: float
    hit_share: float | None = None
    ordered_share: float | None = None


class ClassFigures(_Part):
    """One class; AP is 0 to 1, None without objects."""

    objects: int
    ap_voc07: float | None
    ap_voc10: float | None = None
    precision: tuple[float | None, ...] = ()


class DetectionVariant(Variant):
    """Accuracy of a detector, see ``evaluate.detection``; shares are 0 to 1."""

    map_voc07: float
    map_voc07_interval: Bounds
    map_voc10: float
    map_voc10_interval: Bounds
    coco: Mapping[str, float | None] = {}
    per_class: Mapping[str, ClassFigures] = {}


class Difference(_Part):
    """``variant - against`` on the same pictures, with paired 95 % intervals."""

    variant: str
    against: str
    map_voc07: float
    map_voc07_interval: Bounds
    map_voc10: float
    map_voc10_interval: Bounds


class Latency(_Part):
    """Times of one file in one setting, milliseconds."""

    variant: str
    kernels: str
    threads: int
    median_ms: float = Field(gt=0)
    p90_ms: float | None = None
    min_ms: float | None = None


class LayerFigures(_Part):
    """Layer-by-layer parity, of one layer or of several together; shares are 0 to 1."""

    layer: str = ""
    kind: str = ""
    layers: int = 1
    values: int
    identical: float
    identical_exact: float
    max_lsb: int


class LayerParity(LayerFigures):
    """Layer-by-layer parity of the whole model."""

    worst_layer: LayerFigures | None = None
    by_kind: Mapping[str, LayerFigures] = {}


class Differences(_Part):
    """Integers of two answers; the share is 0 to 1."""

    identical: float
    noise_lsb: float
    max_lsb: float | None = None


class KernelParity(Differences):
    """One kernel set against fake-quantized Keras, and against Keras that rounds as it does."""

    kernels: str
    exact: Differences | None = None
    same_class: float | None = None
    class_accuracy: float | None = None
    same_detections: float | None = None
    map_voc07: float | None = None


class EndToEnd(_Part):
    """All kernel sets on the same pictures."""

    pictures: int
    kernels: tuple[KernelParity, ...] = ()
    quantization_noise_lsb: float


class Parity(_Part):
    """Both views of parity."""

    layers: LayerParity
    end_to_end: EndToEnd
    skipped: Mapping[str, str] = {}


class Host(_Part):
    """The machine that measured."""

    cpu: str = ""
    cores: int | None = None
    system: str = ""


_Variant = TypeVar("_Variant", bound=Variant)


class Metrics(_Part, Generic[_Variant]):
    """``metrics.json``: what it holds for every task."""

    task: str = "localizer"
    split: str
    host: Host = Host()
    variants: tuple[_Variant, ...] = Field(min_length=1)
    latency: tuple[Latency, ...] = ()
    operators: Mapping[str, int] = {}
    float_tensors: int | None = None
    parity: Parity | None = None

    def variant(self, *names: str) -> _Variant | None:
        """Return the first of ``names`` that was measured."""
        by_name = {row.variant: row for row in self.variants}
        return next((by_name[name] for name in names if name in by_name), None)


class LocalizerMetrics(Metrics[LocalizerVariant]):
    """Of a single-object model."""

    target: TargetConfig = TargetConfig()


class DetectionMetrics(Metrics[DetectionVariant]):
    """Of a detector."""

    objects: int = 0
    difficult: int = 0
    differences: tuple[Difference, ...] = ()

    def difference(self, variant: str, *against: str) -> Difference | None:
        """Return ``variant`` against the first of ``against`` that it was compared with."""
        found = {row.against: row for row in self.differences if row.variant == variant}
        return next((found[name] for name in against if name in found), None)


AnyMetrics = LocalizerMetrics | DetectionMetrics
_METRICS: dict[str, type[LocalizerMetrics] | type[DetectionMetrics]] = {
    "localizer": LocalizerMetrics,
    "ssd": DetectionMetrics,
    "ssdlite": DetectionMetrics,
}
"""``task`` of ``metrics.json`` → its type."""


class Stage(_Part):
    """What every entry of ``manifest.json`` has."""

    seconds: float | None = None
    written: str = ""
    versions: Mapping[str, str] = {}


class Identity(_Part):
    """What the float model was made of."""

    labels: tuple[str, ...] = ()
    pictures: tuple[int, ...] = ()
    skipped: tuple[str, ...] = ()
    weights: Mapping[str, Any] = {}


class TrainStage(Stage):
    """Entry "train"."""

    identity: Identity = Identity()
    data_fingerprint: str = ""


class QatStage(Stage):
    """Entry "qat"; the losses are absent where nothing was trained."""

    kept: str = ""
    loss_calibrated: float | None = None
    loss_trained: float | None = None


class Epochs(_Part):
    """``history.json`` of one training phase, see ``train.history``."""

    # A training that diverged has NaN losses, and the report should show that.
    model_config = ConfigDict(allow_inf_nan=True)

    monitor: str
    best_epoch: int
    seconds: float
    rows: tuple[Mapping[str, float], ...] = Field(min_length=1)


class _Task(_Part):
    task: str = "localizer"


_STAGE_TYPES: dict[str, type[Stage]] = {"train": TrainStage, "qat": QatStage}
_Read = TypeVar("_Read", bound=BaseModel)


@dataclass
class Results:
    """Everything that a run folder has to tell.

    Attributes:
        stages: manifest entries in the order they were written.
        metrics: None if not measured or not readable.
        histories: folder of a training phase, e.g. "float/frozen" → its epochs.
        contracts: name of a .tflite → its contract.
        notes: what could not be read, with the remedy.
    """

    stages: dict[str, Stage] = field(default_factory=dict)
    metrics: AnyMetrics | None = None
    histories: dict[str, Epochs] = field(default_factory=dict)
    contracts: dict[str, Contract] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def train(self) -> TrainStage | None:
        """The manifest entry of float training."""
        stage = self.stages.get("train")
        return stage if isinstance(stage, TrainStage) else None

    @property
    def qat(self) -> QatStage | None:
        """The manifest entry of quantization-aware training."""
        stage = self.stages.get("qat")
        return stage if isinstance(stage, QatStage) else None


def read_results(run: Run) -> Results:
    """Read the result files of a run; absent ones are left out, damaged ones noted.

    Raises:
        QuantdetError: ``manifest.json`` is not readable as JSON.
    """
    found = Results()
    for name, entry in run.manifest().items():
        try:
            found.stages[name] = _STAGE_TYPES.get(name, Stage).model_validate(entry)
        except ValidationError as error:
            found.notes.append(f"manifest.json, {name}: {_explain(error)}; run this stage again.")
    if run.metrics_file.is_file():
        found.metrics = _read_metrics(run.metrics_file, found.notes)
    for path in sorted(
        [*run.float_dir.glob("*/history.json"), *run.qat_dir.glob("*/history.json")]
    ):
        epochs = _read(path, Epochs, "run this stage again", found.notes)
        if epochs is not None:
            found.histories[path.parent.relative_to(run.root).as_posix()] = epochs
    for path in sorted(run.export_dir.glob("*.contract.json")):
        contract = _read(path, Contract, "export again", found.notes)
        if contract is not None:
            found.contracts[path.name.replace(".contract.json", ".tflite")] = contract
    return found


def _read_metrics(path: Path, notes: list[str]) -> AnyMetrics | None:
    head = _read(path, _Task, "evaluate again", notes)
    if head is None:
        return None
    kind = _METRICS.get(head.task)
    if kind is None:
        notes.append(f"{path}: task {head.task!r} is not known here; update quantdet.")
        return None
    return _read(path, kind, "evaluate again", notes)


def _read(path: Path, kind: type[_Read], remedy: str, notes: list[str]) -> _Read | None:
    """Return the content of ``path``, or None with a note."""
    try:
        return kind.model_validate(json.loads(path.read_text("utf-8")))
    except ValidationError as error:
        problem = _explain(error)
    except (OSError, ValueError, RecursionError) as error:
        problem = f"not readable as JSON ({error})"
    notes.append(f"{path}: {problem}; {remedy}.")
    return None


def _explain(error: ValidationError) -> str:
    items = error.errors()
    parts = [": ".join(filter(None, (_place(item["loc"]), item["msg"]))) for item in items[:3]]
    return "; ".join([*parts, "…"] if len(items) > 3 else parts)


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))
