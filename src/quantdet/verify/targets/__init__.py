"""What a file is verified on: one module each, one line each in :data:`TARGETS`.

A target that is not installed raises ``DependencyError`` with the install line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from quantdet.progress import Tick
from quantdet.results.verification import TargetResult
from quantdet.verify.subject import Subject
from quantdet.verify.targets import (
    browser,
    edgetpu,
    ethos_u,
    litert_builtin,
    litert_compiled,
    litert_xnnpack,
    mediapipe_tasks,
    tflite_micro,
)

Target = Callable[[Subject, Tick], TargetResult]
"""(what is verified, progress) → result."""

TARGETS: dict[str, Target] = {
    "litert-reference": partial(litert_builtin.verify, "reference"),
    "litert-optimized": partial(litert_builtin.verify, "optimized"),
    "litert-xnnpack": litert_xnnpack.verify,
    "litert-compiled": litert_compiled.verify,
    "tflite-micro": tflite_micro.verify,
    "ethos-u": ethos_u.verify,
    "edgetpu": edgetpu.verify,
    "mediapipe": mediapipe_tasks.verify,
    "browser": browser.verify,
}
