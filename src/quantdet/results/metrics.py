"""``metrics.json``: how good, how large, how fast and how true every form of a model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from pydantic import Field

from quantdet.config import TargetConfig
from quantdet.kinds import DEFAULT_KIND, DETECTOR, LOCALIZER
from quantdet.results.part import Bootstrap, Bounds, Host
from quantdet.results.thresholds import Thresholds
from quantdet.system.result_file import Part, ResultFile


class ClassFigures(Part):
    """One class; AP is 0 to 1, None without objects."""

    objects: int
    ap_voc07: float | None
    ap_voc07_interval: Bounds | None = None
    ap_voc10: float | None = None
    precision: tuple[float | None, ...] = ()


class Counts(Part):
    """What people see: ``shown`` reach their threshold, ``right`` of them, of ``objects``."""

    objects: int | None = None
    shown: int | None = None
    right: int | None = None


class Shown(Counts):
    """What people see, see ``evaluate.at_threshold``; shares are 0 to 1, None of nothing."""

    by_class: Mapping[str, Counts] = {}
    precision: float | None = None
    precision_interval: Bounds | None = None
    recall: float | None = None
    recall_interval: Bounds | None = None
    f1: float | None = None
    f1_interval: Bounds | None = None


class Variant(Shown):
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
    class_accuracy_interval: Bounds | None = None
    mean_iou_interval: Bounds | None = None
    hit_share: float | None = None
    ordered_share: float | None = None


class MeanPrecision(Part):
    """Means over classes, see ``evaluate.detection``; shares are 0 to 1.

    ``error_costs`` is the mean AP (VOC10) that no error of a kind would gain.
    """

    map_voc07: float
    map_voc07_interval: Bounds
    map_voc10: float
    map_voc10_interval: Bounds
    coco: Mapping[str, float | None] = {}
    error_costs: Mapping[str, float] = {}


class DetectionVariant(Variant, MeanPrecision):
    """Accuracy of a detector.

    ``over_all_classes`` counts classes that the model does not have as never found; only of files
    made elsewhere.
    """

    per_class: Mapping[str, ClassFigures] = {}
    over_all_classes: MeanPrecision | None = None


class Difference(Part):
    """``variant - against`` on the same pictures, with paired 95 % intervals."""

    variant: str
    against: str


class LocalizerDifference(Difference):
    """Of single-object models."""

    class_accuracy: float
    class_accuracy_interval: Bounds
    mean_iou: float
    mean_iou_interval: Bounds


class ClassDifference(Part):
    """Of one class."""

    ap_voc07: float
    ap_voc07_interval: Bounds


class DetectionDifference(Difference):
    """Of detectors."""

    map_voc07: float
    map_voc07_interval: Bounds
    map_voc10: float
    map_voc10_interval: Bounds
    per_class: Mapping[str, ClassDifference] = {}


class Latency(Part):
    """Times of one file in one setting, milliseconds."""

    variant: str
    kernels: str
    threads: int
    median_ms: float = Field(gt=0)
    p90_ms: float | None = None
    min_ms: float | None = None
    runs: int | None = None
    bytes: int | None = None


class LayerFigures(Part):
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


class Differences(Part):
    """Integers of two answers; the share is 0 to 1."""

    identical: float
    noise_lsb: float
    max_lsb: float | None = None


class Agreement(Part):
    """How far answers are those of another model, and how good they are; shares are 0 to 1."""

    same_class: float | None = None
    class_accuracy: float | None = None
    same_detections: float | None = None
    map_voc07: float | None = None


class KernelParity(Differences, Agreement):
    """One kernel set against fake-quantized Keras, and against Keras that rounds as it does."""

    kernels: str
    exact: Differences | None = None


class EndToEnd(Part):
    """All kernel sets on the same pictures."""

    pictures: int
    simulation: Agreement | None = None
    kernels: tuple[KernelParity, ...] = ()
    quantization_noise_lsb: float


class Parity(Part):
    """Both views of parity."""

    layers: LayerParity
    end_to_end: EndToEnd
    skipped: Mapping[str, str] = {}


class DataState(Part):
    """Whether the test is a fair one.

    Attributes:
        unchanged: whether the data set is the one that was trained on; None: not known.
        in_training: test pictures that are among the training pictures, too; None: not known.
        in_validation: likewise among those that chose epoch and threshold.
        examples: a few of these, "test id = training id".
        reason: why something is not known.
    """

    unchanged: bool | None = None
    in_training: int | None = None
    in_validation: int | None = None
    examples: tuple[str, ...] = ()
    reason: str = ""


_Variant = TypeVar("_Variant", bound=Variant)
_Difference = TypeVar("_Difference", bound=Difference)


class Metrics(ResultFile, Generic[_Variant, _Difference]):
    """``metrics.json``: what it holds for every task. Layout 1 knew nothing of thresholds."""

    LAYOUT = 2

    task: str = DEFAULT_KIND
    split: str
    host: Host = Host()
    bootstrap: Bootstrap | None = None
    thresholds: Thresholds | None = None
    data: DataState = DataState()
    variants: tuple[_Variant, ...] = Field(min_length=1)
    differences: tuple[_Difference, ...] = ()
    latency: tuple[Latency, ...] = ()
    operators: Mapping[str, int] = {}
    float_tensors: int | None = None
    parity: Parity | None = None

    def variant(self, *names: str) -> _Variant | None:
        """Return the first of ``names`` that was measured."""
        by_name = {row.variant: row for row in self.variants}
        return next((by_name[name] for name in names if name in by_name), None)

    def difference(self, variant: str, *against: str) -> _Difference | None:
        """Return ``variant`` against the first of ``against`` that it was compared with."""
        found = {row.against: row for row in self.differences if row.variant == variant}
        return next((found[name] for name in against if name in found), None)


class LocalizerMetrics(Metrics[LocalizerVariant, LocalizerDifference]):
    """Of a single-object model."""

    target: TargetConfig = TargetConfig()


class SharedClasses(Part):
    """Classes of data and model, matched by name."""

    shared: tuple[str, ...]
    model_lacks: tuple[str, ...] = ()
    data_lacks: tuple[str, ...] = ()


class DetectionMetrics(Metrics[DetectionVariant, DetectionDifference]):
    """Of a detector; ``classes`` is set for files made elsewhere."""

    pictures: int | None = None
    objects: int = 0
    difficult: int = 0
    classes: SharedClasses | None = None


AnyMetrics = LocalizerMetrics | DetectionMetrics
METRICS: dict[str, type[LocalizerMetrics] | type[DetectionMetrics]] = {
    LOCALIZER: LocalizerMetrics,
    DETECTOR: DetectionMetrics,
}
"""Family → type of its ``metrics.json``."""
