"""Write files so that a reader sees either the old content or the whole new one."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantdet.errors import QuantdetError
from quantdet.system.temporary import OLD, remove, sweep, temporary_path

# A line break is never part of a JSON string, so that this matches no text of a user.
_NUMBERS = re.compile(r"\[\n(?:[\s\d.,eE+-]|null|NaN)+\]")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_path(target: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path next to ``target``; rename it to ``target`` on success.

    The temporary name keeps the suffix of ``target``, because Keras and Pillow choose the
    format by it. On an exception the temporary file is removed and ``target`` is untouched. What a
    process left that died in here is removed when another writes into the folder.

    Args:
        target: what it will be called.
        durable: have the content on the disk before it gets its name. Without, a loss of power
            may cost the file, but thousands of files are written in no time.

    Raises:
        QuantdetError: the folder cannot be created or written, the disk is full, or
            ``target`` is a folder.
    """
    temporary = temporary_path(target)
    try:
        _create(temporary)
        yield temporary
        if durable:
            # Windows flushes only files that are open for writing.
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
        _move(temporary, target)
    except BaseException as error:
        remove(temporary)
        # Errors of a network are OSErrors, too, but have no number.
        if isinstance(error, OSError) and error.errno is not None:
            raise _cannot_finish(target, temporary, error) from error
        raise


def _create(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        sweep(file.parent)
        # The permissions are those that an ordinary open() would give.
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise _cannot_write(file.parent, error) from error


class _Named(io.BytesIO):
    """Memory with the name of a file, by which Pillow chooses the format."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.name = str(path)


@contextmanager
def atomic_stream(target: Path) -> Iterator[io.BytesIO]:
    """Yield memory called ``target``; on success its content is written there in one step.

    For pictures: Pillow takes a part written for the whole, and on a full disk cuts files off
    without a word (``ImagingJpegEncode`` to a file; Python's own writing goes on or raises).

    Raises:
        QuantdetError: as :func:`atomic_path`.
    """
    stream = _Named(target)
    yield stream
    write_bytes(target, stream.getvalue())


@contextmanager
def atomic_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a new folder next to ``target``; rename it to ``target`` on success.

    Args:
        target: what it will be called.
        replace: remove a folder that has the name, once the new one is complete.

    Raises:
        QuantdetError: ``target`` exists and is not an empty folder, or cannot be written.
    """
    sweep(target.parent)
    if not replace and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise QuantdetError(
            f"{target}: is not empty, and nothing is overwritten; choose another folder"
        )
    try:
        with appearing_folder(target) as whole:
            yield whole
    except OSError as error:
        raise QuantdetError(
            f"{error.filename or target}: cannot be written ({error.strerror}); "
            "check permissions and space, or choose another folder"
        ) from error


@contextmanager
def appearing_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder next to ``target``; it takes the place of ``target`` on success.

    What a process left that died in here is removed when another writes into the parent folder.

    Raises:
        OSError: something cannot be written.
        QuantdetError: ``target`` cannot be replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    temporary = temporary_path(target)
    whole = temporary / "content"
    try:
        whole.mkdir(parents=True)
        yield whole
        if target.exists():
            (temporary / OLD).mkdir()
            _move(target, temporary / OLD / target.name)
        _move(whole, target)
    finally:
        remove(temporary)


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """Yield a new folder; on success its files take their places in ``folder``, one by one.

    So none of several files changes before all of them are made.

    Raises:
        QuantdetError: one cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        temporary = temporary_path(folder / "files")
        temporary.mkdir()
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        yield temporary
        for file in sorted(temporary.iterdir()):
            _move(file, folder / file.name)
    finally:
        remove(temporary)


def _move(temporary: Path, target: Path) -> None:
    try:
        temporary.replace(target)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise
        raise QuantdetError(
            f"{target}: cannot be replaced ({error.strerror}); remove what is there or choose "
            "another name"
        ) from error


def _cannot_write(folder: Path, error: OSError) -> QuantdetError:
    return QuantdetError(
        f"{folder}: cannot write here ({error.strerror}); "
        "choose another output folder or fix its permissions"
    )


def _cannot_finish(target: Path, temporary: Path, error: OSError) -> QuantdetError:
    if error.errno in _DISK_FULL:
        return QuantdetError(
            f"{target}: no space left to write it; free some or choose another folder"
        )
    ours = error.filename is None or str(error.filename) == str(temporary)
    return QuantdetError(
        f"{target if ours else error.filename}: cannot be "
        f"{'written' if ours else 'used'} ({error.strerror}); check it and the disk, then run the "
        "same command again"
    )


def write_text(target: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``target`` in one step.

    Names of files that are not UTF-8 become escapes, as JSON has them, too.
    """
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(target: Path, content: bytes) -> None:
    """Write ``content`` to ``target`` in one step."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_json(target: Path, value: object) -> None:
    """Write ``value`` as indented JSON to ``target`` in one step; lists of numbers are one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    flat = _NUMBERS.sub(lambda found: f"[{' '.join(found[0][1:-1].split())}]", text)
    write_text(target, flat + "\n")
