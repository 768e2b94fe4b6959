"""TFLite-Micro's kernels, compiled for this machine: the arithmetic of a microcontroller.

Times of this machine say nothing of a chip, so none are given.
"""

from __future__ import annotations

from importlib import metadata

from quantdet.evaluate.end_to_end import micro_runner
from quantdet.progress import Tick
from quantdet.quant.litert.micro import smallest_arena
from quantdet.results.verification import TargetResult
from quantdet.verify.answers import answer
from quantdet.verify.subject import Subject
from quantdet.verify.verdict import judge


def verify(subject: Subject, tick: Tick) -> TargetResult:
    """Run the pictures, and search the smallest arena.

    Raises:
        DependencyError: package ``tflite-micro`` is not installed.
    """
    run = micro_runner(subject.model_file, subject.contract)
    answers = answer(run, subject, tick)
    arena = smallest_arena(subject.model_file.read_bytes())
    result = judge(
        subject,
        answers.outputs,
        "tflite-micro",
        version=metadata.version("tflite-micro"),
        details={"arena_bytes": arena},
    )
    reason = f"{result.reason}; smallest arena {arena // 1024} KiB"
    return result.model_copy(update={"reason": reason})
