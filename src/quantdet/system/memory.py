"""Give memory back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys


def release_memory() -> None:
    """Collect garbage, and return what the C library keeps for later.

    glibc keeps freed memory in an arena for each thread. After a training that is gigabytes, which
    the next stage, of other threads and sizes, does not use again.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
