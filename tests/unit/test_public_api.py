"""The public names load lazily and are what they say."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import quantdet


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
