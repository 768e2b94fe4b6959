"""The shipped detector made narrow, for classes of which it knows some."""

import json

import pytest

from quantdet.data.scenes import generate_scenes
from tests.e2e.conftest import quantdet


@pytest.mark.slow
def test_preset_tiny_starts_from_the_shipped_detector(tmp_path):
    scenes = generate_scenes(tmp_path / "scenes", count=24, seed=0)
    options = ["--preset", "tiny", "--data", scenes, "--set", "train.finetune_epochs=1"]
    done = quantdet("train", *options, "--out", tmp_path / "run", check=0)
    assert "of the 11648 channels of file voc-ssd300.tflite" in done.stderr
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["train"]["identity"]["weights"]["channels"][1] == 11648
    refused = quantdet(
        *("train", *options, "--set", "train.distill=0.5", "--out", tmp_path / "other"), check=2
    )
    assert "does not know" in refused.stderr
    assert not (tmp_path / "other").exists()
