"""Where what can be fetched or made again is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache_dir() -> Path:
    """Return ``$XDG_CACHE_HOME/quantdet``, or ``~/.cache/quantdet``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "quantdet"
