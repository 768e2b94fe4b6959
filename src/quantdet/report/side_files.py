"""The result files beside ``metrics.json`` as the report reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from quantdet.report.metrics import Host, Part


class Epochs(Part):
    """``history.json`` of one training phase, see ``train.history``."""

    # A training that diverged has NaN losses, and the report should show that.
    model_config = ConfigDict(allow_inf_nan=True)

    monitor: str
    best_epoch: int
    seconds: float
    rows: tuple[Mapping[str, float], ...] = Field(min_length=1)


class VariantDetails(Part):
    """Errors at the threshold that people see; ``draws`` are of the bootstrap."""

    errors: Mapping[str, int] = {}
    confusion: tuple[tuple[int, ...], ...] = ()
    draws: Mapping[str, tuple[float | None, ...]] = {}


class Details(Part):
    """``details.json``, see ``evaluate.details``."""

    test_fingerprint: str = ""
    labels: tuple[str, ...]
    thresholds: Mapping[str, float] = {}
    variants: Mapping[str, VariantDetails] = {}

    @model_validator(mode="after")
    def _square(self) -> Details:
        size = len(self.labels) + 1
        for name, item in self.variants.items():
            if item.confusion and {len(item.confusion), *map(len, item.confusion)} != {size}:
                raise ValueError(f"confusion of {name} is not {size} × {size}")
        return self


class WeightFigures(Part):
    """The kernel of a layer; absolute ranges are of its output channels."""

    spread: float
    largest: float | None = None
    smallest: float | None = None


class Sensitivity(Part):
    """Noise at the outputs if only this layer is quantized; the share is 0 to 1."""

    share: float


class LayerNoise(Part):
    """One layer of ``analysis.json``, see ``quant.analysis.LayerAnalysis``."""

    layer: str
    kind: str
    sqnr_db: float
    sqnr_own_db: float
    minimum: float
    maximum: float
    seen_minimum: float
    seen_maximum: float
    clipped: float
    range_use: float
    weights: WeightFigures | None = None
    sensitivity: Sensitivity | None = None


class Finding(Part):
    """A layer that hurts; ``share`` of the noise at the outputs is 0 to 1."""

    layer: str
    share: float
    text: str


class Analysis(Part):
    """``analysis.json``."""

    split: str = ""
    pictures: int = 0
    outputs: Mapping[str, float] = {}
    layers: tuple[LayerNoise, ...] = Field(min_length=1)
    findings: tuple[Finding, ...] = ()


class SplitFacts(Part):
    """One split of ``data.json``, see ``data.facts``."""

    pictures: int
    without_objects: int = 0
    objects: int
    difficult: int = 0
    truncated: int = 0
    per_class: Mapping[str, int] = {}
    sides: tuple[int, ...] = ()
    median_side: float | None = None
    median_size_hw: tuple[int, int] | None = None


class DataFacts(Part):
    """``data.json``."""

    labels: tuple[str, ...] = ()
    splits: Mapping[str, SplitFacts] = {}


class TargetResult(Part):
    """What one consumer made of the model file; shares are 0 to 1."""

    target: str
    status: Literal["passed", "failed", "skipped"]
    reason: str | None = ""
    version: str | None = ""
    identical: float | None = None
    identical_exact: float | None = None
    max_lsb: float | None = None
    noise_lsb: float | None = None
    same_detections: float | None = None
    latency_ms: Mapping[str, float] | None = None
    details: Mapping[str, Any] | None = None


class Verified(Part):
    """``verify.json``."""

    sha256: str = ""
    baseline: str | None = ""
    pictures: int | None = None
    host: Host = Host()
    noise_of_quantization_lsb: float | None = None
    targets: tuple[TargetResult, ...] = ()
