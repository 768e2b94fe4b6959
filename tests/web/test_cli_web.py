"""`quantdet web` itself: what it refuses, what --static writes, how it ends."""

import functools
import json
import re
import shutil
import socket
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

import pytest
from typer.testing import CliRunner

from quantdet.cli import app
from quantdet.errors import ConfigError, ModelError, QuantdetError
from quantdet.runtime.contract import contract_path, load_contract
from quantdet.runtime.preprocess import PICTURE_FORMATS
from quantdet.runtime.pretrained import pretrained_file
from quantdet.web.site import load_models, make_site
from quantdet.web.static_export import MANIFEST, write_static
from tests.web.helpers import choose, open_page, predicted, saved

STATIC = files("quantdet.web") / "static"


def run(*arguments):
    return CliRunner().invoke(app, ["web", *map(str, arguments)])


@pytest.fixture(scope="module")
def exported(litertjs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("static") / "page"
    result = run("--static", folder)
    assert result.exit_code == 0, result.exception
    return folder


def test_port_in_use(litertjs):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = run("--port", port).exception
    assert isinstance(error, ConfigError)
    assert str(error).startswith(f"port {port} of 127.0.0.1 is in use; give another with --port")


def copy_model(folder, name="model.tflite"):
    file = folder / name
    shutil.copyfile(pretrained_file(), file)
    shutil.copyfile(contract_path(pretrained_file()), contract_path(file))
    return file


def test_bad_models_are_refused_before_anything_starts(tmp_path):
    file = copy_model(tmp_path)
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"model\.tflite: is damaged or not the file"):
        load_models([file])
    contract_path(file).unlink()
    with pytest.raises(ModelError, match=r"contract\.json: not found; a model runs only with"):
        load_models([file])
    assert isinstance(run(tmp_path / "nothing.tflite").exception, ModelError)
    # Also where the contract knows no sha256.
    contract = load_contract(pretrained_file()).model_copy(update={"sha256": ""})
    contract.save(contract_path(file))
    with pytest.raises(ModelError, match=r"model\.tflite: "):
        load_models([file])


def test_models_of_one_name_are_told_apart(tmp_path):
    models = load_models([copy_model(tmp_path, "voc-ssd300.tflite"), pretrained_file()])
    assert [model.name for model in models] == ["voc-ssd300 (A)", "voc-ssd300 (B)"]


def test_model_of_a_run_has_the_runs_name(tmp_path):
    folder = tmp_path / "street" / "export"
    folder.mkdir(parents=True)
    copy_model(folder)
    other = copy_model(folder, "model-float32.tflite")
    assert [model.name for model in load_models([folder.parent, other])] == [
        "street",
        "street float32",
    ]


def test_static_folder_holds_everything_and_no_address(exported):
    manifest = json.loads((exported / MANIFEST).read_text("utf-8"))
    found = {
        path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()
    }
    assert found == {*manifest["files"], MANIFEST}
    model = exported / "models" / "1" / "voc-ssd300.tflite"
    assert load_contract(model) == load_contract(pretrained_file())
    for path in exported.glob("*"):
        if path.suffix in (".html", ".css", ".js", ".json"):
            text = path.read_text("utf-8")
            assert not re.search(r"""(src|href|from|import\()\s*=?\s*["'](/|https?:)""", text), path


def test_static_folder_is_written_over_only_if_all_of_it_is_ours(exported, tmp_path, strict_model):
    folder = tmp_path / "page"
    shutil.copytree(exported, folder)
    assert run(strict_model, "--static", folder).exit_code == 0
    assert (folder / "models" / "1" / "strict.tflite").is_file()
    assert not (folder / "models" / "1" / "voc-ssd300.tflite").exists()
    (folder / "notes.txt").write_text("mine")
    error = run("--static", folder).exception
    assert isinstance(error, QuantdetError)
    assert "not part of the page (notes.txt)" in str(error)
    assert (folder / "notes.txt").read_text() == "mine"
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    assert "is not empty" in str(run("--static", foreign).exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", "page"]


def test_static_page_needs_models_that_browsers_run(litertjs, tmp_path):
    models = load_models([pretrained_file()])
    contract = models[0].detector.contract
    spec = contract.scores.model_copy(update={"dtype": "int8"})
    models[0].detector.contract = contract.model_copy(update={"scores": spec})
    with pytest.raises(ModelError, match=r"takes no int8 tensors, .*export --format uint8"):
        write_static(models, make_site(models, litertjs, server=False), tmp_path / "page")
    assert not (tmp_path / "page").exists()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def any_host(exported):
    """The folder below a path, by a server that knows nothing of it and sends no headers."""
    handler = functools.partial(QuietHandler, directory=str(exported.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{exported.name}/"
        server.shutdown()


def test_static_page_finds_what_predict_finds(context, any_host, pictures, tmp_path):
    page = open_page(context, any_host)
    assert "1 thread." in page.locator("#where-note").inner_text()
    assert not page.get_by_role("radio").first.is_visible()
    choose(page, pictures)
    got = [item["detections"] for item in saved(page)]
    assert got == [item["detections"] for item in predicted(pictures, tmp_path)]


def test_the_page_takes_the_pictures_of_predict_that_browsers_show():
    accepted = re.search('accept="([^"]+)"', (STATIC / "index.html").read_text())[1]
    sniffed = re.findall('type: "(image/[a-z]+)"', (STATIC / "sniff.js").read_text())
    shown = [name for name in PICTURE_FORMATS if name not in {"TIFF", "PPM"}]
    assert sorted(accepted.split(",")) == sorted(sniffed)
    assert sorted(sniffed) == sorted(f"image/{name.lower()}" for name in shown)
