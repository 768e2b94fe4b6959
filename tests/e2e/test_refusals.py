"""A stage that refuses says why in one sentence and leaves the run as it was."""

from __future__ import annotations

import contextlib
import shutil
import threading

import pytest

from quantdet.data.scenes import generate_scenes
from quantdet.pipeline import STAGES
from quantdet.system.folder_lock import exclusive
from tests.e2e.conftest import quantdet_here, settings
from tests.e2e.test_faults import OPTIONS

# An option of each stage that it cannot take, and a word of what it says.
IMPOSSIBLE = {
    "train": (("--set", "train.epochs=-1"), "epochs"),
    "qat": (("--set", "qat.observer=guess"), "observer"),
    "export": (("--format", "onnx"), "onnx"),
    "evaluate": (("--split", "val"), "--split"),
    "analyse": (("--pictures", "0"), "pictures"),
    "verify": (("--target", "abacus"), "abacus"),
    "report": (("--out", "/dev/null/report.html"), "/dev/null"),
}


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def _command(stage, run, scenes, *options):
    given = ["--data", scenes, "--out", run, *settings()] if stage == "train" else [run]
    return [stage, *given, *options]


def _refused(run, *command):
    """Return what a refusal says; the whole folder, logs too, is as it was."""
    before = _everything(run)
    done = quantdet_here(*command)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("error: "), done.stderr
    assert _everything(run) == before
    return done.stderr


def _everything(run):
    return {
        path.relative_to(run): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file()
    }


@contextlib.contextmanager
def _in_use(run):
    """Another thread has the folder."""
    taken, over = threading.Event(), threading.Event()

    def hold():
        with exclusive(run):
            taken.set()
            over.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    try:
        yield
    finally:
        over.set()
        holder.join()


# A report reads what there is, and writes one page at once.
@pytest.mark.parametrize("stage", [name for name in STAGES if name != "report"])
def test_run_that_is_in_use(stage, run, scenes):
    options = OPTIONS.get(stage, ())
    with _in_use(run):
        assert "in use" in _refused(run, *_command(stage, run, scenes, *options))


@pytest.mark.parametrize("stage", STAGES)
def test_settings_that_cannot_be_read(stage, run, scenes):
    (run / "config.toml").write_text("[model\nname =")
    assert "config.toml" in _refused(run, *_command(stage, run, scenes))


@pytest.mark.parametrize("stage", STAGES)
def test_option_that_is_impossible(stage, run, scenes):
    options, word = IMPOSSIBLE[stage]
    assert word in _refused(run, *_command(stage, run, scenes, *options))


# Any pictures do for verify; a report reads none.
@pytest.mark.parametrize("stage", [x for x in STAGES if x not in {"verify", "report"}])
def test_other_pictures(stage, run, tmp_path, scenes):
    other = generate_scenes(tmp_path / "other", count=12, seed=5, size_hw=(90, 120))
    assert "is not the data" in _refused(run, *_command(stage, run, scenes, "--data", other))
