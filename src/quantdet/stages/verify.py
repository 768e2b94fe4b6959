"""The stage that takes the integer model through every target, and the same for one file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from quantdet.manifest import VerifyRecord
from quantdet.progress import Progress, silent
from quantdet.results.verification import Verification
from quantdet.runs import Run
from quantdet.stages.backend import import_keras_quietly
from quantdet.stages.dataset import test_pictures
from quantdet.stages.record import recorded
from quantdet.verify.models import file_subject, load_checked, run_subject
from quantdet.verify.pictures import picture_files, read_pictures
from quantdet.verify.run import check_targets, verify_subject

VERIFY_PICTURES = 50


def run_verify(
    run: Run,
    targets: Sequence[str] = (),
    pictures: int = VERIFY_PICTURES,
    data: Path | str | None = None,
    progress: Progress = silent,
) -> Verification:
    """Run the integer model of a run on targets and compare it with fake-quantized Keras.

    Args:
        run: after ``export``.
        targets: names from ``verify.targets.TARGETS``; none means all.
        pictures: how many, spread evenly over them all.
        data: data set or folder of pictures; None takes the run's test split.
        progress: called with (phase, done, total).

    Returns:
        What ``quantdet verify`` prints. Saved as ``run.verify_file`` it is part of the report.

    Raises:
        QuantdetError: run, pictures or a name are wrong. What fails on a target is in the result.
    """
    names = check_targets(targets)
    _, contract = load_checked(run.root)
    import_keras_quietly()
    paths = test_pictures(run) if data is None else picture_files(Path(data))
    chosen = read_pictures(paths, pictures, contract.input)
    with recorded(run, "verify") as note:
        subject = run_subject(run, contract, chosen, progress)
        result = verify_subject(subject, names, progress)
        note(VerifyRecord(targets={item.target: item.status for item in result.targets}))
    return result


def verify_model(
    model: Path | str,
    data: Path | str,
    targets: Sequence[str] = (),
    pictures: int = VERIFY_PICTURES,
    progress: Progress = silent,
) -> Verification:
    """Run one .tflite with its contract on targets; LiteRT's reference kernels are the baseline.

    Args and Raises are those of :func:`run_verify`.
    """
    names = check_targets(targets)
    model_file, contract = load_checked(Path(model))
    chosen = read_pictures(picture_files(Path(data)), pictures, contract.input)
    tick = partial(progress, "reference kernels")
    subject = file_subject(model_file, contract, chosen, tick)
    return verify_subject(subject, names, progress)
