"""``verify.json``: what the targets made of a model file, described in docs/verify.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from quantdet.results.part import Host
from quantdet.system.result_file import Part, ResultFile

Status = Literal["passed", "failed", "skipped"]


class TargetResult(Part):
    """One target. Figures are None where there is nothing to measure.

    Attributes:
        status: "skipped" where what runs the target is not installed.
        reason: why it passed or failed; of a skipped one the install line.
        target: name, a key of ``verify.targets.TARGETS``; the caller of the target knows it.
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
    reason: str | None = ""
    target: str = ""
    version: str | None = ""
    identical: float | None = None
    identical_exact: float | None = None
    max_lsb: float | None = None
    noise_lsb: float | None = None
    same_detections: float | None = None
    latency_ms: Mapping[str, float] | None = None
    details: Mapping[str, JsonValue] | None = None


class Verification(ResultFile):
    """One file on all targets asked for.

    Attributes:
        model: path of the file as given.
        sha256: of the file.
        baseline: what outputs are compared with.
        pictures: how many.
        host: the machine that ran the targets.
        noise_of_quantization_lsb: root mean square difference of the fake-quantized from the
            float Keras model, in integer steps; None without a run.
        same_after_quantization: share of detections that both have; None without a run.
        targets: one for each, in the order of ``verify.targets.TARGETS``.
    """

    model: str = ""
    sha256: str = ""
    baseline: str | None = ""
    pictures: int | None = None
    host: Host = Host()
    noise_of_quantization_lsb: float | None = None
    same_after_quantization: float | None = None
    targets: tuple[TargetResult, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no target failed; skipped ones do not count."""
        return all(result.status != "failed" for result in self.targets)
