"""What fits a device, as text for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quantdet.cli.tables import table

if TYPE_CHECKING:
    from quantdet.plan.search import Plan, Planned

_HEAD = ("kind", "width", "px", "file kB", "arena KiB", "in patches", "million MACs", "ms", "")
_NOTES = """\
arena: TFLite-Micro's smallest on this machine; your program and a chip's own kernels need more
ms: XNNPACK on this machine, one thread, not in patches
accuracy is not predicted: what has more multiplications comes first"""


def plan_text(plan: Plan) -> str:
    """Return what ``quantdet plan`` found."""
    limits = plan.limits
    there = f"{limits.ram // 1024} KiB of RAM and {limits.flash // 1024} KiB of flash"
    parts = [_rows(f"fits {there}:", plan.fits)] if plan.fits else [f"nothing fits {there}"]
    if plan.nearest:
        parts.append(_rows("the nearest that do not:", plan.nearest))
    parts.append(_NOTES)
    if plan.fits:
        parts.append("\n".join(("to train the first:", *_commands(plan.fits[0], limits.ram))))
    return "\n\n".join(parts)


def _rows(title: str, planned: Sequence[Planned]) -> str:
    return f"{title}\n{table(_HEAD, map(_row, planned))}"


def _row(item: Planned) -> tuple[str, ...]:
    cost, patches = item.cost, item.cost.patches
    grid = "-" if patches is None else f"{cost.patched_arena // 1024} ({patches[0]}x{patches[1]})"
    return (
        item.net.name,
        f"{item.net.width:g}",
        str(item.net.input_size),
        f"{cost.bytes / 1000:.0f}",
        str(cost.arena // 1024),
        grid,
        f"{cost.macs / 1e6:.1f}",
        f"{cost.latency_ms:.2f}",
        ", ".join(f"{what} x{times:.2f}" for what, times in item.too_much.items())
        or ("in patches" if item.in_patches else ""),
    )


def _commands(item: Planned, ram: int) -> list[str]:
    options = " ".join(f"--set {override}" for override in item.net.overrides)
    arena = f" --arena {ram}" if item.in_patches else ""
    return [
        f"  quantdet run --data DATA --out runs/plan --preset {item.net.preset} {options}",
        f"  quantdet export runs/plan --format c-array{arena}",
    ]
