import errno
import json
import os
import stat

import pytest

from quantdet.errors import QuantdetError
from quantdet.system.atomic import atomic_path, write_json, write_text


def test_writes_and_makes_folders(tmp_path):
    target = tmp_path / "a" / "b" / "file.json"
    write_json(target, {"name": "größe", "values": [1, 2]})
    assert json.loads(target.read_text("utf-8")) == {"name": "größe", "values": [1, 2]}
    assert "größe" in target.read_text("utf-8")
    assert list(target.parent.iterdir()) == [target]


def test_failure_leaves_the_old_file_and_no_rest(tmp_path):
    target = tmp_path / "file.txt"
    write_text(target, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half of the ne")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_reader_sees_the_old_content_until_the_end(tmp_path):
    target = tmp_path / "file.txt"
    write_text(target, "old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("name", ["model.weights.h5", "plain", "picture.png"])
def test_temporary_name_keeps_every_suffix(tmp_path, name):
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        if "." in name:
            assert temporary.name.endswith(name.partition(".")[2])


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    write_text(tmp_path / "atomic", "")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE(
        ordinary.stat().st_mode
    )


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QuantdetError, match=r"file.*cannot write here.*choose another"):
        write_text(tmp_path / "file" / "deeper" / "x.txt", "")


def test_target_that_is_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(QuantdetError, match=r"folder: cannot be replaced.*another name"):
        write_text(tmp_path / "folder", "")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_full_disk(tmp_path):
    with (
        pytest.raises(QuantdetError, match=r"x\.txt: no space left.*free some"),
        atomic_path(tmp_path / "x.txt"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_lists_of_numbers_are_one_line_and_texts_stay(tmp_path):
    target = tmp_path / "a.json"
    value = {"curve": [1.5, None, -2e-07], "text": ["[\n 1, 2\n]", "[ 1 ]"], "boxes": [[1, 2], []]}
    write_json(target, value)
    assert json.loads(target.read_text("utf-8")) == value
    assert '"curve": [1.5, null, -2e-07],\n' in target.read_text("utf-8")
    assert "\n    [1, 2],\n" in target.read_text("utf-8")
