"""Let the n-th step on files fail, or the process die there, in any command.

Steps are what the interpreter announces of opening, renaming and removing files below a folder
(audit events, PEP 578), and `os.fsync`; so no writer can forget to take part. "fail" lets the step
raise ENOSPC or EIO. "full" lets a file be opened and takes its first bytes only. "die" and "torn"
are the same, but the process is gone: whatever it tries to write, rename or remove from then on
does not happen. That the system closes its files is all that a dead process does.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import resource
import secrets
import shutil
import sys
import traceback
import zipfile
from pathlib import Path

import pytest

from quantdet.cli import main
from quantdet.system import owner, temporary
from quantdet.system.folder_lock import LOCK_NAME

KINDS = {"open": ("fail", "full", "die", "torn")}
OTHERS = ("fail", "die")
_EVENTS = {
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FIRST_BYTES = 16
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Died(BaseException):
    """The process is gone."""


class Steps:
    """Watches the steps below a folder and makes one of them go wrong.

    Args:
        root: the folder.
        at: number of the step, from 0; None: all go well.
        kind: see the module.
    """

    def __init__(self, root: Path, at: int | None = None, kind: str = "fail") -> None:
        self.root = str(root)
        self.at = at
        self.kind = kind
        self.names: list[str] = []
        self.dead = False
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._torn = False

    def see(self, name: str, place: str) -> None:
        self.allow_writing()
        if self.dead or self._torn:
            self.dead = True
            raise Died(f"{name} {place}")
        number = len(self.names)
        self.names.append(name)
        if number == self.at:
            self._go_wrong(name, place)

    def _go_wrong(self, name: str, place: str) -> None:
        if self.kind == "die":
            self.dead = True
            raise Died(f"{name} {place}")
        if self.kind == "fail":
            code = errno.ENOSPC if name in ("open", "os.mkdir") else errno.EIO
            raise OSError(code, os.strerror(code), place)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FIRST_BYTES, self._limits[1]))
        self._torn = self.kind == "torn"

    def allow_writing(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


_steps: Steps | None = None
_fsync = os.fsync


def _hook(event: str, args: tuple) -> None:
    if _steps is None or not (event == "open" or event in _EVENTS):
        return
    if event == "open" and not (isinstance(args[2], int) and args[2] & _WRITING):
        return
    places = [os.fsdecode(item) for item in args[:2] if isinstance(item, str | bytes | os.PathLike)]
    # shutil.rmtree names what it removes relative to an open folder.
    below = [item for item in places if item.startswith(_steps.root) or not os.path.isabs(item)]
    if below:
        _steps.see(event, below[0])


sys.addaudithook(_hook)


def _watched_fsync(handle: int) -> None:
    if _steps is not None:
        _steps.see("os.fsync", "")
    _fsync(handle)


@contextlib.contextmanager
def watched(steps: Steps):
    global _steps  # noqa: PLW0603 - an audit hook is of the process
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", _watched_fsync)
        _steps = steps
        try:
            yield steps
        finally:
            _steps = None
            steps.allow_writing()


def another_process() -> None:
    """Let what follows be of another process than what was before."""
    owner._TOKEN = secrets.token_hex(4)
    temporary._swept.clear()


def run(arguments: list, steps: Steps | None = None) -> tuple[int | None, str]:
    """Return exit code and errors of a command, which is a process of its own; None: it died."""
    another_process()
    errors = io.StringIO()
    watching = watched(steps) if steps else contextlib.nullcontext()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(errors),
    ):
        patch.setattr(sys, "argv", ["quantdet", *map(str, arguments)])
        try:
            with watching:
                main()
        except SystemExit as end:
            return end.code, errors.getvalue()
        except Died:
            return None, errors.getvalue()
        except Exception:
            return 1, errors.getvalue() + traceback.format_exc()
    raise AssertionError("main() always leaves")


class Workplace:
    """A folder that is the same before every try of a command.

    Args:
        before: its content.
        place: where it is used, always the same: paths stand in results.
        arguments: of the command.
    """

    def __init__(self, before: Path, place: Path, arguments: list) -> None:
        self._before = before
        self.place = place
        self.arguments = arguments
        steps = self._try(Steps(place))[2]
        self.wanted = contents(place)
        self.steps = steps.names

    def faults(self) -> list[tuple[int, str]]:
        """Return (step, kind) of everything that can go wrong."""
        return [(n, kind) for n, name in enumerate(self.steps) for kind in KINDS.get(name, OTHERS)]

    def check(self, at: int, kind: str) -> None:
        """Let a step go wrong; the same command again has to give the same, and leave nothing."""
        code, said, _ = self._try(Steps(self.place, at, kind))
        where = f"{kind} at step {at}, {self.steps[at]}"
        assert code in ((0, 2) if kind in ("fail", "full") else (None, 0)), f"{where}: {said}"
        assert "Traceback" not in said, f"{where}: {said}"
        if code == 2:
            last = said.rstrip().splitlines()[-1]
            assert last.startswith("error: "), f"{where}: {said}"
        again, said = run(self.arguments)
        assert again == 0, f"again after {where}: {said}"
        found = contents(self.place)
        assert sorted(found) == sorted(self.wanted), where
        assert [name for name in found if found[name] != self.wanted[name]] == [], where

    def _try(self, steps: Steps) -> tuple[int | None, str, Steps]:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self._before, self.place)
        code, said = run(self.arguments, steps)
        if steps.at is None:
            assert code == 0, said
        return code, said, steps


def contents(root: Path) -> dict[str, object]:
    """Return relative path → content without times, of every file and folder."""
    return {
        path.relative_to(root).as_posix(): _content(path) if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if not _is_log(path.relative_to(root))
    }


def left_behind(root: Path) -> list[str]:
    """Return what no finished command leaves: temporary names and locks."""
    return [
        str(path)
        for path in root.rglob(".*")
        if path.name == LOCK_NAME or temporary.owner_of(path.name)
    ]


def _is_log(path: Path) -> bool:
    # Lines of all attempts; the names of TensorBoard's files have the time.
    return path.name == "train.log" or "logs" in path.parts[:-1]


def _content(path: Path) -> object:
    content = path.read_bytes()
    if path.suffix == ".json":
        return _timeless(json.loads(content))
    if path.suffix == ".csv" and b"seconds" in content:
        return [line.split(",") for line in content.decode().splitlines()][:1]
    if path.suffix == ".keras":  # a zip with the time of writing
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if "meta" not in name}
    if path.suffix == ".html":
        return _NUMBER.sub("#", re.sub(r"<svg.*?</svg>", "", content.decode(), flags=re.DOTALL))
    return content


_TIMES = {"seconds", "written", "latency", "inference_ms", "host", "ms", "versions"}


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in _TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
