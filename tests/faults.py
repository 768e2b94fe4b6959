"""Let the n-th step on files fail, or the process die there, in any command.

Steps are what the interpreter announces of opening, renaming and removing files below a folder
(audit events, PEP 578), and `os.fsync`; so no writer can forget to take part.

Errors: "fail" lets the step raise ENOSPC or EIO; "full" lets a file be opened, and takes its first
bytes only. Deaths: one run of the command shows all states of the folder that a process may leave
that dies at a step, or with only the first bytes of a file on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import resource
import secrets
import shutil
import sys
import threading
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from quantdet.cli import main
from quantdet.system import owner, temporary
from quantdet.system.folder_lock import LOCK_NAME

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
_FIRST_BYTES = 8
_LARGE = 1 << 16
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Opened(NamedTuple):
    """A file that is written, and how many bytes of it are certain and the first of what comes."""

    path: Path
    first: int

    @classmethod
    def now(cls, path: Path, flags: int) -> Opened:
        appends = flags & os.O_APPEND and path.exists()
        return cls(path, (path.stat().st_size if appends else 0) + _FIRST_BYTES)


class Steps:
    """Watches the steps below a folder, and makes one of them go wrong.

    Args:
        root: the folder.
        at: number of the step, from 0; None: all go well.
        kind: see the module.
        on_step: called before a step with what it is, and the file that was opened last.
    """

    def __init__(
        self,
        root: Path,
        at: int | None = None,
        kind: str = "fail",
        on_step: Callable[[int, str, Opened | None], None] | None = None,
    ) -> None:
        self.root = str(root)
        self.names: list[str] = []
        self._at = at
        self._kind = kind
        self._on_step = on_step
        self._opened: Opened | None = None
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._busy = threading.Lock()

    def see(self, name: str, place: str, flags: int = 0) -> None:
        """Take note of a step that is about to be made."""
        if not self._busy.acquire(blocking=False):
            return  # a step of ``on_step`` itself
        try:
            self.allow_writing()
            number = len(self.names)
            self.names.append(name)
            if self._on_step is not None:
                self._on_step(number, f"{name} {Path(place).name}", self._opened)
                self._opened = Opened.now(Path(place), flags) if name == "open" else None
            if number == self._at:
                self._fail(name, place)
        finally:
            self._busy.release()

    def _fail(self, name: str, place: str) -> None:
        if self._kind == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (_FIRST_BYTES, self._limits[1]))
            return
        code = errno.ENOSPC if name in ("open", "os.mkdir") else errno.EIO
        raise OSError(code, os.strerror(code), place)

    def allow_writing(self) -> None:
        """End what "full" began."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


_steps: Steps | None = None
_fsync = os.fsync


def _hook(event: str, args: tuple) -> None:
    if _steps is None or not (event == "open" or event in _EVENTS):
        return
    if event == "open" and not (isinstance(args[2], int) and args[2] & _WRITING):
        return
    named = [item for item in args[:2] if isinstance(item, str | bytes | os.PathLike)]
    places = [os.fsdecode(item) for item in named]
    # shutil.rmtree names what it removes relative to an open folder.
    below = [
        item for item in places if item.startswith(_steps.root) or not Path(item).is_absolute()
    ]
    if below:
        _steps.see(event, below[0], args[2] if event == "open" else 0)


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
    if sys.modules.get("keras"):  # counts the layers that have no name of their own
        sys.modules["keras"].utils.clear_session()


def run(arguments: list, steps: Steps | None = None) -> tuple[int, str]:
    """Return exit code and errors of a command, which is taken for a process of its own."""
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
        except Exception:
            return 1, errors.getvalue() + traceback.format_exc()
    raise AssertionError("main() always leaves")


