"""All that `pip install quantdet` promises works with nothing else installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image

from quantdet.config.sources import tomllib

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="Python 3.10 does not know which package has a module"
)

ROOT = Path(__file__).parents[2]
# Hides modules (None stands for one that is not there), then runs the command line.
CODE = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
sys.argv = ["quantdet", *sys.argv[2:]]
from quantdet.cli import main
main()
"""


def _closure(requirements: list[str]) -> set[str]:
    """Return the distributions that these requirements pull in here, themselves included."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        item = todo.pop()
        name = item.name.lower().replace("_", "-")
        if name in found or (item.marker and not item.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        todo += [Requirement(text) for text in metadata.requires(name) or ()]
    return found


@pytest.fixture(scope="module")
def hidden() -> list[str]:
    """Top-level modules of all that is installed here but not pulled in by the core install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    core = _closure(project["dependencies"]) | {"quantdet"}
    modules = [
        module
        for module, names in metadata.packages_distributions().items()
        if not core & {name.lower().replace("_", "-") for name in names}
    ]
    assert {"keras", "tensorflow", "yaml", "jinja2", "cv2"} <= set(modules)
    assert not {"numpy", "PIL", "ai_edge_litert"} & set(modules)
    return modules


@pytest.fixture
def run(hidden, tmp_path):
    def run(*arguments, code=0):
        command = [sys.executable, "-c", CODE, json.dumps(hidden), *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def test_models_run_and_are_described(run, tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "x.png")
    assert "x.png: nothing found" in run("predict", "x.png")
    assert "voc-ssd300" in run("models")
    model = ROOT / "src/quantdet/pretrained/voc-ssd300.tflite"
    assert "xnnpack" in run("benchmark", model, "--runs", 3, "--threads", 1)


def test_doctor_names_what_is_missing(run):
    packages = {item["name"]: item for item in json.loads(run("doctor", "--json"))["packages"]}
    assert packages["ai-edge-litert"]["version"]
    assert packages["keras"]["install"] == 'pip install "quantdet[train]"'


def test_pictures_with_boxes_are_checked(run, scenes, tmp_path):
    assert "the data is ready for training" in run("data", "check", scenes)
    (tmp_path / "data.yaml").write_text("names: [a]")
    assert 'pip install "quantdet[evaluate]"' in run("data", "check", tmp_path, code=2)


def test_training_names_the_extra(run, scenes):
    said = run("train", "--data", scenes, "--out", "r", code=2)
    assert 'pip install "quantdet[train]"' in said
