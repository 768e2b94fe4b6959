"""Which layers does quantization hurt: the command, its files, and what it refuses."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from quantdet.config import load_config
from quantdet.errors import ModelError
from quantdet.runs import Run
from quantdet.stages.analyse import run_analyse
from tests.e2e.conftest import quantdet_here


def test_analyse_writes_table_json_and_picture(finished):
    done = quantdet_here("analyse", finished, "--pictures", 6, check=0)
    result = json.loads((finished / "analysis.json").read_text())
    layers = result["layers"]
    assert result["pictures"] <= 6
    assert layers[0]["layer"] == "image"
    assert layers[0]["sqnr_db"] > 120  # pixels are their own integers
    assert {"boxes", "scores"} == set(result["outputs"])
    assert abs(sum(row["sensitivity"]["share"] for row in layers) - 1) < 1e-6
    worst = max(layers, key=lambda row: row["sensitivity"]["share"])
    lines = done.stdout.splitlines()
    assert lines[3].startswith(worst["layer"])
    assert (f"{len(layers) - 15} more layers" in done.stdout) == (len(layers) > 15)
    width, height = Image.open(finished / "analysis.png").size
    assert min(width, height) > 500
    assert json.loads((finished / "manifest.json").read_text())["analyse"]["pictures"] <= 6


def test_without_sensitivity_as_json(finished):
    done = quantdet_here(
        "analyse", finished, "--pictures", 2, "--no-sensitivity", "--json", check=0
    )
    result = json.loads(done.stdout)
    assert result == json.loads((finished / "analysis.json").read_text())
    assert {row["sensitivity"] for row in result["layers"]} == {None}
    assert any(row["weights"] for row in result["layers"])


def test_run_without_quantized_model(finished, tmp_path):
    run = Run.create(tmp_path / "r", load_config(finished / "config.toml"))
    with pytest.raises(ModelError, match="run `quantdet train` first"):
        run_analyse(run)
    run.manifest_file.write_text((finished / "manifest.json").read_text())
    done = quantdet_here("analyse", run.root, check=2)
    assert "make it with `quantdet qat`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not run.analysis_file.exists()
