"""The examples run, and the Dockerfile copies what there is."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quantdet.runtime.preprocess import read_image
from tests.runtime.helpers import write_video

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CAMERA_LOOP = [sys.executable, EXAMPLES / "camera_loop.py"]


def test_camera_loop_prints_and_draws_every_frame(model, tmp_path):
    write_video(tmp_path / "v.mp4", [(255, 0, 0)] * 2 + [(128, 128, 128), (0, 0, 255)])
    options = ["--source", tmp_path / "v.mp4", "--model", model, "--save", tmp_path / "now.jpg"]
    done = subprocess.run([*CAMERA_LOOP, *options], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["red", "red", "-", "blue"]
    assert all(re.match(r" *\d+\.\d frames/s  ", line) for line in lines)
    drawn = read_image(tmp_path / "now.jpg")
    assert drawn.shape == (64, 96, 3)
    # Blue outside of the box, not red: the colours went through OpenCV and back.
    assert drawn[-6:, -6:].mean((0, 1)).argmax() == 2
    assert [path.name for path in tmp_path.glob("*.jpg")] == ["now.jpg"]


@pytest.fixture
def ctrl_c_works():
    """Where tests run in the background, Ctrl-C is ignored, and child processes inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_camera_loop_ends_cleanly_on_ctrl_c(model, tmp_path, ctrl_c_works):
    frames = 8000  # more lines than a pipe holds, so that it cannot end before it is stopped
    write_video(tmp_path / "v.mp4", [(255, 0, 0)] * frames)
    command = [*CAMERA_LOOP, "--source", tmp_path / "v.mp4", "--model", model]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert "red" in first
    assert (process.returncode, errors) == (0, "")
    assert len(rest.splitlines()) < frames - 1


@pytest.mark.parametrize("content", [None, b"no video"])
def test_camera_loop_without_a_source(model, tmp_path, content):
    pytest.importorskip("cv2")
    if content is not None:
        (tmp_path / "v.avi").write_bytes(content)
    options = ["--source", tmp_path / "v.avi", "--model", model]
    done = subprocess.run([*CAMERA_LOOP, *options], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "v.avi: cannot be opened; try another --source" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def instructions():
    """The Dockerfile as (instruction, arguments), without comments and broken lines."""
    text = re.sub(r"^#.*\n", "", (EXAMPLES / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def test_docker_gets_every_file_that_the_package_is_built_from(instructions):
    from quantdet.config.sources import tomllib

    sources = [
        name
        for instruction, arguments in instructions
        if instruction == "COPY" and not arguments.startswith("--from")
        for name in arguments.split()[:-1]
    ]
    allowed = (EXAMPLES / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert allowed[0] == "*"
    for name in sources:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in allowed
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"pyproject.toml", "src", project["readme"], *project["license-files"]} <= set(sources)


def test_docker_runs_predict_and_not_as_root(instructions):
    from typer.main import get_command

    from quantdet.cli import app

    last_stage = instructions[[name for name, _ in instructions].index("FROM", 1) :]
    values = dict(last_stage)
    program, command = json.loads(values["ENTRYPOINT"])
    assert program == "quantdet"
    assert command in get_command(app).commands
    assert values["USER"].isdigit()
    assert int(values["USER"]) > 0
    assert values["ENV"].startswith('PATH="/opt/quantdet/bin:')
