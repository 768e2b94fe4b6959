"""Processes that are stopped, or that the machine fails: what is finished stays, one sentence."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from quantdet.data.scenes import generate_scenes
from quantdet.runtime import outputs
from tests.runtime.helpers import solid, write_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits of Linux")
COMMAND = [sys.executable, "-m", "quantdet"]
MANY = 2000


def _quantdet(*arguments, **options):
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output="stdout" not in options,
        check=False,
        **options,
    )
    return done.returncode, (done.stderr or b"").decode(errors="replace")


def _one_sentence(said):
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("error: "), said


def _drawn(out):
    return len(list(out.glob("*.jpg"))) > 3


def _heeds_interrupts():
    """A shell's background commands ignore SIGINT, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _stopped(out, number, *arguments, ready=_drawn):
    """Start a prediction, send a signal once it is ready for it; return its exit code."""
    command = [*COMMAND, "predict", *map(str, arguments), "--out", str(out)]
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **options | {"preexec_fn": _heeds_interrupts}) as process:
        deadline = time.monotonic() + 60
        while not ready(out):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        said = process.communicate()[1].decode()
    assert "Traceback" not in said
    assert process.returncode != 2, said
    return process.returncode


@pytest.fixture
def many(tmp_path):
    """A folder of more pictures than are predicted in a moment."""
    folder = tmp_path / "many"
    folder.mkdir()
    Image.fromarray(solid((255, 0, 0), (20, 30))).save(folder / "0000.png")
    for number in range(1, MANY):
        os.link(folder / "0000.png", folder / f"{number:04d}.png")
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_among_many_pictures(model, many, tmp_path, number, code):
    out = tmp_path / "out"
    assert _stopped(out, number, model, many) == code
    listed = json.loads((out / "predictions.json").read_text())
    assert {path.name for path in out.iterdir()} == {*listed["drawn_files"], "predictions.json"}
    drawn = [item["drawn"] for item in listed["predictions"]]
    # It may have come between drawing a picture and listing what was found in it.
    assert len(drawn) <= len(listed["drawn_files"]) <= len(drawn) + 1 < MANY


def test_killed_among_many_pictures(model, many, tmp_path):
    """The same call again draws over its own pictures, and not over the user's."""
    out = tmp_path / "out"
    out.mkdir()
    Image.fromarray(solid((0, 0, 255), (20, 30))).save(out / "0000.jpg")
    mine = (out / "0000.jpg").read_bytes()
    assert _stopped(out, signal.SIGKILL, model, many) == -signal.SIGKILL
    for path in sorted(many.iterdir())[4:]:
        path.unlink()
    assert _quantdet("predict", model, many, "--out", out)[0] == 0
    assert (out / "0000.jpg").read_bytes() == mine
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []
    assert [path.name for path in out.glob("*-2.jpg")] == ["0000-2.jpg"]
    listed = json.loads((out / "predictions.json").read_text())
    assert [item["drawn"] for item in listed["predictions"]] == [
        *("0000-2.jpg", "0001.jpg", "0002.jpg", "0003.jpg")
    ]


def test_stopped_in_a_video(model, tmp_path):
    cv2 = pytest.importorskip("cv2")
    video, out = tmp_path / "long.mp4", tmp_path / "out"
    write_video(video, [(255, 0, 0)] * 4000)

    def filming(out):
        return any(path.stat().st_size > 2000 for path in out.glob(".*.mp4"))

    assert _stopped(out, signal.SIGTERM, model, video, ready=filming) == 143
    listed = json.loads((out / "predictions.json").read_text())["predictions"]
    frames = int(cv2.VideoCapture(str(out / "long.mp4")).get(cv2.CAP_PROP_FRAME_COUNT))
    assert 0 < len(listed) <= frames <= len(listed) + 1 < 4000
    assert {path.name for path in out.iterdir()} == {"long.mp4", "predictions.json"}


def test_a_frame_that_a_stop_kept_from_being_written_is_not_missing(tmp_path, monkeypatch):
    cv2 = pytest.importorskip("cv2")
    video = outputs._Video(tmp_path / "v.mp4", tmp_path / "v.mp4", 10.0)
    video.add(solid((255, 0, 0), (64, 96)))

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cv2, "cvtColor", stopped)
        with pytest.raises(KeyboardInterrupt):
            video.add(solid((255, 0, 0), (64, 96)))
    video.close()
    video.check()


@pytest.mark.parametrize("room", [1000, 60_000])
def test_full_disk_behind_a_video(model, tmp_path, room):
    """OpenCV tells nobody; what is cut off must not look like a result."""
    video, out = tmp_path / "long.mp4", tmp_path / "out"
    write_video(video, [(255, 0, 0)] * 1200)
    limit = _limit(resource.RLIMIT_FSIZE, room)
    code, said = _quantdet("predict", model, video, "--out", out, preexec_fn=limit)
    assert code == 2
    _one_sentence(said)
    assert "long.mp4: was not written completely" in said
    assert [path.name for path in out.glob("[!.]*")] == []


