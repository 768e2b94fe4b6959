"""Did a target pass? The rules, and the measured figures behind their numbers (docs/verify.md)."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from quantdet.evaluate.end_to_end import Outputs, differences
from quantdet.results.verification import TargetResult
from quantdet.verify.answers import Answers
from quantdet.verify.subject import Subject, decodes_inside

EXACT = 0.9999
"""Least share of integers equal to the simulation. Measured: 1.0, of every kernel set and net."""

ROUNDING_NOISE_LSB = 4.0
"""Most noise of a lone file against the reference kernels. Measured: 0.9 (ssd300) to 2.8 steps
(localizer) between kernel sets that work; one wrong rounding mode or scale makes tens."""

SAME_DETECTIONS = 0.9
"""Least share of detections that a file which decodes inside has with the reference kernels too.
Measured (docs/verify.md): 0.947 to 1.0 between kernel sets that work."""

LEAST_SHOWN = 40
"""Fewest objects of the baseline for a share: with fewer, two boxes that a step moves would fail a
target."""

# Fast kernels differ between processors; that they round as modelled was measured on x86.
_FAST = ("optimized", "xnnpack")
_X86 = ("x86_64", "AMD64", "i386", "i686")


def judge(subject: Subject, outputs: Outputs, kernels: str, **others: Any) -> TargetResult:
    """Compare the outputs of a target and say whether it passed.

    Args:
        subject: with the baseline.
        outputs: of the target, real values, batch in front.
        kernels: name in ``quant.kernel_sets.KERNEL_SETS``: how this target rounds.
        others: further fields of the result.
    """
    same = subject.same_detections(outputs)
    if decodes_inside(subject.contract):
        return _by_detections(same, subject.shown, **others)
    figures = differences(outputs, subject.expected, subject.specs)
    exact = None
    if subject.simulate is not None:
        exact = differences(outputs, subject.simulate(kernels), subject.specs)["identical"]
    if exact is not None and (exact >= EXACT or _modelled(kernels)):
        passed = exact >= EXACT
        reason = f"{100 * exact:.4g} % equal to the simulation of its kernels"
        reason += (
            "" if passed else "; wrong kernels, or the Keras model of the run has changed since"
        )
    else:
        passed, reason = _within_noise(subject, figures["noise_lsb"], same)
    return TargetResult(
        status="passed" if passed else "failed",
        reason=reason,
        identical=figures["identical"],
        max_lsb=figures["max_lsb"],
        noise_lsb=figures["noise_lsb"],
        identical_exact=exact,
        same_detections=same,
        **others,
    )


def judge_threads(
    subject: Subject, found: Mapping[int, Answers], kernels: str, version: str
) -> TargetResult:
    """Judge the answers on one thread, and fail if they depend on the number of threads.

    Args:
        subject: with the baseline.
        found: threads → answers.
        kernels: see :func:`judge`.
        version: of the package that ran the file.
    """
    times = {str(threads): answers.median_ms for threads, answers in found.items()}
    (first, *rest) = (answers.outputs for answers in found.values())
    result = judge(subject, first, kernels, version=version, latency_ms=times)
    if all(np.array_equal(first[part], other[part]) for other in rest for part in first):
        return result
    return result.model_copy(
        update={"status": "failed", "reason": "outputs depend on the number of threads"}
    )


def _by_detections(same: float | None, shown: int, **others: Any) -> TargetResult:
    """Judge a file that decodes inside, of which only boxes are seen."""
    if same is None or shown < LEAST_SHOWN:
        reason = f"ran; {shown} objects are too few to tell, {LEAST_SHOWN} do; give more pictures"
        return TargetResult(status="skipped", reason=reason, same_detections=same, **others)
    return TargetResult(
        status="passed" if same >= SAME_DETECTIONS else "failed",
        reason=f"{100 * same:.4g} % the same detections of {100 * SAME_DETECTIONS:g} needed; the "
        "file decodes inside, so its integers are not seen",
        same_detections=same,
        **others,
    )


def _modelled(kernels: str) -> bool:
    return kernels not in _FAST or platform.machine() in _X86


def _within_noise(subject: Subject, noise_lsb: float, same: float | None) -> tuple[bool, str]:
    """Where its rounding is not known, a target may change no more than quantization did."""
    changed = subject.quantization
    if changed is None:
        reason = f"noise {noise_lsb:.2f} of {ROUNDING_NOISE_LSB} steps allowed"
        return noise_lsb < ROUNDING_NOISE_LSB, reason
    passed = noise_lsb < changed.noise_lsb
    reason = f"noise {noise_lsb:.2f} of {changed.noise_lsb:.2f} steps of quantization itself"
    if same is not None and changed.same_detections is not None:
        passed = passed and same >= changed.same_detections
        reason += (
            f", {100 * same:.3g} % same detections, {100 * changed.same_detections:.3g} % after "
            "quantization"
        )
    return passed, reason
