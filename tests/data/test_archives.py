from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from quantdet.data import archives as archives_module
from quantdet.data.archives import DamagedArchiveError, extract
from quantdet.errors import DataError

FILES = {"a/b.txt": b"hello" * 1000, "c.txt": b""}


def make_zip(path: Path, files=FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def make_tar(path: Path, files=FILES, mode="w") -> Path:
    with tarfile.open(path, mode) as packed:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return path


def tar_with(path: Path, kind: bytes) -> Path:
    with tarfile.open(path, "w") as packed:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        packed.addfile(info)
    return path


def zip_with_link(path: Path) -> Path:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(info, "/etc/passwd")
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize(
    "make",
    [
        make_zip,
        make_tar,
        lambda p: make_tar(p, mode="w:gz"),
        lambda p: make_tar(p, mode="w:xz"),
    ],
)
def test_unpacks_what_was_packed(tmp_path, make):
    archive = make(tmp_path / "x.bin")
    calls = []
    extract(archive, tmp_path / "deep" / "out", lambda *c: calls.append(c))
    assert tree(tmp_path / "deep" / "out") == FILES
    assert calls[-1] == (5000, 5000)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "C:evil"]
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_point_outside_are_refused(tmp_path, make, name):
    archive = make(tmp_path / "x.bin", {"good.txt": b"1", name: b"2"})
    with pytest.raises(DataError, match=r"x\.bin: .*evil' points outside.*do not use"):
        extract(archive, tmp_path / "in" / "out")
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [
        zip_with_link,
        lambda p: tar_with(p, tarfile.SYMTYPE),
        lambda p: tar_with(p, tarfile.LNKTYPE),
        lambda p: tar_with(p, tarfile.CHRTYPE),
    ],
)
def test_links_and_devices_are_refused(tmp_path, make):
    with pytest.raises(DataError, match=r"x\.bin: 'link' is a link or device.*unpack it yourself"):
        extract(make(tmp_path / "x.bin"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_name_that_is_there_twice(tmp_path):
    archive = tmp_path / "x.bin"
    with zipfile.ZipFile(archive, "w") as packed, pytest.warns(UserWarning, match="Duplicate"):
        packed.writestr("a", "1")
        packed.writestr("a", "2")
    with pytest.raises(DataError, match=r"holds 'a' twice"):
        extract(archive, tmp_path / "out")


def test_backslashes_between_folders(tmp_path):
    files = {"VOC\\Annotations\\a.xml": b"<a/>", "VOC\\JPEGImages\\": b""}
    extract(make_zip(tmp_path / "x.zip", files), tmp_path / "out")
    assert (tmp_path / "out/VOC/Annotations/a.xml").read_bytes() == b"<a/>"
    assert (tmp_path / "out/VOC/JPEGImages").is_dir()


def test_empty_and_cut_off_zips(tmp_path):
    with pytest.raises(DamagedArchiveError, match=r"e\.zip: holds no file"):
        extract(make_zip(tmp_path / "e.zip", {}), tmp_path / "out")
    short = make_zip(tmp_path / "s.zip")
    short.write_bytes(short.read_bytes()[:-60])
    with pytest.raises(DamagedArchiveError, match=r"s\.zip: the zip is not whole"):
        extract(short, tmp_path / "out")


def test_damaged_and_no_archive(tmp_path):
    text = tmp_path / "page.zip"
    text.write_text("<!DOCTYPE html><title>Sign in</title>")
    with pytest.raises(DamagedArchiveError, match=r"page\.zip: neither zip nor tar.*<!DOCTYPE"):
        extract(text, tmp_path / "out")
    damaged = make_zip(tmp_path / "d.zip", {"a": bytes(range(256)) * 40})
    content = bytearray(damaged.read_bytes())
    content[60] ^= 0xFF
    damaged.write_bytes(content)
    with pytest.raises(DamagedArchiveError, match=r"d\.zip: archive is damaged.*download it again"):
        extract(damaged, tmp_path / "out")
    short = make_tar(tmp_path / "s.tgz", {"a": bytes(range(256)) * 400}, "w:gz")
    short.write_bytes(short.read_bytes()[:-40])
    with pytest.raises(DamagedArchiveError, match=r"s\.tgz: archive is damaged"):
        extract(short, tmp_path / "out")
    with pytest.raises(DataError, match=r"none\.zip: no such archive"):
        extract(tmp_path / "none.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_never_overwrites_and_reckons_the_space(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "x.zip")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"out: exists already"):
        extract(archive, tmp_path / "out")
    usage = archives_module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archives_module.shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(DataError, match=r"x\.zip: needs 0\.0 GB unpacked.*free some space"):
        extract(archive, tmp_path / "other")


def test_lzma_in_a_zip_takes_as_much_memory_as_it_says(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(DataError, match=r"a\.zip: cannot be unpacked \(.*LZMA\).*yourself"):
        extract(tmp_path / "a.zip", tmp_path / "out")
