"""The public names load lazily and are what they say."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import quantdet
import quantdet.quant
import quantdet.runtime


@pytest.mark.parametrize("name", [n for n in quantdet.__all__ if n != "__version__"])
def test_name_is_there(name):
    assert callable(getattr(quantdet, name))


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = quantdet.nothing


def test_device_side_imports_no_training_package():
    code = (
        "import sys, quantdet; quantdet.Detector; import quantdet.runtime.predict\n"
        "print([m for m in ('tensorflow', 'keras', 'cv2', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_path_may_be_a_string():
    for name in quantdet.__all__:
        value = getattr(quantdet, name)
        if not callable(value) or name in ("Run", "QuantdetError"):
            continue
        for parameter in inspect.signature(value).parameters.values():
            annotation = str(parameter.annotation)
            assert "Path" not in annotation or "str" in annotation, (name, parameter.name)


def test_strings_name_folders_and_files(tmp_path):
    root = quantdet.generate_scenes(str(tmp_path / "scenes"), count=6, size_hw=(80, 90))
    assert quantdet.check_dataset(str(root)).ok
    sample = quantdet.load_dataset(str(root)).splits["train"][0]
    quantdet.contact_sheet([sample], ("car",), str(tmp_path / "sheet.png"))
    assert (tmp_path / "sheet.png").is_file()
    config = quantdet.load_config(preset="note")
    config.save(tmp_path / "config.toml")
    assert quantdet.load_config(str(tmp_path / "config.toml")) == config
    detector = quantdet.Detector.pretrained()
    quantdet.predict_to_folder(detector, [str(sample.image_path)], str(tmp_path / "found"))
    assert quantdet.benchmark(str(detector.model_file), threads=(1,), warmup=0, runs=1)
    assert quantdet.Run.create(str(tmp_path / "run"), config).root == tmp_path / "run"


FACES = (quantdet, quantdet.quant, quantdet.runtime)


@pytest.mark.parametrize("face", FACES)
def test_no_public_name_is_a_file_of_its_package(face):
    """Importing the file would put the module in the place of the name."""
    for name in face.__all__:
        assert importlib.util.find_spec(f"{face.__name__}.{name}") is None, name
        assert not inspect.ismodule(getattr(face, name))


def test_docs_and_examples_import_public_names_only():
    root = Path(__file__).parents[2]
    pages = [p for p in (root / "docs").glob("*.md") if p.name != "log.md"]
    for page in (*pages, root / "README.md", *(root / "examples").rglob("*.py")):
        for module, names in re.findall(
            r"^ *from (quantdet[\w.]*) import (.*)$", page.read_text("utf-8"), re.MULTILINE
        ):
            public = importlib.import_module(module).__all__
            unknown = [name for name in re.findall(r"\w+", names) if name not in public]
            assert not unknown, (page.name, module, unknown)
