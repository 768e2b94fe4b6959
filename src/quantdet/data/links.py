"""Bring a file to another place without doubling it, if the disk allows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from quantdet.system.atomic import atomic_path


def place_file(source: Path, target: Path, *, link: bool = True) -> bool:
    """Make ``target`` a hard link to ``source``, or a copy where a link is not possible.

    ``target`` must not exist; its folder is created. A copy appears under its name only when
    it is complete.

    Returns:
        True for a link, False for a copy.

    Raises:
        FileExistsError: ``target`` exists.
        OSError: not readable.
        QuantdetError: not writable.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        try:
            # The link to a symbolic link would point to nowhere from another folder.
            os.link(source.resolve(), target)
            return True
        except FileExistsError:
            raise
        except OSError:
            # Another disk, or a file system without links: copy.
            pass
    if target.exists():
        raise FileExistsError(target)
    with atomic_path(target, durable=False) as temporary:
        shutil.copyfile(source, temporary)
    return False
