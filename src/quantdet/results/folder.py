"""The result files of a run, read and checked. What cannot be read becomes a note, not a crash."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from quantdet.kinds import DEFAULT_KIND, KINDS, find_family
from quantdet.manifest import RECORDS, QatRecord, StageRecord, TrainRecord
from quantdet.results.analysis import Analysis
from quantdet.results.data import DataFacts
from quantdet.results.details import Details
from quantdet.results.history import Epochs
from quantdet.results.metrics import METRICS, AnyMetrics
from quantdet.results.verification import Verification
from quantdet.runs import Run
from quantdet.runtime.contract import Contract
from quantdet.system.listing import shown_files
from quantdet.system.result_file import Part


class _Task(Part):
    task: str = DEFAULT_KIND


_Read = TypeVar("_Read", bound=BaseModel)


@dataclass
class Results:
    """Everything that a run folder contains.

    Attributes:
        stages: manifest entries in the order they were written.
        metrics: None if not measured or not readable.
        details: errors, confusion and draws that go with the metrics.
        analysis: noise and ranges of every layer.
        data: facts of the data set.
        verified: how the model file did on every target.
        histories: folder of a training phase, e.g. "float/frozen" → its epochs.
        contracts: name of a .tflite → its contract.
        notes: what could not be read, with the remedy.
    """

    stages: dict[str, StageRecord] = field(default_factory=dict)
    metrics: AnyMetrics | None = None
    details: Details | None = None
    analysis: Analysis | None = None
    data: DataFacts | None = None
    verified: Verification | None = None
    histories: dict[str, Epochs] = field(default_factory=dict)
    contracts: dict[str, Contract] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def train(self) -> TrainRecord | None:
        """The manifest entry of float training."""
        stage = self.stages.get("train")
        return stage if isinstance(stage, TrainRecord) else None

    @property
    def qat(self) -> QatRecord | None:
        """The manifest entry of quantization-aware training."""
        stage = self.stages.get("qat")
        return stage if isinstance(stage, QatRecord) else None


def read_results(run: Run) -> Results:
    """Read the result files of a run; absent ones are left out, damaged ones noted.

    Raises:
        QuantdetError: ``manifest.json`` is not readable as JSON.
    """
    found = Results()
    for name, entry in run.manifest().entries.items():
        try:
            found.stages[name] = RECORDS.get(name, StageRecord).model_validate(entry)
        except ValidationError as error:
            found.notes.append(f"manifest.json, {name}: {_explain(error)}; run this stage again.")
    if run.metrics_file.is_file():
        found.metrics = _read_metrics(run.metrics_file, found.notes)
    notes = found.notes
    found.details = _read_if_there(run.details_file, Details, "evaluate again", notes)
    found.analysis = _read_if_there(run.analysis_file, Analysis, "analyse again", notes)
    found.data = _read_if_there(run.data_file, DataFacts, "remove it and evaluate again", notes)
    found.verified = _read_if_there(run.verify_file, Verification, "verify again", notes)
    for path in (
        *shown_files(run.float_dir, "*/history.json"),
        *shown_files(run.qat_dir, "*/history.json"),
    ):
        epochs = _read(path, Epochs, "run this stage again", found.notes)
        if epochs is not None:
            found.histories[path.parent.relative_to(run.root).as_posix()] = epochs
    for path in shown_files(run.export_dir, "*.contract.json"):
        contract = _read(path, Contract, "export again", found.notes)
        if contract is not None:
            found.contracts[path.name.replace(".contract.json", ".tflite")] = contract
    return found


def _read_metrics(path: Path, notes: list[str]) -> AnyMetrics | None:
    head = _read(path, _Task, "evaluate again", notes)
    if head is None:
        return None
    if head.task not in KINDS:
        notes.append(f"{path}: task {head.task!r} is not known here; update quantdet.")
        return None
    return _read(path, METRICS[find_family(head.task)], "evaluate again", notes)


def _read_if_there(path: Path, kind: type[_Read], remedy: str, notes: list[str]) -> _Read | None:
    return _read(path, kind, remedy, notes) if path.is_file() else None


def _read(path: Path, kind: type[_Read], remedy: str, notes: list[str]) -> _Read | None:
    """Return the content of ``path``, or None with a note."""
    try:
        return kind.model_validate(json.loads(path.read_text("utf-8")))
    except ValidationError as error:
        problem = _explain(error)
    except (OSError, ValueError, RecursionError) as error:
        problem = f"not readable as JSON ({error})"
    notes.append(f"{path}: {problem}; {remedy}.")
    return None


def _explain(error: ValidationError) -> str:
    items = error.errors()
    parts = [": ".join(filter(None, (_place(item["loc"]), item["msg"]))) for item in items[:3]]
    return "; ".join([*parts, "…"] if len(items) > 3 else parts)


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))
