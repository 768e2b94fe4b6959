"""What the maker calls the processor."""

from __future__ import annotations

import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def processor_name() -> str:
    """Return the processor's name, or at least its architecture."""
    model = platform.processor()
    if _CPU_INFO.is_file():
        names = [line for line in _CPU_INFO.read_text("utf-8").splitlines() if "model name" in line]
        model = names[0].partition(":")[2].strip() if names else model
    return model or platform.machine()
