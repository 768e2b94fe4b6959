"""What devices have for a model."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from quantdet.errors import ConfigError
from quantdet.system.byte_sizes import parse_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Limits:
    """What there is for a model.

    Attributes:
        ram: bytes for TFLite-Micro's arena.
        flash: bytes for the file.
        max_ms: for one picture on this machine; None leaves it open.
    """

    ram: int
    flash: int
    max_ms: float | None = None


def board_names() -> list[str]:
    """Return the boards that are known."""
    return list(_boards())


def find_limits(
    board: str | None, ram: str | None, flash: str | None, fps: float | None = None
) -> Limits:
    """Return what there is: of a board, where ``ram`` and ``flash`` do not say it.

    Args:
        board: out of :func:`board_names`.
        ram: "512K", "1M" and so on.
        flash: the same.
        fps: pictures a second that this machine has to do.

    Raises:
        ConfigError: the board is not known, a size is none, or one is missing.
    """
    known = {} if board is None else _board(board)
    sizes = {"ram": ram or known.get("ram"), "flash": flash or known.get("flash")}
    for what, size in sizes.items():
        if size is None:
            raise ConfigError(
                f"--{what} is missing; give it, for instance 512K, or --board with one of "
                f"{', '.join(board_names())}"
            )
    parsed = {what: parse_bytes(what, size or "") for what, size in sizes.items()}
    return Limits(parsed["ram"], parsed["flash"], None if fps is None else 1000 / fps)


def _board(name: str) -> dict[str, str]:
    boards = _boards()
    if name not in boards:
        raise ConfigError(
            f"board {name!r} is not known, only {', '.join(boards)}; give --ram and --flash"
        )
    return boards[name]


def _boards() -> dict[str, dict[str, str]]:
    text = Path(__file__).with_name("boards.toml").read_text(encoding="utf-8")
    boards: dict[str, dict[str, str]] = tomllib.loads(text)
    return boards
