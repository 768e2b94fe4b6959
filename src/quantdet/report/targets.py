"""What the consumers of the model file made of it: ``verify.json`` as a table and a check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from quantdet.report.tables import Cell, Table, row
from quantdet.report.verdict import Check
from quantdet.results.numbers import NOTHING, percent, plain
from quantdet.results.verification import TargetResult, Verification

_WORDS = {"passed": "✓\u00a0passed", "failed": "✗\u00a0failed", "skipped": "–\u00a0skipped"}
_TONES = {"passed": "met", "failed": "failed", "skipped": ""}
# Longer texts stand in verify.json.
_LONGEST_DETAIL = 120


def target_table(verified: Verification) -> Table:
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


def target_notes(verified: Verification) -> list[tuple[str, str]]:
    """Return (target, reason and details in words) of those that have any."""
    notes = []
    for item in verified.targets:
        parts = [item.reason or "", _in_words(item.details or {})]
        text = ". ".join(part for part in parts if part)
        if text:
            notes.append((item.target, text))
    return notes


def detail_tables(verified: Verification) -> list[Table]:
    """Return a table for each list of records in the details, e.g. the NPUs of a compiler."""
    found = []
    for item in verified.targets:
        for key, value in (item.details or {}).items():
            records = _records(value)
            if records:
                found.append(_record_table(f"{item.target}: {_readable(key)}", records))
    return found


def _records(value: JsonValue) -> list[dict[str, JsonValue]]:
    """Return the records of a list of them, nothing of other values."""
    found = value if isinstance(value, list) else []
    records = [item for item in found if isinstance(item, dict)]
    return records if len(records) == len(found) else []


def _record_table(caption: str, records: list[dict[str, JsonValue]]) -> Table:
    columns = list(dict.fromkeys(key for record in records for key in record))
    words = [key for key in columns if all(_is_word(record.get(key)) for record in records)]
    figures = [key for key in columns if key not in words]
    rows = [
        row(*(_value(record.get(key)) or NOTHING for key in (*words, *figures)))
        for record in records
    ]
    header = tuple(_readable(key) for key in (*words, *figures))
    return Table(caption, header, tuple(rows), texts=len(words))


def _is_word(value: JsonValue) -> bool:
    return value is None or isinstance(value, str | bool)


def target_checks(verified: Verification | None) -> Iterator[Check]:
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
        remedy = "See Targets: what failed, and why."
        yield Check("Targets", "none fails", measured + names, not failed, remedy)


def _latency(item: TargetResult) -> str:
    if not item.latency_ms:
        return NOTHING
    return ", ".join(f"{plain(ms, 2)} ({threads})" for threads, ms in item.latency_ms.items())


def _in_words(details: Mapping[str, JsonValue]) -> str:
    texts = {key: _value(value) for key, value in details.items()}
    return ", ".join(f"{_readable(key)}: {text}" for key, text in texts.items() if text)


def _value(value: JsonValue) -> str:
    """Return a value in a few words, "" for what is none or needs many."""
    if isinstance(value, list):
        texts = [item for item in value if isinstance(item, str)]
        value = "; ".join(texts) if len(texts) == len(value) else None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) and len(value) <= _LONGEST_DETAIL else ""


def _readable(key: str) -> str:
    return key.replace("_", " ")
