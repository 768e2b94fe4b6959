"""What ``quantdet verify`` finds: the content of ``verify.json``, described in docs/verify.md."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

VERSION = 1
Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class TargetResult:
    """One target. Figures are None where there is nothing to measure.

    Attributes:
        status: "skipped" where what runs the target is not installed.
        reason: why it passed or failed; of a skipped one the install line.
        target: name, a key of ``TARGETS``; the caller of the target knows it.
        version: of the package that ran the file.
        identical: share of the integers of all outputs that equal the baseline's, 0 to 1.
        identical_exact: the same against the simulation that rounds as this target's kernels do.
        max_lsb: largest difference from the baseline, in integer steps.
        noise_lsb: root mean square difference from the baseline, in integer steps.
        same_detections: share of detections that the baseline has too, 0 to 1.
        latency_ms: threads → median of one inference, without decoding.
        details: what only this target has, e.g. the arena of TFLite-Micro.
    """

    status: Status
    reason: str
    target: str = ""
    version: str = ""
    identical: float | None = None
    identical_exact: float | None = None
    max_lsb: float | None = None
    noise_lsb: float | None = None
    same_detections: float | None = None
    latency_ms: dict[str, float] | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verification:
    """One file on all targets asked for.

    Attributes:
        model: path of the file as given.
        sha256: of the file.
        baseline: what outputs are compared with.
        pictures: how many.
        host: processor, cores and system that ran the targets.
        noise_of_quantization_lsb: root mean square difference of the fake-quantized from the
            float Keras model, in integer steps; None without a run.
        same_after_quantization: share of detections that both have; None without a run.
        targets: one for each, in the order of ``TARGETS``.
        version: of this layout.
    """

    model: str
    sha256: str
    baseline: str
    pictures: int
    host: dict[str, Any]
    noise_of_quantization_lsb: float | None
    same_after_quantization: float | None
    targets: tuple[TargetResult, ...]
    version: int = VERSION

    @property
    def ok(self) -> bool:
        """Whether no target failed; skipped ones do not count."""
        return all(result.status != "failed" for result in self.targets)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``verify.json``."""
        return asdict(self)
