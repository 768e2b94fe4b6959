"""`quantdet verify` on a run: every target against fake-quantized Keras."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.e2e.conftest import quantdet_here

PICTURES = 3


@pytest.fixture(scope="module")
def verified(finished):
    """Return the content of verify.json, and what was printed."""
    done = quantdet_here("verify", finished, "--pictures", PICTURES, check=0)
    return json.loads((finished / "verify.json").read_text()), done.stdout


def test_what_rounds_as_told_gives_the_very_integers(verified):
    content, _ = verified
    assert content["baseline"] == "fake-quantized Keras"
    assert content["pictures"] == PICTURES
    assert content["noise_of_quantization_lsb"] > 0
    ran = [item for item in content["targets"] if item["identical"] is not None]
    assert {item["target"] for item in ran} >= {"litert-reference", "litert-xnnpack"}
    for item in ran:
        assert item["identical_exact"] == 1.0, item


def test_every_operator_runs_on_the_npu(verified):
    content, _ = verified
    (ethos,) = (item for item in content["targets"] if item["target"] == "ethos-u")
    if ethos["status"] == "skipped":
        pytest.skip(ethos["reason"])
    for row in ethos["details"]["accelerators"]:
        assert row["cpu_operators"] == 0
        assert row["npu_operators"] > 0


def test_table_and_manifest_say_the_same(verified, finished):
    content, printed = verified
    manifest = json.loads((finished / "manifest.json").read_text())
    status = {item["target"]: item["status"] for item in content["targets"]}
    assert manifest["verify"]["targets"] == status
    for target, how in status.items():
        assert f"{target}: " in printed
        assert how in printed


def test_run_without_its_keras_model(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "qat/model.keras").unlink()
    done = quantdet_here("verify", run, "--pictures", PICTURES, check=2)
    assert "qat/model.keras: no such model; make it with `quantdet qat`" in done.stderr
    assert "Traceback" not in done.stderr
