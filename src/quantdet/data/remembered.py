"""What was seen of picture files that have not changed since, so that nothing is decoded twice.

    USER_CACHE/pictures/KEY.json   KEY: of the folder; file name → its state, and what was seen

A file counts as unchanged while its size and both of its times (modified, and changed by the
system's clock, which no program sets) are the same. One that was written within two seconds is not
remembered: it might be written again in the same tick of the clock.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from quantdet.errors import QuantdetError
from quantdet.system.atomic import write_text
from quantdet.system.user_cache import user_cache_dir

_VERSION = 1
_TICK_NS = 2_000_000_000
_WORTH = 500
"""Pictures of a folder from which on a table of them saves time."""

State = tuple[int, int, int]
"""Size, time of the last modification, time of the last change, in bytes and ns."""


@dataclass(frozen=True)
class Seen:
    """What a picture file holds.

    Attributes:
        size_hw: (height, width) seen upright; None if it cannot be decoded.
        orientation: of its EXIF data, 1 where there is none.
        digest: blake2b of its bytes, hexadecimal.
        fault: why it cannot be decoded, else "".
    """

    size_hw: tuple[int, int] | None
    orientation: int
    digest: str
    fault: str = ""


class Remembered:
    """What is known of picture files.

    Args:
        paths: the files that will be asked for.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        asked: dict[Path, int] = defaultdict(int)
        for path in paths:
            asked[path.parent] += 1
        self._tables = {f: _read(_table(f)) for f, count in asked.items() if count >= _WORTH}

    def find(self, path: Path) -> Seen | None:
        """Return what was seen of a file; None if it is unknown or has changed."""
        known = self._tables.get(path.parent, {}).get(path.name)
        if known is None or tuple(known[:3]) != state(path):
            return None
        height, width, orientation, digest = known[3:]
        return Seen((height, width), orientation, digest)

    def add(self, seen: Mapping[Path, Seen], states: Mapping[Path, State]) -> None:
        """Remember sound pictures.

        Args:
            seen: file → what was seen.
            states: of the files before that; those left out are not remembered.
        """
        changed = set()
        for path, picture in seen.items():
            table, file = self._tables.get(path.parent), states.get(path)
            if table is not None and file is not None and picture.size_hw is not None:
                table[path.name] = [*file, *picture.size_hw, picture.orientation, picture.digest]
                changed.add(path.parent)
        for folder in changed:
            content = {"version": _VERSION, "pictures": self._tables[folder]}
            with suppress(QuantdetError):  # without the table it is only slower
                write_text(_table(folder), json.dumps(content, ensure_ascii=False))


def settled_states(paths: Iterable[Path]) -> dict[Path, State]:
    """Return file → state of those that were not written just now."""
    latest = time.time_ns() - _TICK_NS
    found = ((path, state(path)) for path in paths)
    return {path: file for path, file in found if file is not None and max(file[1:]) < latest}


def state(path: Path) -> State | None:
    """Return the state of a file, None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _table(folder: Path) -> Path:
    key = blake2b(str(folder.absolute()).encode(), digest_size=16).hexdigest()
    return user_cache_dir() / "pictures" / f"{key}.json"


def _read(table: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(table.read_text("utf-8"))
        pictures = content["pictures"]
        sound = content["version"] == _VERSION and all(len(row) == 7 for row in pictures.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return pictures if sound else {}
