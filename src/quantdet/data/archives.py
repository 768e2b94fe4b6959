"""Unpack zip and tar archives that may come from anywhere.

Nothing is written outside the target: names with "..", absolute names, links and devices are
refused before the first byte is written (CWE-22, known as zip slip).
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from quantdet.errors import DataError, QuantdetError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import appearing_folder

_BLOCK = 1 << 20


class DamagedArchiveError(DataError):
    """An archive that is none, or is not whole; ``archive`` is its path."""

    def __init__(self, archive: Path, reason: str) -> None:
        super().__init__(f"{archive}: {reason}")
        self.archive = archive


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    is_folder: bool
    is_plain: bool
    open: Callable[[], IO[bytes] | None]


def extract(archive: Path, target: Path, progress: Tick = no_tick) -> None:
    """Unpack ``archive`` into the folder ``target``, all of it or nothing.

    Args:
        archive: .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz, told apart by content.
        target: missing or empty; its parent is created.
        progress: called with (bytes written, all bytes).

    Raises:
        DataError: not an archive, damaged, unsafe, larger than the free space, or ``target``
            is not empty.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: exists already and is not overwritten; choose another folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _members(archive) as members:
            if all(member.is_folder for member in members):
                raise DamagedArchiveError(archive, "holds no file; download it again")
            _refuse_unsafe(archive, members)
            _require_space(archive, target.parent, sum(member.size for member in members))
            with appearing_folder(target) as whole:
                _write_all(archive, members, whole, progress)
    except QuantdetError:
        raise
    except (RuntimeError, NotImplementedError, MemoryError) as error:
        raise DataError(
            f"{archive}: cannot be unpacked ({error}); unpack it yourself and give the folder"
        ) from None
    except OSError as error:
        raise DataError(
            f"{target}: cannot unpack {archive.name} here ({error}); check permissions and space"
        ) from None
    except Exception as error:  # zipfile, tarfile and decompressors raise about every kind
        raise DamagedArchiveError(
            archive, f"archive is damaged ({error}); download it again"
        ) from None


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    if not archive.is_file():
        raise DataError(f"{archive}: no such archive; check the path")
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield [_zip_member(packed, info) for info in packed.infolist()]
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as packed_tar:
            yield [_tar_member(packed_tar, info) for info in packed_tar.getmembers()]
    else:
        with archive.open("rb") as stream:
            start = stream.read(24)
        if start.startswith(b"PK"):
            raise DamagedArchiveError(archive, "the zip is not whole; download it again")
        raise DamagedArchiveError(
            archive,
            f"neither zip nor tar (begins with {start!r}); download it again, or give a folder, "
            ".zip or .tar",
        )


def _zip_member(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    if info.compress_type == zipfile.ZIP_LZMA:
        # Its decompressor takes as much memory as the file says.
        raise NotImplementedError("it is compressed with LZMA")
    kind = stat.S_IFMT(info.external_attr >> 16)
    # Zips made on Windows have no file mode at all.
    plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
    # Some of them have backslashes between folders.
    name = info.filename.replace("\\", "/")
    return _Member(name, info.file_size, name.endswith("/"), plain, lambda: packed.open(info))


def _tar_member(packed: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    return _Member(
        info.name,
        info.size,
        info.isdir(),
        info.isfile() or info.isdir(),
        lambda: packed.extractfile(info),
    )


def _refuse_unsafe(archive: Path, members: Sequence[_Member]) -> None:
    for member in members:
        if not member.is_plain:
            raise DataError(
                f"{archive}: {member.name!r} is a link or device, which is refused for safety; "
                "unpack it yourself if you trust it, and give the folder"
            )
        posix, windows = PurePosixPath(member.name), PureWindowsPath(member.name)
        if posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
            raise DataError(
                f"{archive}: {member.name!r} points outside the archive, which is refused for "
                "safety; do not use this archive"
            )


def _require_space(archive: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{archive}: needs {needed / 1e9:.1f} GB unpacked, {folder} has {free / 1e9:.1f} GB "
            "free; free some space or choose another target"
        )


def _write_all(archive: Path, members: Sequence[_Member], folder: Path, progress: Tick) -> None:
    total = sum(member.size for member in members)
    done = 0
    for member in members:
        path = folder / member.name
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        source = member.open()
        if source is None:  # pragma: no cover - only links have no content
            continue
        try:
            with source, path.open("xb") as stream:
                # Never more than the size announced, on which the space was reckoned.
                shutil.copyfileobj(source, stream, _BLOCK)
        except FileExistsError:
            raise DataError(
                f"{archive}: holds {member.name!r} twice; unpack it yourself and give the folder"
            ) from None
        done += member.size
        progress(done, total)
