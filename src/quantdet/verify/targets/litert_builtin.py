"""LiteRT's own kernels: "reference" are the plain ones, "optimized" the fast ones without XNNPACK.

The reference kernels are the specification in C++; nobody ships them, so they are not timed.
"""

from __future__ import annotations

from importlib import metadata

from quantdet.evaluate.end_to_end import litert_runner
from quantdet.progress import Tick
from quantdet.results.verification import TargetResult
from quantdet.verify.answers import answer
from quantdet.verify.subject import REFERENCE, Subject
from quantdet.verify.verdict import judge


def verify(kernels: str, subject: Subject, tick: Tick) -> TargetResult:
    """Run the pictures on one thread; where that has made the baseline, not once more."""
    version = metadata.version("ai-edge-litert")
    if kernels == "reference" and subject.baseline == REFERENCE:
        return TargetResult(
            status="passed",
            reason="ran; the other targets are compared with it",
            version=version,
        )
    run = litert_runner(subject.model_file, subject.contract, kernels, num_threads=1)
    answers = answer(run, subject, tick)
    return judge(
        subject,
        answers.outputs,
        kernels,
        version=version,
        latency_ms=None if kernels == "reference" else {"1": answers.median_ms},
    )
