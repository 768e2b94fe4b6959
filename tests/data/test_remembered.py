"""Pictures that have not changed are not read again; every change is seen."""

import os
import time

import pytest
from PIL import Image

from quantdet.config import DataConfig
from quantdet.data import digest, pictures, remembered
from quantdet.data.configured import judge_pictures
from quantdet.data.digest import digest_files
from quantdet.data.remembered import settled_states


@pytest.fixture
def table(monkeypatch, tmp_path):
    """Remember few pictures, too, in a folder of this test; none counts as just written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remembered, "_WORTH", 1)
    monkeypatch.setattr(remembered, "_TICK_NS", 0)
    return lambda: next((tmp_path / "cache" / "quantdet" / "pictures").iterdir())


@pytest.fixture
def read(monkeypatch):
    """Names of the files that are read, in the order of their names."""
    names = []

    def noted(function):
        def call(path):
            names.append(path.name)
            return function(path)

        return call

    monkeypatch.setattr(pictures, "look", noted(pictures.look))
    monkeypatch.setattr(digest, "_digest", noted(digest._digest))

    def take():
        taken = sorted(names)
        names.clear()
        return taken

    return take


@pytest.fixture
def data(voc, table):
    for name in ("a", "b", "c"):
        voc.add(name)
    time.sleep(0.02)  # a tick of the file system's clock
    return voc


def judge(voc):
    return judge_pictures(DataConfig(root=voc.root))


def files(voc):
    return sorted((voc.root / "JPEGImages").iterdir())


def test_nothing_is_read_twice_and_the_same_is_found(data, read):
    first = judge(data)
    assert read() == ["a.jpg", "b.jpg", "c.jpg"]
    assert judge(data) == first
    assert digest_files(files(data)) == first[1]
    assert read() == []


def test_a_changed_picture_alone_is_read_again(data, read):
    judge(data)
    read()
    changed = files(data)[1]
    before = changed.stat()
    content = bytearray(changed.read_bytes())
    content[-3] ^= 1
    changed.write_bytes(content)
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))  # as some programs do
    _, digests = judge(data)
    assert read() == ["b.jpg"]
    assert digests[changed] == digest._digest(changed)


def test_a_picture_that_breaks_is_found(data, read):
    assert not judge(data)[0].found
    broken = files(data)[0]
    broken.write_bytes(broken.read_bytes()[:200])
    (finding,) = judge(data)[0].found
    assert finding.code == "broken_picture"
    # Faults are looked for each time.
    read()
    judge(data)
    assert read() == ["a.jpg"]


def test_another_size_is_found(data):
    judge(data)
    Image.new("RGB", (30, 20)).save(files(data)[2])
    (finding,) = judge(data)[0].found
    assert finding.code == "size_mismatch"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1, "pictures": {"a.jpg": [1]}}'])
def test_a_damaged_table_is_none(data, table, read, text):
    judge(data)
    table().write_text(text)
    read()
    judge(data)
    assert len(read()) == 3


def test_a_picture_that_was_just_written_is_not_remembered(data, monkeypatch):
    monkeypatch.setattr(remembered, "_TICK_NS", 10**12)
    assert settled_states(files(data)) == {}


def test_few_pictures_leave_no_table(data, monkeypatch, tmp_path):
    monkeypatch.setattr(remembered, "_WORTH", 4)
    judge(data)
    assert not (tmp_path / "cache").exists()


def test_a_cache_folder_that_cannot_be_written_costs_nothing_but_time(data, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert judge(data)[0].splits["train"]
