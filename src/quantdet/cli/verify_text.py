"""The table of ``quantdet verify``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quantdet.cli.tables import table
from quantdet.results.verification import TargetResult, Verification

_HEADER = ("target", "", "identical", "exact", "max", "noise", "same boxes", "ms (threads)")


def verify_table(result: Verification) -> str:
    """Return what was verified for people."""
    rows = [_row(item) for item in result.targets]
    head = f"{result.model}: {result.pictures} pictures, against {result.baseline}\n"
    reasons = [f"{item.target}: {item.reason}" for item in result.targets]
    accelerators = _accelerators(result.targets)
    return "\n".join([head, table(_HEADER, rows), "", _legend(result), *reasons, *accelerators])


def _legend(result: Verification) -> str:
    noise, same = result.noise_of_quantization_lsb, result.same_after_quantization
    text = "in %, max and noise in integer steps"
    if noise is not None:
        text += f"; float to fake-quantized: noise {noise:.2f}"
        text += "" if same is None else f", same boxes {100 * same:.4g}"
    return text


def _row(item: TargetResult) -> tuple[str, ...]:
    times = item.latency_ms or {}
    return (
        item.target,
        item.status,
        _percent(item.identical),
        _percent(item.identical_exact),
        "" if item.max_lsb is None else f"{item.max_lsb:.0f}",
        "" if item.noise_lsb is None else f"{item.noise_lsb:.2f}",
        _percent(item.same_detections),
        ", ".join(f"{ms:.1f} ({threads})" for threads, ms in times.items()),
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.4g}"


def _accelerators(targets: Iterable[TargetResult]) -> list[str]:
    rows = [
        (
            row["accelerator"],
            f"{row['npu_operators']}/{row['npu_operators'] + row['cpu_operators']}",
            f"{row['inference_ms']:.1f}",
            f"{row['sram_kib']:.0f}",
            f"{row['dram_kib']:.0f}",
            f"{row['flash_kib']:.0f}",
        )
        for item in targets
        for row in _records(item, "accelerators")
    ]
    header = ("accelerator", "on NPU", "estimated ms", "SRAM KiB", "DRAM KiB", "flash KiB")
    return ["", table(header, rows)] if rows else []


def _records(item: TargetResult, key: str) -> list[dict[str, Any]]:
    """Return a list of records out of what only this target has."""
    found = (item.details or {}).get(key, [])
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
