"""What is to be known about a data set: errors, which stop training, and warnings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from quantdet.data.records import Problem

Severity = Literal["error", "warning"]

SKIP = "leave such samples out with --skip-bad (skip_bad=True)"
_GONE = "restore it, or take the picture out of the set"
_REMEDIES = {
    "missing_picture": _GONE,
    "missing_annotation": _GONE,
    "broken_picture": "replace it, or take it out of the set",
    "unknown_class": "add it to the label file, or correct the name",
    "size_mismatch": "correct size and boxes, or store the picture upright",
}


@dataclass(frozen=True)
class Finding:
    """One thing to know about a data set.

    Attributes:
        severity: "error" stops training, "warning" does not.
        code: short name of the kind of finding, e.g. "broken_xml".
        file: the file or folder at fault.
        message: what is wrong.
        remedy: what to do, "" where the message says it.
        count: how many things it stands for, e.g. rows of the file.
    """

    severity: Severity
    code: str
    file: str
    message: str
    remedy: str = ""
    count: int = 1

    def __str__(self) -> str:
        return f"{self.file}: {self.message}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True)
class FindingKind:
    """All findings of one kind.

    Attributes:
        severity: as of each finding.
        code: as of each finding.
        count: how many things they stand for.
        findings: they, in the order found.
    """

    severity: Severity
    code: str
    count: int
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        first = self.findings[0]
        if len(self.findings) == 1:
            return f"{first} [{self.code}]"
        remedy = f"; {first.remedy}" if first.remedy else ""
        return f"{self.count} x {self.code}, first: {first.file}: {first.message}{remedy}"


def from_problem(problem: Problem) -> Finding:
    """Return the error that a reader's problem is."""
    remedy = f"{_REMEDIES.get(problem.code, 'correct the file')}, or {SKIP}"
    return Finding("error", problem.code, str(problem.file), problem.reason, remedy)


def left_out(problem: Problem) -> Finding:
    """Return the warning that a sample is left out because of a reader's problem."""
    return Finding("warning", problem.code, str(problem.file), problem.reason, "it is left out")


def from_note(note: Problem) -> Finding:
    """Return the warning that a reader's note is; its reason says what to do."""
    return Finding("warning", note.code, str(note.file), note.reason)


def by_kind(findings: Iterable[Finding]) -> Iterator[FindingKind]:
    """Yield the kinds of findings, errors first, each in the order of its first finding."""
    kinds: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.severity, finding.code), []).append(finding)
    for (severity, code), members in sorted(kinds.items(), key=lambda item: item[0][0]):
        yield FindingKind(severity, code, sum(item.count for item in members), tuple(members))
