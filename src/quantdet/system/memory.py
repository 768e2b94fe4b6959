"""Take memory from the system in large pages, and give it back."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

_TUNABLES = "GLIBC_TUNABLES"
_HUGE_PAGES = "glibc.malloc.hugetlb"
_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages(mode: Path = _MODE) -> None:
    """Start this process anew where glibc then asks for pages of 2 MB instead of 4 kB.

    A training step allocates each large tensor afresh, and the system clears it page by page. glibc
    reads its tunables (its manual, "Memory Allocation Tunables") before Python starts, so nothing
    can be changed later. Where they are set by the user, where the system gives such pages without
    being asked (``always``) or never, and on other systems than Linux nothing is done.

    Args:
        mode: the kernel's file that says who gets such pages.
    """
    given = os.environ.get(_TUNABLES, "")
    if sys.platform != "linux" or _HUGE_PAGES in given or not _on_request(mode):
        return
    tunables = ":".join(filter(None, (given, f"{_HUGE_PAGES}=1")))
    command = [sys.executable, *sys.orig_argv[1:]]
    with suppress(OSError):  # slower, that is all
        os.execve(sys.executable, command, {**os.environ, _TUNABLES: tunables})


def _on_request(mode: Path) -> bool:
    try:
        return "[madvise]" in mode.read_text("ascii")
    except OSError:
        return False


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
