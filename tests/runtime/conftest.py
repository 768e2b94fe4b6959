from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantdet import cli
from quantdet.runtime import pretrained
from quantdet.runtime.contract import contract_path
from tests.runtime.helpers import MODEL_NAMES, make_contract, solid, tiny_model


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    """Model files with their contracts, by "KIND-DTYPE"."""
    folder = tmp_path_factory.mktemp("models")
    files = {}
    for name in MODEL_NAMES:
        kind, _, dtype = name.partition("-")
        file = folder / f"{name}.tflite"
        file.write_bytes(tiny_model(kind, dtype))
        make_contract(file, kind).save(contract_path(file))
        files[name] = file
    return files


@pytest.fixture
def model(models) -> Path:
    return models["single-uint8"]


@pytest.fixture
def own_model(models, tmp_path) -> Path:
    """A copy of the model that a test may spoil."""
    file = tmp_path / "own" / "model.tflite"
    file.parent.mkdir()
    file.write_bytes(models["single-uint8"].read_bytes())
    make_contract(file, "single").save(contract_path(file))
    return file


@pytest.fixture
def red() -> np.ndarray:
    """A red picture, 40 high and 80 wide."""
    return solid((255, 0, 0), (40, 80))


@pytest.fixture
def bare_model(model, tmp_path) -> Path:
    """The model without its signature, as older converters write it."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    graph = schema.ModelT.InitFromPackedBuf(model.read_bytes(), 0)
    graph.signatureDefs = []
    file = tmp_path / "bare.tflite"
    flatbuffer_utils.write_model(graph, str(file))
    return file


@pytest.fixture
def registry(model, tmp_path) -> Path:
    """A folder of models as in the package: "tiny-a" and "tiny-b", and a file without contract."""
    folder = tmp_path / "pretrained"
    folder.mkdir()
    for name in ("tiny-b", "tiny-a"):
        shutil.copy(model, folder / f"{name}.tflite")
        shutil.copy(contract_path(model), folder / f"{name}.contract.json")
    (folder / "lonely.tflite").write_bytes(b"has no contract")
    return folder


@pytest.fixture
def package(registry, monkeypatch) -> Path:
    """The same folder in the place of the package's."""
    monkeypatch.setattr(pretrained, "FOLDER", registry)
    return registry


@pytest.fixture
def quantdet(monkeypatch, tmp_path, capsys):
    """Run the command line in an empty folder; return (exit code, output, errors)."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        Image.fromarray(solid(color, (40, 80))).save(folder / f"{name}.png")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["quantdet", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return run


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, color in (("blue", (0, 0, 255)), ("grey", (128, 128, 128)), ("red", (255, 0, 0))):
        Image.fromarray(solid(color, (200, 300))).save(folder / f"{name}.png")
    return folder