class Workplace:
    """A folder that is the same before every try of a command.

    Args:
        before: its content.
        place: where it is used, always the same: paths stand in results.
        arguments: of the command.
        every: look only at each of so many steps for a state to die in.

    Attributes:
        steps: names of the steps of the whole command.
        deaths: what -> folder with what a process leaves that dies there; the same only once.
        errors: (step, kind) of all that can go wrong and be told.
    """

    def __init__(self, before: Path, place: Path, arguments: list, every: int = 1) -> None:
        self._before = before
        self._states = place.with_name(f"{place.name}-states")
        self.place = place
        self.arguments = arguments
        self.deaths: dict[str, Path] = {}
        self._seen: set[str] = set()
        self._survived: set[str] = set()
        self._every = every
        shutil.rmtree(self._states, ignore_errors=True)
        self._restore(before)
        steps = Steps(place, on_step=self._see_step)
        code, said = run(arguments, steps)
        assert code == 0, said
        self.steps = steps.names
        self.wanted = contents(place)
        assert left_behind(place) == []
        self.errors = [
            (number, kind)
            for number, name in enumerate(self.steps)
            for kind in (("fail", "full") if name == "open" else ("fail",))
        ]

    def check_death(self, where: str) -> None:
        """Run the command where another process has died; it gives the same, and cleans up."""
        self._restore(self.deaths[where])
        self._check_again(f"death {where}")

    def check_error(self, at: int, kind: str) -> None:
        """Let a step fail: one sentence; the same command again gives the same."""
        where = f"{kind} at step {at}, {self.steps[at]}"
        self._restore(self._before)
        code, said = run(self.arguments, Steps(self.place, at, kind))
        assert code in (0, 2), f"{where}: {said}"
        assert "Traceback" not in said, f"{where}: {said}"
        if code == 2:
            assert said.rstrip().splitlines()[-1].startswith("error: "), f"{where}: {said}"
        if code == 0 and not left_behind(self.place):
            self._check_result(where)
        else:
            self._check_again(where)

    def _check_again(self, where: str) -> None:
        state = digest(self.place)
        if state in self._survived:
            return
        code, said = run(self.arguments)
        # A new folder was complete: nothing is overwritten.
        done = "not empty" in said and "overwritten" in said
        assert code == (2 if done else 0), f"again after {where}: {said}"
        assert left_behind(self.place) == [], f"again after {where}"
        self._check_result(f"again after {where}")
        self._survived.add(state)

    def _check_result(self, where: str) -> None:
        found = contents(self.place)
        assert sorted(found) == sorted(self.wanted), where
        differ = [name for name in found if found[name] != self.wanted[name]]
        assert differ == [], f"{where}: {differ}"

    def _see_step(self, number: int, name: str, opened: Opened | None) -> None:
        if number % self._every == self._every // 2:
            self._keep_state(f"before step {number}, {name}", opened)

    def _keep_state(self, where: str, torn: Opened | None) -> None:
        """Keep what is there now; with the file ``torn`` cut off, if one was written."""
        if torn is not None and torn.path.is_file() and torn.path.stat().st_size > torn.first:
            whole = torn.path.read_bytes()
            torn.path.write_bytes(whole[: torn.first])
            self._keep_state(f"{where}, torn {torn.path.name}", None)
            torn.path.write_bytes(whole)
        state = digest(self.place)
        if state not in self._seen:
            self._seen.add(state)
            self.deaths[where] = self._states / str(len(self._seen))
            shutil.copytree(self.place, self.deaths[where], symlinks=True)

    def _restore(self, state: Path) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(state, self.place, symlinks=True)


def some_of(items: list) -> list:
    """Return a few items: others in every part of the list."""
    return items[1 :: max(1, len(items) // 3)]


def say_numbers(name: str, work: Workplace) -> None:
    """Print how much there is to survive; shown by `pytest -rP`."""
    counts = Counter(work.steps)
    print(
        f"{name}: {len(work.steps)} steps ({', '.join(f'{n} {k}' for k, n in counts.items())}), "
        f"{len(work.deaths)} states to die in, {len(work.errors)} errors"
    )


def digest(root: Path) -> str:
    """Return what tells one state of a folder from another; whose temporary files does not."""
    parts = []
    for name, content in contents(root).items():
        known = [_unowned(part) for part in name.split("/")]
        parts.append(f"{'/'.join(known)}\n{content!r}")
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()


def _unowned(name: str) -> str:
    return re.sub("quantdet-[^.]*", "", name) if temporary.owner_of(name) else name


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
    if path.name == LOCK_NAME:
        return None  # whose it is
    try:
        return _without_times(path, content)
    except (ValueError, zipfile.BadZipFile):  # not whole
        return _short(content)


def _short(content: bytes) -> bytes | str:
    return content if len(content) < _LARGE else hashlib.sha256(content).hexdigest()


def _without_times(path: Path, content: bytes) -> object:
    if path.suffix == ".json":
        return _timeless(json.loads(content))
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in content.splitlines()]
    if path.suffix == ".csv" and b"seconds" in content:
        return [line.split(",") for line in content.decode().splitlines()][:1]
    if path.suffix in (".keras", ".npz"):  # zips with the time of writing and seconds of epochs
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if "meta" not in name]
            return {name: _short(archive.read(name)) for name in names}
    if path.suffix == ".html":
        return _NUMBER.sub("#", re.sub(r"<svg.*?</svg>", "", content.decode(), flags=re.DOTALL))
    return _short(content)


_TIMES = {"seconds", "written", "latency", "inference_ms", "host", "ms", "versions"}


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in _TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
