"""Say all that is wrong with a data set, and what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from quantdet.config import Config, DataConfig
from quantdet.data.configured import judge_pictures, judge_training
from quantdet.data.facts import ClassFacts, class_facts
from quantdet.data.findings import Finding, by_kind
from quantdet.data.formats import AUTO
from quantdet.data.judging import Judged
from quantdet.data.records import Record
from quantdet.progress import Progress, silent


@dataclass(frozen=True)
class SplitSummary:
    """What a split holds.

    Attributes:
        used: whether the settings make use of it.
        pictures: those listed.
        annotated: False for a split without annotations.
        usable: pictures that nothing is wrong with.
        background: usable pictures without an object.
        objects: of usable pictures.
        difficult: objects marked difficult.
        truncated: objects marked truncated.
        classes: objects of each class, in label order.
    """

    used: bool
    pictures: int
    annotated: bool
    usable: int
    background: int
    objects: int
    difficult: int
    truncated: int
    classes: Mapping[str, int]


@dataclass(frozen=True)
class CheckResult:
    """Everything found; ``ok`` says whether training would start.

    Attributes:
        root: folder of the data set.
        labels: class names in the order of class ids.
        splits: name → what it holds.
        classes: name → its boxes.
        findings: errors and warnings.
    """

    root: Path
    labels: tuple[str, ...]
    splits: Mapping[str, SplitSummary]
    classes: Mapping[str, ClassFacts]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that stop training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-ready record."""
        return {
            "root": str(self.root),
            "ok": self.ok,
            "labels": list(self.labels),
            "splits": {name: asdict(summary) for name, summary in self.splits.items()},
            "classes": {name: asdict(facts) for name, facts in self.classes.items()},
            "kinds": [
                {"severity": kind.severity, "code": kind.code, "count": kind.count}
                for kind in by_kind(self.findings)
            ],
            "findings": [asdict(finding) for finding in self.findings],
        }


def check_dataset(
    root: Path | str,
    *,
    format: str = AUTO,
    labels: Path | Sequence[str] | None = None,
    progress: Progress = silent,
) -> CheckResult:
    """Read every annotation, decode every picture, compare the splits.

    The default settings of [data] decide which splits are trained on; :func:`check_configured`
    takes others.

    Args:
        root: folder of the data set.
        format: key of ``FORMATS``, or "auto".
        labels: label file or class names; None takes the classes found.
        progress: called with (phase, done, total).

    Raises:
        ConfigError: unknown format.
        DataError: the folder is no data set at all, or the label file is not usable.
    """
    judged, _ = judge_pictures(DataConfig(root=Path(root), format=format), labels, progress)
    return _describe(judged)


def check_configured(config: Config, progress: Progress = silent) -> CheckResult:
    """Say whether training with these settings would start, and all that is wrong.

    Args:
        config: of the training.
        progress: called with (phase, done, total).

    Raises:
        ConfigError, DataError: as :func:`check_dataset`.
    """
    judged, _ = judge_training(config, progress=progress)
    return _describe(judged)


def _describe(judged: Judged) -> CheckResult:
    samples = [sample for members in judged.splits.values() for sample in members]
    splits = {split: _summary(judged, split, records) for split, records in judged.listed.items()}
    classes = class_facts(samples, judged.labels)
    return CheckResult(judged.root, judged.labels, splits, classes, judged.findings)


def _summary(judged: Judged, split: str, records: Sequence[Record]) -> SplitSummary:
    used = split in judged.splits
    found = [record.sample for record in records if record.sample is not None]
    samples = judged.splits[split] if used else found
    objects = [item for sample in samples for item in sample.objects]
    labels = Counter(item.label for item in objects)
    return SplitSummary(
        used=used,
        pictures=len(records),
        annotated=not found or any(sample.annotated for sample in found),
        usable=len(samples),
        background=sum(sample.annotated and not sample.objects for sample in samples),
        objects=len(objects),
        difficult=sum(item.difficult for item in objects),
        truncated=sum(item.truncated for item in objects),
        classes={name: labels[name] for name in judged.labels},
    )
