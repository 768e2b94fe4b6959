"""TFLite-Micro's kernels, compiled for this machine: the arithmetic of a microcontroller.

Optimized kernels of a chip (CMSIS-NN, Xtensa) are not part of it, and times of this machine say
nothing of a chip, so none are given. The arena is what the tensors need on a 64 bit machine;
pointers in it are half as large on a chip.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

from quantdet.errors import ModelError
from quantdet.evaluate.end_to_end import micro_runner
from quantdet.progress import Tick
from quantdet.results.verification import TargetResult
from quantdet.verify.answers import answer
from quantdet.verify.subject import Subject
from quantdet.verify.verdict import judge

_KIB = 1024
_FIRST_GUESS = 1024 * _KIB
_LARGEST = 1 << 32
# A small arena ends in an error or, when it is too small for that, in a broken process.
_ATTEMPT = """
import sys
from tflite_micro.python.tflite_micro import runtime
runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
"""


def verify(subject: Subject, tick: Tick) -> TargetResult:
    """Run the pictures, and search the smallest arena.

    Raises:
        DependencyError: package ``tflite-micro`` is not installed.
    """
    run = micro_runner(subject.model_file, subject.contract)
    answers = answer(run, subject, tick)
    arena = smallest_arena(str(subject.model_file))
    result = judge(
        subject,
        answers.outputs,
        "tflite-micro",
        version=metadata.version("tflite-micro"),
        details={"arena_bytes": arena},
    )
    reason = f"{result.reason}; smallest arena {arena // _KIB} KiB"
    return result.model_copy(update={"reason": reason})


def smallest_arena(model_file: str) -> int:
    """Return the bytes of the smallest arena that holds the tensors of a file, whole KiB.

    Raises:
        ModelError: the file does not run in an arena of any size.
    """
    fails, fits = 0, _FIRST_GUESS
    while not allocates(model_file, fits):
        fails, fits = fits, 2 * fits
        if fits > _LARGEST:
            raise ModelError(
                f"{model_file}: TFLite-Micro cannot allocate it in an arena of up to 4 GB"
            )
    while fits - fails > _KIB:
        middle = (fails + fits) // 2 // _KIB * _KIB
        if allocates(model_file, middle):
            fits = middle
        else:
            fails = middle
    return fits


def allocates(model_file: str, arena_bytes: int) -> bool:
    """Return whether the tensors of a file fit into an arena of so many bytes."""
    command = [sys.executable, "-c", _ATTEMPT, model_file, str(arena_bytes)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
