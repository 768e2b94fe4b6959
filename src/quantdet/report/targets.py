"""What the consumers of the model file made of it: ``verify.json`` as a table and a check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantdet.report.numbers import NOTHING, percent, plain
from quantdet.report.side_files import TargetResult, Verified
from quantdet.report.tables import Cell, Table, row
from quantdet.report.verdict import Check

_WORDS = {"passed": "✓ passed", "failed": "✗ failed", "skipped": "– skipped"}
_TONES = {"passed": "met", "failed": "failed", "skipped": ""}
# Long values (lists of operators) stand in verify.json.
_LONGEST_DETAIL = 80


def target_table(verified: Verified) -> Table:
    """Return one row a target."""
    rows = [
        row(
            item.target + (f" {item.version}" if item.version else ""),
            Cell(_WORDS[item.status], tone=_TONES[item.status]),
            percent(item.identical, 2),
            percent(item.identical_exact, 3),
            plain(item.max_lsb, 0),
            plain(item.noise_lsb, 2),
            percent(item.same_detections),
            _latency(item),
        )
        for item in verified.targets
    ]
    header = (
        *("target", "result", "identical %", "identical %, rounding modelled"),
        *("largest difference, steps", "rms, steps", "same detections %", "ms (threads)"),
    )
    return Table("Targets", header, tuple(rows), texts=2)


def target_notes(verified: Verified) -> list[tuple[str, str]]:
    """Return (target, reason and details in words) of those that have any."""
    notes = []
    for item in verified.targets:
        parts = [item.reason or "", _in_words(item.details or {})]
        text = ". ".join(part for part in parts if part)
        if text:
            notes.append((item.target, text))
    return notes


def target_checks(verified: Verified | None) -> Iterator[Check]:
    """Yield what must hold of the targets, if any ran."""
    if verified is None:
        return
    counts = dict.fromkeys(_WORDS, 0)
    for item in verified.targets:
        counts[item.status] += 1
    if counts["passed"] + counts["failed"]:
        measured = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
        failed = [item.target for item in verified.targets if item.status == "failed"]
        names = f" ({', '.join(failed)})" if failed else ""
        yield Check("Targets", "none fails", measured + names, not failed)


def _latency(item: TargetResult) -> str:
    if not item.latency_ms:
        return NOTHING
    return ", ".join(f"{plain(ms, 2)} ({threads})" for threads, ms in item.latency_ms.items())


def _in_words(details: dict[str, Any] | Any) -> str:
    parts = []
    for key, value in details.items():
        if isinstance(value, float):
            text = f"{value:,.4g}"
        elif isinstance(value, str | int):
            text = str(value)
        else:
            continue
        if len(text) <= _LONGEST_DETAIL:
            parts.append(f"{key.replace('_', ' ')}: {text}")
    return ", ".join(parts)
