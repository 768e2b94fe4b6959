"""A finished run is shared with its own figures."""

from __future__ import annotations

import json
import shutil

import pytest

from quantdet import Run, push
from quantdet.errors import ModelError


def test_the_card_has_the_figures_of_the_run(finished, tmp_path):
    push(finished, str(tmp_path / "shared"))
    card = (tmp_path / "shared" / "README.md").read_text("utf-8")
    metrics = json.loads((finished / "metrics.json").read_text())
    row = metrics["variants"][-1]
    (line,) = (line for line in card.splitlines() if line.startswith(f"| {row['name']} |"))
    low, high = (f"{100 * value:.1f}" for value in row["class_accuracy_interval"])
    assert f"| {100 * row['class_accuracy']:.1f} ({low}–{high}) |" in line
    assert f"On {row['pictures']} pictures of split “{metrics['split']}”" in card
    assert (tmp_path / "shared" / "model.tflite").read_bytes() == (
        finished / "export" / "model.tflite"
    ).read_bytes()


@pytest.mark.parametrize("noted", [True, False], ids=["digest noted", "of an earlier quantdet"])
def test_figures_of_an_earlier_file_are_not_shared(finished, tmp_path, noted):
    run = Run(shutil.copytree(finished, tmp_path / "run"))
    manifest = json.loads(run.manifest_file.read_text())
    if noted:
        manifest["evaluate"]["sha256"] = "0" * 64
    else:
        manifest["evaluate"].pop("sha256", None)
        manifest["export"]["written"] = "2099-01-01T00:00:00Z"
    run.manifest_file.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="was exported again since it was measured"):
        push(run.root, str(tmp_path / "shared"))
    assert not (tmp_path / "shared").exists()
