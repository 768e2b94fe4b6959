"""benchmarks/gpu.py with tiny settings on the CPU, complete: a minute of a GPU is not for typos."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TINY = (
    *("--size", "160", "--width", "0.35", "--pictures", "12", "--batches", "2", "--steps", "2"),
    *("--precisions", "float32", "--again", "0", "--seconds", "3000", "--row-seconds", "1500"),
)
MEASURED = (
    *("images_s", "limit_images_s", "lost", "pipeline_images_s", "before_s", "first_step_s"),
    *("programs", "fit", "step_1", "steps", "limit"),
)


def run(out, *options):
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--out", out, *TINY, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()], done.stdout


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")
def test_every_stage_is_measured(tmp_path):
    rows, printed = run(tmp_path / "rows.jsonl")
    assert [row["stage"] for row in rows] == ["float", "qat", "taught"]
    for row in rows:
        assert "error" not in row, row["error"]
        assert set(MEASURED) <= row.keys()
    assert len(printed.splitlines()) == 1 + len(rows)


def test_a_row_that_takes_too_long_is_stopped_and_the_next_one_follows(tmp_path):
    rows, printed = run(tmp_path / "rows.jsonl", "--row-seconds", "0.2", "--stages", "float", "qat")
    assert [row["stage"] for row in rows] == ["float", "qat"]
    for row in rows:
        assert row["error"].startswith("stopped after")
    assert printed.count("stopped after") == 2


def test_a_row_that_fails_says_why(tmp_path):
    rows, _ = run(tmp_path / "rows.jsonl", "--size", "7", "--stages", "float")
    assert "input_size" in rows[0]["error"]
