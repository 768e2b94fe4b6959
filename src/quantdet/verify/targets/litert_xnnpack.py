"""LiteRT as devices use it: with XNNPACK, on every thread count of this machine."""

from __future__ import annotations

from importlib import metadata

from quantdet.evaluate.end_to_end import Runner, litert_runner
from quantdet.progress import Tick
from quantdet.results.verification import TargetResult
from quantdet.verify.answers import by_threads
from quantdet.verify.subject import Subject
from quantdet.verify.verdict import judge_threads


def verify(subject: Subject, tick: Tick) -> TargetResult:
    """Run the pictures; the outputs must not depend on the number of threads."""

    def make(threads: int) -> Runner:
        return litert_runner(subject.model_file, subject.contract, "xnnpack", num_threads=threads)

    version = metadata.version("ai-edge-litert")
    return judge_threads(subject, by_threads(make, subject, tick), "xnnpack", version)
