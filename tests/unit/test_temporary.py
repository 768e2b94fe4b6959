import os
import subprocess
import sys

import pytest

from quantdet.system import owner, temporary
from quantdet.system.atomic import appearing_folder, atomic_folder, write_text
from quantdet.system.owner import Owner
from quantdet.system.temporary import OLD, owner_of, sweep, temporary_path


@pytest.fixture(autouse=True)
def _nothing_swept(monkeypatch):
    monkeypatch.setattr(temporary, "_swept", set())


@pytest.fixture
def gone():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _name(target, **changes):
    """Return a temporary name as another process would choose it."""
    mine = Owner.this_process()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, "_TOKEN", changes.get("token", mine.token))
        patch.setattr(owner, "_host", lambda: changes.get("host", mine.host))
        patch.setattr(os, "getpid", lambda: changes.get("pid", mine.pid))
        return temporary_path(target)


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "x" * 251 + ".jpg", "ü" * 124 + ".tflite", "a." + "b" * 250, "w.weights.h5", ".env"],
)
def test_names_are_short_enough_and_say_whose_they_are(tmp_path, name):
    path = temporary_path(tmp_path / name)
    assert len(os.fsencode(path.name)) < 200
    assert owner_of(path.name) == Owner.this_process()
    path.write_text("")
    write_text(tmp_path / name, "content")


def test_name_that_is_not_utf8(tmp_path):
    name = os.fsdecode(b"stra\xdfe.txt")
    write_text(tmp_path / name, "content")
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [b"stra\xdfe.txt"]


def test_only_what_dead_processes_left_goes(tmp_path, gone):
    target = tmp_path / "model.tflite"
    left = [
        _name(target, pid=gone),
        _name(target, token="0" * 8),  # the same number in an earlier life of a container
        _name(tmp_path / "folder", pid=gone),
        _name(target, host="0" * 8),
    ]
    for path in left[:2]:
        path.write_text("half")
    (left[2] / "content").mkdir(parents=True)
    left[3].write_text("half")
    os.utime(left[3], (1e9, 1e9))
    kept = [
        _name(target),
        _name(target, pid=os.getppid()),
        _name(target, host="1" * 8),
        tmp_path / ".model-dks6y_7h.tflite",
        tmp_path / ".env",
        tmp_path / "model.quantdet-1.txt",
        target,
    ]
    for path in kept:
        path.write_text("mine")
    write_text(tmp_path / "new.txt", "")
    assert [path for path in left if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_a_folder_is_looked_at_once(tmp_path, gone):
    sweep(tmp_path)
    left = _name(tmp_path / "a.txt", pid=gone)
    left.write_text("")
    sweep(tmp_path)
    assert left.exists()


def test_what_was_about_to_be_replaced_comes_back(tmp_path, gone):
    left = _name(tmp_path / "page", pid=gone)
    (left / OLD / "page").mkdir(parents=True)
    (left / OLD / "page" / "index.html").write_text("old")
    sweep(tmp_path)
    assert (tmp_path / "page" / "index.html").read_text() == "old"
    assert not left.exists()


def test_a_failed_replacement_leaves_the_old_folder(tmp_path):
    target = tmp_path / "page"
    target.mkdir()
    (target / "index.html").write_text("old")
    with pytest.raises(KeyboardInterrupt), appearing_folder(target) as whole:
        (whole / "index.html").write_text("new")
        raise KeyboardInterrupt
    assert (target / "index.html").read_text() == "old"
    with atomic_folder(target, replace=True) as whole:
        (whole / "index.html").write_text("new")
    assert (target / "index.html").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
