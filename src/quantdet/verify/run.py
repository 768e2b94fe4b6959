"""Take one file through all targets; what fails on one does not stop the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from quantdet.errors import ConfigError, DependencyError, QuantdetError
from quantdet.evaluate.latency import host
from quantdet.progress import Progress, Tick
from quantdet.results.verification import TargetResult, Verification
from quantdet.runtime.contract import file_sha256
from quantdet.system.shortage import is_shortage
from quantdet.verify.child import Call, in_child
from quantdet.verify.subject import Subject
from quantdet.verify.targets import TARGETS, Target


def check_targets(names: Sequence[str]) -> list[str]:
    """Return the targets asked for in the order of ``TARGETS``; all of them if none is named.

    Raises:
        ConfigError: unknown name.
    """
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        raise ConfigError(f"target {unknown[0]!r} is unknown; choose one of {', '.join(TARGETS)}")
    return [name for name in TARGETS if not names or name in names]


def verify_subject(subject: Subject, targets: Sequence[str], progress: Progress) -> Verification:
    """Verify a file on targets.

    Args:
        subject: file, pictures and what it should answer.
        targets: names out of ``TARGETS``.
        progress: called with (phase, done, total).

    Raises:
        OSError: the machine lacks space, memory or handles, so that no target was judged by it.
    """
    results = tuple(
        _verify_one(name, subject, partial(progress, f"verify {name}")) for name in targets
    )
    changed = subject.quantization
    return Verification(
        model=str(subject.model_file),
        sha256=file_sha256(subject.model_file),
        baseline=subject.baseline,
        pictures=len(subject.pictures.pixels),
        host=host(),
        noise_of_quantization_lsb=None if changed is None else changed.noise_lsb,
        same_after_quantization=None if changed is None else changed.same_detections,
        targets=results,
    )


def _verify_one(name: str, subject: Subject, tick: Tick) -> TargetResult:
    # A process of its own, because native code may crash or hang.
    answers: dict[str, Call] = {"tick": tick}
    if subject.simulate is not None:
        answers["simulate"] = subject.simulate
    child = partial(
        in_child,
        _in_child,
        TARGETS[name],
        replace(subject, simulate=None),
        "simulate" in answers,
        answer=lambda wanted, *arguments: answers[wanted](*arguments),
    )
    return _as_result(child).model_copy(update={"target": name})


def _in_child(target: Target, subject: Subject, simulated: bool, call: Call) -> TargetResult:
    simulate = partial(call, "simulate") if simulated else None
    whole = replace(subject, simulate=simulate)
    return _as_result(partial(target, whole, partial(call, "tick")))


def _as_result(run: Callable[[], TargetResult]) -> TargetResult:
    try:
        return run()
    except DependencyError as error:
        return TargetResult(status="skipped", reason=str(error))
    except QuantdetError as error:
        return TargetResult(status="failed", reason=str(error))
    except Exception as error:  # even a defect must not hide what the other targets say
        if is_shortage(error):  # it says nothing about the file
            raise
        return TargetResult(
            status="failed",
            reason=f"{type(error).__name__}: {error}",
            details={"traceback": traceback.format_exc()},
        )
