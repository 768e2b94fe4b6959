"""The examples for pandas, supervision and FiftyOne run; skipped where these are not installed."""

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from quantdet.data.dataset import load_dataset
from quantdet.data.scenes import generate_scenes
from quantdet.runtime.detector import Detector
from tests.runtime.helpers import solid, write_video

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(example, *arguments):
    command = [sys.executable, EXAMPLES / example, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="pandas is not installed")
def test_a_table_of_pandas_has_every_box(model, tmp_path):
    for name, color in (("a", (255, 0, 0)), ("b", (0, 0, 255)), ("c", (255, 0, 0))):
        Image.fromarray(solid(color, (40, 80))).save(tmp_path / f"{name}.png")
    table = tmp_path / "boxes.csv"
    said = run("with_pandas.py", tmp_path, "--model", model, "--csv", table)
    assert [line.split()[:2] for line in said.splitlines()[2:]] == [["red", "2"], ["blue", "1"]]
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [(row["picture"], row["label"]) for row in rows] == [
        ("a.png", "red"), ("b.png", "blue"), ("c.png", "red"),
    ]  # fmt: skip
    (found,) = Detector(model).predict(tmp_path / "a.png")
    assert float(rows[0]["x2"]) == pytest.approx(found.box_xyxy[2], abs=0.01)


@pytest.mark.skipif(
    importlib.util.find_spec("supervision") is None, reason="supervision is not installed"
)
def test_a_zone_of_supervision_says_what_is_in_it(model, tmp_path):
    write_video(tmp_path / "v.mp4", [(255, 0, 0), (128, 128, 128), (0, 0, 255)])
    saved = tmp_path / "marked.mp4"
    said = run("with_supervision.py", tmp_path / "v.mp4", "--model", model, "--save", saved)
    lines = said.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["frame 0", "frame 1", "frame 2"]
    assert saved.stat().st_size > 0


@pytest.mark.skipif(
    importlib.util.find_spec("fiftyone") is None, reason="fiftyone is not installed"
)
def test_fiftyone_counts_what_was_missed(model, tmp_path):
    root = generate_scenes(tmp_path, count=20, size_hw=(90, 120))
    said = run("with_fiftyone.py", root, "--model", model, "--name", "quantdet-test")
    # The model knows none of these classes.
    objects = sum(len(sample.objects) for sample in load_dataset(root).splits["test"])
    assert f"missed: {objects} wrong: " in said
