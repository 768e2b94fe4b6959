"""Write files so that a reader sees either the old content or the whole new one."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantdet.errors import QuantdetError

# A line break is never part of a JSON string, so that this matches no text of a user.
_NUMBERS = re.compile(r"\[\n(?:[\s\d.,eE+-]|null|NaN)+\]")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``target``; rename it to ``target`` on success.

    The temporary name keeps the suffix of ``target``, because Keras and Pillow choose the
    format by it. On an exception the temporary file is removed and ``target`` is untouched.

    Raises:
        QuantdetError: the folder cannot be created or written, the disk is full, or
            ``target`` is a folder.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.name.split('.')[0]}-",
            suffix="".join(target.suffixes) or ".tmp",
            dir=target.parent,
        )
    except OSError as error:
        raise QuantdetError(
            f"{target.parent}: cannot write here ({error.strerror}); "
            "choose another output folder or fix its permissions"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; give them the permissions an ordinary open() would.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        # Windows flushes only files that are open for writing.
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        _move(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise QuantdetError(
                f"{target}: no space left to write it; free some or choose another folder"
            ) from error
        raise


@contextmanager
def atomic_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a new folder next to ``target``; rename it to ``target`` on success.

    Args:
        target: what it will be called.
        replace: remove a folder that has the name, once the new one is complete.

    Raises:
        QuantdetError: ``target`` exists and is not an empty folder, or cannot be written.
    """
    if not replace and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise QuantdetError(
            f"{target}: is not empty, and nothing is overwritten; choose another folder"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as name:
            whole = Path(name) / "content"
            whole.mkdir()
            yield whole
            if replace and target.exists():
                _move(target, Path(name) / "old")
            _move(whole, target)
    except OSError as error:
        raise QuantdetError(
            f"{error.filename or target}: cannot be written ({error.strerror}); "
            "check permissions and space, or choose another folder"
        ) from error


def _move(temporary: Path, target: Path) -> None:
    try:
        temporary.replace(target)
    except OSError as error:
        raise QuantdetError(
            f"{target}: cannot be replaced ({error.strerror}); remove what is there or choose "
            "another name"
        ) from error


def write_text(target: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``target`` in one step."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: object) -> None:
    """Write ``value`` as indented JSON to ``target`` in one step; lists of numbers are one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    flat = _NUMBERS.sub(lambda found: f"[{' '.join(found[0][1:-1].split())}]", text)
    write_text(target, flat + "\n")