def test_full_disk_behind_a_picture(model, picture, tmp_path):
    """Pillow takes the first bytes of a JPEG that fit for the whole."""
    limit = _limit(resource.RLIMIT_FSIZE, 400)
    code, said = _quantdet("predict", model, picture, "--out", tmp_path / "out", preexec_fn=limit)
    assert code == 2
    assert "picture.jpg: no space left" in said
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == []


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(solid((255, 0, 0), (40, 80))).save(path)
    return path


@pytest.fixture(scope="module")
def commands(models, tmp_path_factory):
    """Commands that print, with all they need."""
    root = tmp_path_factory.mktemp("commands")
    data = generate_scenes(root, count=6)
    picture = data / "JPEGImages" / "000001.jpg"
    return {
        "predict": ("predict", models["single-uint8"], picture, "--json", "--out", root / "out"),
        "check": ("data", "check", data, "--json"),
        "help": ("--help",),
        "models": ("models",),
    }


@pytest.mark.parametrize(
    "name",
    ["predict", "help", *(pytest.param(x, marks=pytest.mark.slow) for x in ("check", "models"))],
)
def test_output_that_cannot_be_written(commands, name):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        code, said = _quantdet(*commands[name], stdout=full, stderr=subprocess.PIPE)
    assert code == 2
    _one_sentence(said)
    assert "No space left" in said


@pytest.mark.parametrize("name", ["predict", "help"])
def test_output_that_nobody_reads(commands, name):
    read, write = os.pipe()
    os.close(read)
    code, said = _quantdet(*commands[name], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert code == 141
    assert "Traceback" not in said
    assert "Exception" not in said


def _limit(what, value):
    return lambda: resource.setrlimit(what, (value, value))


@pytest.mark.parametrize("name", ["predict", pytest.param("check", marks=pytest.mark.slow)])
def test_few_files_and_little_memory(commands, name):
    for limit in (
        _limit(resource.RLIMIT_NOFILE, 64),
        _limit(resource.RLIMIT_AS, 2 << 30),
        lambda: os.umask(0o077),
    ):
        code, said = _quantdet(*commands[name], preexec_fn=limit)
        assert code == 0, said


def test_memory_that_is_not_there(monkeypatch, quantdet):
    def nothing_left(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("quantdet.runtime.detector.Detector.__init__", nothing_left)
    code, _, said = quantdet("predict", "red.png")
    assert code == 2
    _one_sentence(said)
    assert "not enough memory" in said


@pytest.mark.parametrize("name", ["predict", pytest.param("check", marks=pytest.mark.slow)])
def test_no_home_and_no_place_for_temporary_files(commands, name, tmp_path):
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    script = (
        "import sys, tempfile\n"
        "def none(*a, **k): raise FileNotFoundError(2, 'No usable temporary directory')\n"
        "tempfile._get_default_tempdir = none\n"
        "from quantdet.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, commands[name])],
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_system_that_is_read_only(picture, quantdet, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr("os.access", lambda path, mode: mode != os.W_OK)
        code, printed, said = quantdet("predict", picture)
    assert (code, said) == (0, "predictions cannot be written: what is found is only printed\n")
    assert picture.name in printed
    code, printed, said = quantdet("predict", picture, "--format", "none", "--no-draw")
    assert (code, said) == (0, "")
    assert picture.name in printed
    assert sorted(tmp_path.iterdir()) == before


def test_names_of_all_kinds(model, picture, tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    names = [b"stra\xdfe.png", b"x" * 251 + b".png", "ü".encode() * 125 + b".png", b"new\nline.png"]
    for name in names:
        shutil.copy(picture, os.path.join(os.fsencode(folder), name))  # noqa: PTH118
    for _ in range(2):  # the second time they are ours
        code, said = _quantdet("predict", model, folder, "--out", out, "--csv")
        assert code == 0, said
        found = {os.fsencode(path.name) for path in out.iterdir()}
        wanted = {name.removesuffix(b".png") + b".jpg" for name in names}
        assert found - {b"predictions.json", b"predictions.csv"} == wanted
    listed = json.loads((out / "predictions.json").read_text("utf-8"))["predictions"]
    sources = {os.fsencode(os.path.basename(item["source"])) for item in listed}  # noqa: PTH119
    assert sources == set(names)


def test_drawn_name_that_gets_longer(model, picture, tmp_path):
    """A second "x….jpg" is called "x…-2.jpg", of 255 bytes at most."""
    for folder, suffix in (("a", ".png"), ("b", ".bmp")):
        (tmp_path / folder).mkdir()
        Image.open(picture).save(tmp_path / folder / f"{'x' * 251}{suffix}")
    code, said = _quantdet(
        "predict", model, tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out"
    )
    assert code == 0, said
    names = sorted(len(path.name) for path in (tmp_path / "out").glob("x*"))
    assert names == [255, 255]
    assert np.array(Image.open(next((tmp_path / "out").glob("x*")))).shape == (40, 80, 3)
