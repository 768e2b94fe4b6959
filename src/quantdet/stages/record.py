"""The entry of a stage in ``manifest.json``."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from quantdet.runs import Run
from quantdet.system.memory import release_memory

_PACKAGES = ("quantdet", "keras", "tensorflow-cpu", "tensorflow", "ai-edge-litert", "numpy")


@contextmanager
def recorded(run: Run, stage: str) -> Iterator[dict[str, Any]]:
    """Note in the manifest what a stage did, how long it took, and with which versions."""
    entry: dict[str, Any] = {}
    start = time.perf_counter()
    yield entry
    release_memory()
    entry["seconds"] = round(time.perf_counter() - start, 2)
    entry["versions"] = versions()
    run.record(stage, entry)


def versions() -> dict[str, str]:
    """Return the versions that decide a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
