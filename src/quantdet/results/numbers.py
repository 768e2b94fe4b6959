"""Numbers as text, the same way on the terminal and in reports. ``None`` is shown as a dash."""

from __future__ import annotations

NOTHING = "–"
EXACT_DB = 120.0
"""From here on what is left is the rounding of float32: shown as "exact"."""


def plain(value: float | None, digits: int) -> str:
    """1234.5 → "1,234.50"."""
    return NOTHING if value is None else f"{value:,.{digits}f}".replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """0.5 → "50.0"; the unit stands in the table's head. Only a share of 1 reads 100."""
    if share is None:
        return NOTHING
    below = 100 - 10.0**-digits
    return plain(min(100 * share, below) if share < 1 else 100 * share, digits)


def difference(value: float, digits: int = 2) -> str:
    """Return a signed figure; what rounds to zero is "±0"."""
    text = f"{value:+,.{digits}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else "±0"


def megabytes(count: int) -> str:
    """3122320 → "3.12"; 1 MB is 10^6 bytes."""
    return plain(count / 1e6, 2)


def times(ratio: float) -> str:
    """3.35 → "3.4×"."""
    return f"{plain(ratio, 1)}×"
