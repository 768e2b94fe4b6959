"""What a patch-wise file costs, as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantdet.cli.tables import table

if TYPE_CHECKING:
    from quantdet.stages.patches import FileCost, PatchedExport

_HEAD = ("", "arena KiB", "MB", "operators", "million MACs", "median ms")


def patches_text(made: PatchedExport) -> str:
    """Return the table of ``quantdet export --patches``."""
    rows, columns = made.candidate.grid
    return "\n".join(
        (
            f"the first {made.candidate.operators} operators in {rows}x{columns} patches; every "
            "integer behind them is the same",
            table(_HEAD, [_row("ordinary", made.ordinary), _row("patches", made.patched)]),
            _ARENA if made.patched.arena_bytes is not None else _NO_ARENA,
        )
    )


_ARENA = "arena: TFLite-Micro's smallest on this machine; ms: XNNPACK here, one thread"
_NO_ARENA = "arena: not measured (pip install --pre tflite-micro); ms: XNNPACK here, one thread"


def _row(name: str, cost: FileCost) -> tuple[str, ...]:
    arena = "-" if cost.arena_bytes is None else str(cost.arena_bytes // 1024)
    return (
        name,
        arena,
        f"{cost.bytes / 1e6:.2f}",
        str(cost.operators),
        f"{cost.macs / 1e6:.1f}",
        f"{cost.latency_ms:.2f}",
    )
