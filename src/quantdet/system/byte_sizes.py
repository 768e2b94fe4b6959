"""Sizes of memory as people write them."""

from __future__ import annotations

import re

from quantdet.errors import ConfigError

_UNITS = {"": 1, "K": 1024, "M": 1024 * 1024}


def parse_bytes(what: str, text: str) -> int:
    """Return the bytes of "524288", "512K" or "1.5M" (of 1024).

    Raises:
        ConfigError: it is something else, or nothing; ``what`` is named.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KM]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if size <= 0:
        raise ConfigError(f"{what} {text!r} is not a size; write for instance 512K or 1M")
    return size
