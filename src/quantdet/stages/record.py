"""The entry of a stage in ``manifest.json``."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata

from quantdet.manifest import StageRecord
from quantdet.runs import Run
from quantdet.system.folder_lock import exclusive
from quantdet.system.memory import release_memory

_PACKAGES = (
    *("quantdet", "keras", "tensorflow-cpu", "tensorflow", "jax", "jaxlib", "torch"),
    *("ai-edge-litert", "numpy"),
)


@contextmanager
def recorded(run: Run, stage: str) -> Iterator[Callable[[StageRecord], None]]:
    """Give a function that takes the record of a stage; note it with its time and versions.

    The run belongs to this process meanwhile. Settings that were changed for the stage are saved
    with its record: a stage that is refused changes nothing.

    Raises:
        QuantdetError: another process is at work on the run, or the manifest cannot be added to;
            told before the work.
    """
    found: list[StageRecord] = []
    with exclusive(run.root):
        run.manifest()
        start = time.perf_counter()
        yield found.append
        release_memory()
        seconds = round(time.perf_counter() - start, 2)
        (record,) = found
        run.save_config()
        run.record(stage, record.model_copy(update={"seconds": seconds, "versions": versions()}))


def versions() -> dict[str, str]:
    """Return the versions that decide a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
