"""The examples of W&B and MLflow run; skipped where these are not installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.conftest import settings

from quantdet.data.scenes import generate_scenes

EXAMPLES = Path(__file__).parents[2] / "examples"


def train(example, tmp_path):
    """Run an example on a few scenes; return the run folder."""
    data = generate_scenes(tmp_path / "scenes", count=12, size_hw=(64, 96))
    command = [sys.executable, EXAMPLES / example, "--preset", "note", "--data", data]
    done = subprocess.run(
        [*command, "--out", tmp_path / "run", *settings(f"data.cache_dir={tmp_path / 'cache'}")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "WANDB_SILENT": "true"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path / "run"


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
def test_mlflow_has_the_losses_of_both_stages(tmp_path):
    run = train("track_mlflow.py", tmp_path)
    (loss,) = run.glob("mlruns/*/*/metrics/float/loss")
    assert [line.split()[2] for line in loss.read_text().splitlines()] == ["1", "2"]
    assert list(run.glob("mlruns/*/*/metrics/qat/val_loss"))


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_has_an_offline_run(tmp_path):
    run = train("track_wandb.py", tmp_path)
    (file,) = run.glob("wandb/offline-run-*/run-*.wandb")
    content = file.read_bytes()
    assert b"float/loss" in content
    assert b"qat/val_loss" in content
