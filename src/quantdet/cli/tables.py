"""Results as plain text tables."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantdet.config import Setting
    from quantdet.evaluate.latency import LatencyResult
    from quantdet.runtime.pretrained import Pretrained


def table(header: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Return an aligned text table; the first ``words`` columns are left-aligned, others right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def latency_table(rows: Sequence[LatencyResult]) -> str:
    """Return the latency table of ``quantdet benchmark``."""
    cells = [
        (
            row.kernels,
            str(row.threads),
            f"{row.median_ms:.2f}",
            f"{row.p90_ms:.2f}",
            f"{row.min_ms:.2f}",
        )
        for row in rows
    ]
    return table(("kernels", "threads", "median ms", "p90 ms", "min ms"), cells)


def models_text(found: Sequence[Pretrained]) -> str:
    """Return the table of ``quantdet models``."""
    if not found:
        return "no model comes with this installation; make one with `quantdet run`"
    rows = [
        (
            item["name"],
            f"{item['size_hw'][0]}x{item['size_hw'][1]} {item['input']}",
            f"{item['bytes'] / 1e6:.2f}",
            str(len(item["labels"])),
        )
        for item in found
    ]
    parts = [table(("model", "input", "MB", "classes"), rows)]
    parts += [f"\n{item['name']}: {', '.join(item['labels'])}" for item in found]
    parts.append(f"\nuse: quantdet predict street.jpg --model {found[0]['name']}")
    return "\n".join(parts)


def settings_text(settings: Iterable[Setting]) -> str:
    """Return settings as TOML that ``--config`` takes, meanings and origins as comments."""
    lines: list[str] = []
    for section, group in groupby(settings, lambda item: item.section):
        lines += ["", f"[{section}]"]
        for item in group:
            text = " ".join(item.meaning.split())
            lines += textwrap.wrap(text, 96, initial_indent="# ", subsequent_indent="# ")
            unset = item.value is None
            shown = f"# {item.key} =" if unset else f"{item.key} = {_toml(item.value)}"
            lines.append(f"{shown:<40}  # {item.origin}")
    return "\n".join(lines[1:])


def _toml(value: object) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
