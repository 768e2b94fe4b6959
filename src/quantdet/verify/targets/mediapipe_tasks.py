"""MediaPipe Tasks' ``ObjectDetector``: loads the file with its metadata and finds the same boxes.

It shows no tensors, only boxes, and it decodes them by rules of its own: one class per anchor, and
of two boxes that overlap by more than 0.3 the better stays, whatever their classes. What it finds
is therefore compared with two things. Our decoder under these rules, on the tensors that LiteRT's
XNNPACK gives: that must be the same. The baseline under our rules: that is what users will
notice, and is reported.

MediaPipe brings a build of OpenCV that fights with the headless one, so it may live in an
environment of its own, whose Python ``QUANTDET_MEDIAPIPE_PYTHON`` names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import as_boxes, clip
from quantdet.detections import Detections
from quantdet.errors import DependencyError, ModelError
from quantdet.evaluate.agreement import same_detections
from quantdet.evaluate.end_to_end import Outputs, litert_runner
from quantdet.evaluate.predictors import decode_batch
from quantdet.progress import Tick
from quantdet.results.verification import TargetResult
from quantdet.runtime.contract import Contract
from quantdet.runtime.nms import class_wise_nms
from quantdet.runtime.thresholds import label_thresholds
from quantdet.verify.subject import Subject, decodes_inside, real_outputs

PYTHON_VARIABLE = "QUANTDET_MEDIAPIPE_PYTHON"

SAME = 0.95
"""Least share of detections that our decoder finds under MediaPipe's rules too. Measured: 0.98 to
1.0; of boxes of one class with equal integers as scores each may keep another."""

_WORKER = Path(__file__).with_name("mediapipe_worker.py")
_FIND = "import importlib.util, sys; sys.exit(importlib.util.find_spec('mediapipe') is None)"
_FINER = 8
# Found by comparing: at 0.3 all detections of 30 pictures are the same, at 0.25 and 0.35 not.
_IOU = 0.3
_MOST = 100
_CANDIDATES = 2000


def verify(subject: Subject, tick: Tick) -> TargetResult:
    """Run the pictures; each is given at the model's size, so that no resizing differs.

    Raises:
        DependencyError: MediaPipe is not installed.
        ModelError: MediaPipe refuses the file.
    """
    contract = subject.contract
    if contract.decoder.kind not in {"ssd", "post_processed"}:
        reason = f"MediaPipe decodes SSD detectors, this one is {contract.decoder.kind!r}"
        return TargetResult(status="skipped", reason=reason)
    tick(0, 2)
    found = _run(_python(), subject)
    theirs = [
        _detections(records, contract, size)
        for records, size in zip(found["pictures"], subject.pictures.sizes, strict=True)
    ]
    tick(1, 2)
    shown = label_thresholds(contract)
    same = same_detections(theirs, by_their_rules(subject), shown)
    tick(2, 2)
    if same is None:
        reason = "nothing in these pictures reaches the threshold; give pictures with objects"
        return TargetResult(status="skipped", reason=reason, version=found["version"])
    return TargetResult(
        status="passed" if same >= SAME else "failed",
        reason=f"{100 * same:.4g} % the detections of our decoder under MediaPipe's rules "
        f"({_rules(contract)})",
        version=found["version"],
        same_detections=subject.same_as_expected(theirs),
        details={"same_by_their_rules": same},
    )


def _rules(contract: Contract) -> str:
    if decodes_inside(contract):
        return "the file has suppressed already"
    return f"of boxes that overlap by {_IOU} it keeps the better one, even of another class"


def by_their_rules(subject: Subject) -> list[Detections]:
    """Return what our decoder makes of XNNPACK's tensors with MediaPipe's suppression.

    A file that decodes inside has suppressed already.
    """
    contract = subject.contract
    if decodes_inside(contract):
        outputs = _xnnpack_outputs(subject)
        return decode_batch(outputs, contract, subject.pictures.sizes)
    decoder = {"nms_iou": 1.0, "max_detections": _CANDIDATES}
    every = contract.model_copy(update={"decoder": contract.decoder.model_copy(update=decoder)})
    outputs = _xnnpack_outputs(subject)
    return [_suppressed(item) for item in decode_batch(outputs, every, subject.pictures.sizes)]


def _xnnpack_outputs(subject: Subject) -> Outputs:
    run = litert_runner(subject.model_file, subject.contract, "xnnpack", num_threads=1)
    return real_outputs(run, subject.contract, subject.pictures.pixels, lambda _done, _total: None)


def _suppressed(found: Detections) -> Detections:
    alike = np.zeros(len(found), np.int64)
    kept = class_wise_nms(found.boxes_xyxy, alike, iou=_IOU, most=_MOST)
    return Detections(
        found.boxes_xyxy[kept], found.scores[kept], found.class_ids[kept], found.labels
    )


def _detections(records: list[Any], contract: Contract, size_hw: tuple[int, int]) -> Detections:
    """Return MediaPipe's boxes in pixels of the original; they come in those of the input."""
    (height, width), (rows, columns) = size_hw, contract.input.size_hw
    scale = np.array([width / columns, height / rows] * 2, np.float32)
    boxes = as_boxes([record[:4] for record in records]) * scale
    others = sorted({record[4] for record in records} - set(contract.labels))
    if others:
        raise ModelError(
            f"MediaPipe answers {others[0]!r}, as the file's own label list has it, which the "
            "contract does not; describe the file with those labels"
        )
    labels: NDArray[np.int64] = np.array(
        [contract.labels.index(record[4]) for record in records], np.int64
    )
    scores = np.array([record[5] for record in records], np.float32)
    return Detections(clip(boxes, size_hw), scores, labels, contract.labels)


def _run(python: str, subject: Subject) -> dict[str, Any]:
    options = {
        "finer": _FINER,
        "max_results": _MOST,
        "score_threshold": subject.contract.decoder.min_score,
    }
    with tempfile.TemporaryDirectory(prefix="quantdet-") as folder:
        pictures = Path(folder) / "pictures.npy"
        np.save(pictures, subject.pictures.pixels)
        command = [python, str(_WORKER), str(subject.model_file), str(pictures)]
        done = subprocess.run(
            [*command, json.dumps(options)], capture_output=True, text=True, check=False
        )
    # MediaPipe ends the process at some faults.
    answer: dict[str, Any] = (
        json.loads(done.stdout) if not done.returncode else {"error": done.stderr.strip()[-500:]}
    )
    if "error" in answer:
        raise ModelError(
            f"{subject.model_file}: MediaPipe refuses it: {answer['error']}; export it again if "
            "it has no metadata"
        )
    return answer


def _python() -> str:
    """Return a Python that has MediaPipe."""
    python = os.environ.get(PYTHON_VARIABLE, sys.executable)
    command = [
        python,
        "-c",
        "import importlib.util as u, sys; sys.exit(not u.find_spec('mediapipe'))",
    ]
    try:
        missing = subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        missing = 1
    if missing:
        raise DependencyError(
            f"{python} has no MediaPipe: python -m venv mediapipe && mediapipe/bin/pip install "
            f"mediapipe && export {PYTHON_VARIABLE}=mediapipe/bin/python"
        )
    return python
