from __future__ import annotations

import builtins
import hashlib
import json
import re
import sys
import threading
import types
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from quantdet.data.dataset import load_dataset
from quantdet.data.prepare import prepare_voc
from quantdet.data.sources import download
from quantdet.errors import ConfigError, DataError, DependencyError

BLOCK = 1 << 14  # what a broken connection can lose


class Server:
    """Serves one file; can break off, ignore ranges, or change the file."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.etag = '"one"'
        self.ranges = True
        self.lengths = True
        self.break_after: list[int] = []  # bytes sent in each of the next answers
        self.status = 0
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/some/archive.zip?version=3"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        self.requests.append(asked)
        if self.status:
            handler.send_error(self.status)
            return
        fresh = handler.headers.get("If-Range", self.etag) == self.etag
        start = int(re.findall(r"\d+", asked)[0]) if asked and self.ranges and fresh else 0
        if start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            end = len(self.content)
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.lengths:
            handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        stop = start + self.break_after.pop(0) if self.break_after else None
        handler.wfile.write(self.content[start:stop])

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def kaggle_zip(voc, tmp_path):
    """A small archive in the layout of the Kaggle data set."""
    for image_id in ("a", "b", "c"):
        voc.add(image_id, splits=("train", "trainval"))
    voc.add("d", splits=("val", "trainval"))
    voc.add_picture("t")
    (test_lists := tmp_path / "lists").mkdir()
    (test_lists / "test.txt").write_text("t\n")
    path = tmp_path / "kaggle.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(p for p in voc.root.rglob("*") if p.is_file()):
            part = "VOC2012_test" if file.stem == "t" else "VOC2012_train_val"
            packed.write(file, f"{part}/{part}/{file.relative_to(voc.root).as_posix()}")
        packed.writestr("VOC2012_test/readme.bin", np.random.default_rng(0).bytes(200_000))
        packed.write(test_lists / "test.txt", "VOC2012_test/VOC2012_test/ImageSets/Main/test.txt")
    return path


@pytest.fixture
def server(kaggle_zip):
    server = Server(kaggle_zip.read_bytes())
    yield server
    server.close()


def check_arrived(target, kaggle_zip, source):
    content = kaggle_zip.read_bytes()
    report = json.loads((target / "download.json").read_text())
    assert report == {
        "archives": [
            {
                "source": source,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ]
    }
    with zipfile.ZipFile(kaggle_zip) as packed:
        for name in packed.namelist():
            assert (target / name).read_bytes() == packed.read(name)
    left = [p.name for p in target.parent.iterdir() if p.name.startswith((".", target.name))]
    assert left == [target.name]


def test_from_url_to_trained_data_set(server, kaggle_zip, tmp_path):
    target = tmp_path / "raw"
    calls = []
    url = server.url
    got = download("voc2012", target, source=url, progress=lambda *c: calls.append(c))
    assert got == target
    check_arrived(target, kaggle_zip, url)
    assert (len(server.content), len(server.content)) in calls
    result = prepare_voc(target, tmp_path / "kit")
    dataset = load_dataset(result.root)
    assert {k: len(v) for k, v in dataset.splits.items()} == {
        "train": 3,
        "val": 1,
        "trainval": 4,
        "test": 1,
    }
    assert not dataset.splits["test"][0].annotated


def test_broken_transfer_goes_on_in_the_same_call(server, kaggle_zip, tmp_path):
    server.break_after = [5 * BLOCK + 100, 2 * BLOCK + 7]
    download("voc2012", tmp_path / "raw", source=server.url)
    assert server.requests == ["", f"bytes={5 * BLOCK}-", f"bytes={7 * BLOCK}-"]
    check_arrived(tmp_path / "raw", kaggle_zip, server.url)


@pytest.mark.parametrize("etag", ['"one"', "", 'W/"weak"'])
def test_broken_transfer_goes_on_in_the_next_call(server, kaggle_zip, tmp_path, etag):
    server.etag = etag
    server.break_after = [5 * BLOCK, 0, 0, 0]
    says = rf"archive\.zip.*broke off after {5 * BLOCK} bytes.*same command again.*\.part"
    with pytest.raises(DataError, match=says):
        download("voc2012", tmp_path / "raw", source=server.url)
    assert not (tmp_path / "raw").exists()
    server.requests.clear()
    download("voc2012", tmp_path / "raw", source=server.url)
    assert server.requests == [f"bytes={5 * BLOCK}-"]
    check_arrived(tmp_path / "raw", kaggle_zip, server.url)


def test_server_without_ranges_starts_anew(server, kaggle_zip, tmp_path):
    server.ranges = False
    server.break_after = [len(server.content) // 2]
    download("voc2012", tmp_path / "raw", source=server.url)
    assert len(server.requests) == 2
    check_arrived(tmp_path / "raw", kaggle_zip, server.url)


@pytest.mark.parametrize("etag", ['"two"', ""])
def test_file_that_changed_on_the_server_starts_anew(server, kaggle_zip, tmp_path, etag):
    good = server.content
    server.content, server.break_after = b"x" * (len(good) - 7), [3 * BLOCK, 0, 0, 0]
    server.etag = etag and '"one"'
    with pytest.raises(DataError, match=f"broke off after {3 * BLOCK} bytes"):
        download("voc2012", tmp_path / "raw", source=server.url)
    server.content, server.etag = good, etag
    download("voc2012", tmp_path / "raw", source=server.url)
    check_arrived(tmp_path / "raw", kaggle_zip, server.url)


def test_part_that_was_complete_already(server, kaggle_zip, tmp_path):
    folder = tmp_path / "raw.download"
    folder.mkdir()
    (folder / "archive.zip.part").write_bytes(server.content)
    note = {"url": server.url, "version": server.etag, "total": len(server.content)}
    (folder / "archive.zip.part.json").write_text(json.dumps(note))
    download("voc2012", tmp_path / "raw", source=server.url)
    assert server.requests == [f"bytes={len(server.content)}-"]
    check_arrived(tmp_path / "raw", kaggle_zip, server.url)


def test_server_that_tells_no_length(server, kaggle_zip, tmp_path):
    server.lengths = False
    download("voc2012", tmp_path / "raw", source=server.url)
    check_arrived(tmp_path / "raw", kaggle_zip, server.url)


def test_page_instead_of_archive_is_not_kept(server, kaggle_zip, tmp_path):
    good, server.content = server.content, b"<html>please sign in</html>"
    with pytest.raises(DataError, match=r"archive\.zip: neither zip nor tar.*<html>"):
        download("voc2012", tmp_path / "raw", source=server.url)
    server.content = good
    download("voc2012", tmp_path / "raw", source=server.url)
    check_arrived(tmp_path / "raw", kaggle_zip, server.url)


def test_refused_and_unreachable(server, tmp_path):
    server.status = 404
    with pytest.raises(DataError, match=r"archive\.zip.*refused it \(404 Not Found\).*--from"):
        download("voc2012", tmp_path / "raw", source=server.url)
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/x\.zip: no connection.*check network"):
        download("voc2012", tmp_path / "raw", source="http://127.0.0.1:9/x.zip")


def test_from_local_archive_and_folder(kaggle_zip, tmp_path):
    raw = download("voc2012", tmp_path / "raw", source=str(kaggle_zip))
    check_arrived(raw, kaggle_zip, str(kaggle_zip))
    again = download("voc2012", tmp_path / "again", source=str(raw))
    names = {p.relative_to(raw) for p in raw.rglob("*") if p.is_file()}
    assert {p.relative_to(again) for p in again.rglob("*") if p.is_file()} == names
    assert json.loads((again / "download.json").read_text())["folder"] == str(raw)
    # Files are hard links, but the report of the source must not change with the new one.
    check_arrived(raw, kaggle_zip, str(kaggle_zip))


def test_never_overwrites(kaggle_zip, tmp_path):
    target = tmp_path / "raw"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"raw: is not empty and nothing is overwritten"):
        download("voc2012", target, source=str(kaggle_zip))
    assert [p.name for p in target.iterdir()] == ["mine.txt"]
    (target / "mine.txt").unlink()
    download("voc2012", target, source=str(kaggle_zip))


def test_wrong_sources(tmp_path):
    with pytest.raises(DataError, match=r"none\.zip: no such folder or file.*--from"):
        download("voc2012", tmp_path / "raw", source=str(tmp_path / "none.zip"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: is empty; give"):
        download("voc2012", tmp_path / "raw", source=str(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"is inside the source folder"):
        download("voc2012", tmp_path / "empty" / "raw", source=str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match=r"'coco' is unknown; choose one of voc2012, voc2007"):
        download("coco", tmp_path / "raw")


def fake_kagglehub(monkeypatch, function):
    module = types.ModuleType("kagglehub")
    module.dataset_download = function
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_kaggle(monkeypatch, kaggle_zip, tmp_path):
    cached = tmp_path / "cached"
    with zipfile.ZipFile(kaggle_zip) as packed:
        packed.extractall(cached)
    asked = []
    fake_kagglehub(monkeypatch, lambda handle: asked.append(handle) or str(cached))
    target = download("voc2012", tmp_path / "raw")
    assert asked == ["gopalbhattrai/pascal-voc-2012-dataset"]
    assert (target / "VOC2012_test/VOC2012_test/ImageSets/Main/test.txt").read_text() == "t\n"


def test_kaggle_without_token_or_package(monkeypatch, tmp_path):
    def refuse(handle):
        raise RuntimeError("403 Client Error.\n\nYou don't have permission\n")

    fake_kagglehub(monkeypatch, refuse)
    says = r"\(403 Client Error\.\).*KAGGLE_API_TOKEN.*kaggle\.json.*voc2012 --from FILE\.zip"
    with pytest.raises(DataError, match=says):
        download("voc2012", tmp_path / "raw")

    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name in ("kagglehub", "requests"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyError, match=r"kagglehub is not.*pip install.*--from FILE\.zip"):
        download("voc2012", tmp_path / "raw")
    with pytest.raises(DependencyError, match=r"requests is not installed.*pip install.*--from"):
        download("voc2012", tmp_path / "raw", source="http://127.0.0.1:9/x.zip")
