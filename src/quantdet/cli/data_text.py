"""What ``quantdet data check`` found, as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from quantdet.cli.tables import table
from quantdet.data.check import CheckResult
from quantdet.data.findings import FindingKind, by_kind

_EXAMPLES = 3
_CLASSES = 30


def check_text(result: CheckResult, input_size: int, out: Path | None) -> str:
    """Return splits, classes, findings by kind, and whether training would start.

    Args:
        result: of the check.
        input_size: side of the model's input in pixels, for the sizes of boxes.
        out: the file that lists all findings, None if there is none.
    """
    parts = [_splits(result)]
    if result.classes:
        parts.append(_classes(result, input_size))
    parts += ["\n".join(_kind(kind, out)) for kind in by_kind(result.findings)]
    ready = "with these settings the data is ready for training"
    verdict = ready if result.ok else "training would stop; fix the errors"
    return "\n\n".join([*parts, verdict])


def _splits(result: CheckResult) -> str:
    rows = []
    for name, item in result.splits.items():
        numbers = (item.pictures, item.usable, item.background, item.objects, item.difficult)
        note = "" if item.annotated else "no annotations"
        note = note if item.used else "not used"
        rows.append((name, note, *map(str, numbers)))
    header = ("split", "", "pictures", "usable", "background", "objects", "difficult")
    return table(header, rows, words=2)


def _classes(result: CheckResult, input_size: int) -> str:
    used = [name for name, item in result.splits.items() if item.used]
    order = sorted(result.classes, key=lambda name: -result.classes[name].objects)
    rows = []
    for name in order[:_CLASSES]:
        facts = result.classes[name]
        at_input = tuple(share * input_size for share in facts.side_share)
        counts = [str(result.splits[split].classes[name]) for split in used]
        rows.append((name, *counts, _range(facts.side_px), _range(at_input)))
    header = ("class", *used, "box side px", f"at {input_size} px input")
    more = len(order) - _CLASSES
    hint = f"\nand {more} more classes; --json lists all" if more > 0 else ""
    return table(header, rows) + "\n(median, 10th to 90th percentile of the boxes)" + hint


def _range(sides: tuple[float, ...]) -> str:
    if not sides:
        return "-"
    low, middle, high = sides
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def _kind(kind: FindingKind, out: Path | None) -> Iterator[str]:
    shown = kind.findings[:_EXAMPLES]
    remedies = dict.fromkeys(item.remedy for item in shown if item.remedy)
    yield f"{kind.severity}: {kind.count} x {kind.code}"
    yield from (f"  {item.file}: {item.message}" for item in shown)
    more = len(kind.findings) - len(shown)
    if more:
        where = "--out FILE.json lists all" if out is None else f"all are in {out}"
        yield f"  and {more} more; {where}"
    yield from (f"  -> {remedy}" for remedy in remedies)
