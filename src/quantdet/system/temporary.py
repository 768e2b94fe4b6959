"""Names of unfinished files and folders: they say whose they are, so that leftovers can go.

    .NAME.quantdet-HOST-PID-TOKEN-NUMBER.SUFFIX

Nothing else in a folder is ever removed, and nothing that a living process writes. Of another host
(or container) nobody knows what lives; what nobody touched for a day counts as left.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

from quantdet.system.owner import Owner

OLD = "old"
"""Inside an unfinished folder: holds what it is about to replace, under its own name."""

_NAME = re.compile(
    r"\..*\.quantdet-(?P<host>[0-9a-f]{8})-(?P<pid>\d{1,10})-(?P<token>[0-9a-f]{8})-\d+(\..*)?",
    re.DOTALL,
)
_NAME_BYTES = 40  # of 255: for people to read; the longest rest takes 110
_SUFFIX_BYTES = 60
_ABANDONED_S = 24 * 3600.0
_numbers = itertools.count()
_swept: set[Path] = set()


def temporary_path(target: Path) -> Path:
    """Return a name next to ``target`` that nothing has, with all its suffixes.

    Keras and Pillow choose the format by them.
    """
    owner = Owner.this_process()
    tag = f"{owner.host}-{owner.pid}-{owner.token}-{next(_numbers)}"
    stem, dot, rest = target.name.partition(".")
    suffix = dot + rest
    if len(os.fsencode(suffix)) > _SUFFIX_BYTES:
        suffix = target.suffix if len(os.fsencode(target.suffix)) <= _SUFFIX_BYTES else ""
    readable = os.fsencode(stem)[:_NAME_BYTES].decode("utf-8", "ignore")
    return target.with_name(f".{readable}.quantdet-{tag}{suffix}")


def owner_of(name: str) -> Owner | None:
    """Return who made a temporary name; None: it is none of ours."""
    found = _NAME.fullmatch(name)
    return found and Owner(found["host"], int(found["pid"]), found["token"])


def sweep(folder: Path) -> None:
    """Remove what dead processes left in ``folder``; looked at once by each process."""
    folder = folder.absolute()
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError), os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if _is_left(entry)]
        for path in left:
            remove(path)


def remove(path: Path) -> None:
    """Remove an unfinished file or folder, as far as that is possible.

    What a folder was about to replace gets its name back, if nothing has it by now.
    """
    with suppress(OSError):
        for replaced in (path / OLD).iterdir() if (path / OLD).is_dir() else ():
            if not (path.parent / replaced.name).exists():
                replaced.rename(path.parent / replaced.name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _is_left(entry: os.DirEntry[str]) -> bool:
    owner = owner_of(entry.name)
    if owner is None:
        return False
    if owner.is_here():
        return owner.is_gone()
    return time.time() - _touched(Path(entry.path)) > _ABANDONED_S


def _touched(path: Path) -> float:
    """Return when something was last written at or below ``path``; now, where nobody can tell."""
    try:
        below = [Path(folder) for folder, _, _ in os.walk(path)]
        return max(item.lstat().st_mtime for item in (path, *below))
    except OSError:
        return time.time()
