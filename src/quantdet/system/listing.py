"""What is in a folder, as people see it: names that begin with a dot are none of it.

Unfinished files have such names, and so have the locks and side files of several systems.
"""

from __future__ import annotations

from pathlib import Path


def shown_files(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the files in ``folder`` that match a glob pattern, sorted; none if it is no folder.

    Args:
        folder: to look in.
        pattern: as of :meth:`pathlib.Path.glob`. No part of a path below ``folder`` begins with a
            dot.
    """
    return [path for path in shown_entries(folder, pattern) if path.is_file()]


def shown_entries(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the same with folders, and with what is neither: links to nothing, pipes, devices."""
    return sorted(path for path in folder.glob(pattern) if _is_shown(path, folder))


def _is_shown(path: Path, folder: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)
