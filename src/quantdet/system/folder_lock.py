"""A folder belongs to one process at a time.

    FOLDER/.lock   who has it: host, process, since when, command

The system's lock on that file decides; it ends with the process, however that ends, and holds on
NFS, too. Where the file system knows no locks, what stands in the file decides: on the same host
the holder's process is looked for, of another host the message says what to remove.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quantdet.errors import QuantdetError
from quantdet.system.owner import Owner

LOCK_NAME = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_held = threading.local()


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other processes and threads out of ``folder``; the thread that has it may enter again.

    The folder is made if it is missing, and removed again if it is empty then.

    Raises:
        QuantdetError: another has it (the message says who), it is a file, or not writable.
    """
    if folder.exists() and not folder.is_dir():
        raise QuantdetError(f"{folder}: is a file; choose another run folder with --out")
    held: set[Path] = _held.__dict__.setdefault("folders", set())
    place = folder.resolve()
    if place in held:
        yield
        return
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    handle = _acquire(folder)
    held.add(place)
    try:
        yield
    finally:
        held.discard(place)
        _release(folder / LOCK_NAME, handle)
        with suppress(OSError):  # only what is empty
            for path in missing:
                path.rmdir()


def _acquire(folder: Path) -> int:
    """Return the handle of the locked file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            handle, is_new = _open(folder / LOCK_NAME)
            if not _is_ours(handle, is_new):
                found = _read(handle)
                os.close(handle)
                raise _in_use(folder, found)
            if _is_same_file(folder / LOCK_NAME, handle):
                _write(handle)
                return handle
            os.close(handle)  # its holder has removed it since
    except OSError as error:
        raise QuantdetError(
            f"{folder}: cannot write here ({error.strerror}); choose another output folder or fix "
            "its permissions"
        ) from error


def _open(file: Path) -> tuple[int, bool]:
    """Return the lock file, and whether it was made just now."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
    except FileExistsError:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666), False


def _is_ours(handle: int, is_new: bool) -> bool:
    try:
        return _lock(handle)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return is_new or _owner(_read(handle)).is_gone()


def _is_same_file(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _release(file: Path, handle: int) -> None:
    if sys.platform == "win32":  # which removes no open file
        os.close(handle)
    try:
        with suppress(OSError):
            file.unlink()
    finally:
        if sys.platform != "win32":
            os.close(handle)


def _write(handle: int) -> None:
    holder = {
        **asdict(Owner.this_process()),
        "hostname": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": " ".join([_program(), *sys.argv[1:]]),
    }
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(holder).encode())


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "quantdet" if name == "__main__.py" else name


def _read(handle: int) -> dict[str, Any]:
    """Return what the holder wrote; nothing where it is not whole."""
    os.lseek(handle, 0, os.SEEK_SET)
    try:
        found = json.loads(os.read(handle, 1 << 16))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _owner(holder: dict[str, Any]) -> Owner:
    pid = holder.get("pid")
    return Owner(
        str(holder.get("host")), pid if isinstance(pid, int) else 0, str(holder.get("token"))
    )


def _in_use(folder: Path, holder: dict[str, Any]) -> QuantdetError:
    who = (
        f"process {holder.get('pid')} on {holder.get('hostname')} since {holder.get('since')}: "
        f"{holder.get('command')}"
        if holder
        else "another process"
    )
    return QuantdetError(
        f"{folder}: is in use by {who}; wait for its end or choose another folder. If it ended "
        f"long ago on another machine, remove {folder / LOCK_NAME}"
    )


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> bool:
        # Far behind the content, which others want to read.
        os.lseek(handle, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
