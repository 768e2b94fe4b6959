import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from quantdet.errors import QuantdetError
from quantdet.system import folder_lock
from quantdet.system.folder_lock import LOCK_NAME, exclusive

_HOLDS = """
import sys, time
from pathlib import Path
from quantdet.system.folder_lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("has it", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has tmp_path / "run"."""
    command = [sys.executable, "-c", _HOLDS, str(tmp_path / "run"), "--set", "a=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "has it\n"
        yield process
        process.kill()


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks."""

    def refuse(handle):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(folder_lock, "_lock", refuse)


def _kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def _refused(folder):
    with pytest.raises(QuantdetError) as error, exclusive(folder):
        pass
    return str(error.value)


def test_another_process_is_told_who_has_it(tmp_path, holder):
    said = _refused(tmp_path / "run")
    for words in ("run: is in use by", f"process {holder.pid} on ", "since 2", "--set a=1"):
        assert words in said
    _kill(holder)
    with exclusive(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_another_thread_is_refused_and_the_same_may_enter_again(tmp_path):
    said = []
    with exclusive(tmp_path), exclusive(tmp_path / ".." / tmp_path.name):
        thread = threading.Thread(target=lambda: said.append(_refused(tmp_path)))
        thread.start()
        thread.join()
        assert (tmp_path / LOCK_NAME).exists()
    assert f"process {os.getpid()} " in said[0]
    assert list(tmp_path.iterdir()) == []


def test_folders_that_stay_empty_are_not_left(tmp_path):
    with pytest.raises(KeyboardInterrupt), exclusive(tmp_path / "a" / "b"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with exclusive(tmp_path / "mine"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_file_in_the_place(tmp_path):
    (tmp_path / "run").write_text("mine")
    assert "run: is a file; choose another" in _refused(tmp_path / "run")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot write here" in _refused(tmp_path)


def test_without_locks_the_process_is_looked_for(tmp_path, no_locks):
    folder = tmp_path / "run"
    with exclusive(folder):
        assert (folder / LOCK_NAME).exists()
    assert not folder.exists()
    command = [sys.executable, "-c", _HOLDS, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        assert f"process {process.pid} " in _refused(folder)
        _kill(process)
    with exclusive(folder):
        pass
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"host": "00000000", "pid": 1, "token": "0", "hostname": "far"}']
)
def test_without_locks_an_unknown_holder_is_believed(tmp_path, no_locks, content):
    (tmp_path / LOCK_NAME).write_text(content)
    assert f"remove {tmp_path / LOCK_NAME}" in _refused(tmp_path)
    assert (tmp_path / LOCK_NAME).read_text() == content
