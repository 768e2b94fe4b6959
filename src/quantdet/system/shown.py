"""Text for a terminal, which obeys control characters: file names and files may hold any."""

from __future__ import annotations

LAYOUT = "\n\t"
"""Control characters that texts of several lines have."""


def printable(text: str, keep: str = "") -> str:
    """Return a text with escapes for what is not printed: line breaks, ESC, marks of direction.

    Args:
        text: e.g. a file name.
        keep: characters that stay.
    """
    return "".join(
        letter if letter.isprintable() or letter in keep else _escaped(letter) for letter in text
    )


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
