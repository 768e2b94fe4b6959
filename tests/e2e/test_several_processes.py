"""`quantdet run` on two machines, here two processes of this one."""

import subprocess
import sys

import pytest

from quantdet import Run
from quantdet.manifest import TrainRecord
from tests.e2e.conftest import settings
from tests.several_processes import environments

pytest.importorskip("jax")
pytestmark = pytest.mark.slow


def test_both_train_and_the_first_goes_on(scenes, tmp_path):
    options = ("--preset", "note", "--data", scenes, "--out", tmp_path / "run", "--batch", 16)
    command = [sys.executable, "-m", "quantdet", "run", *options, "--devices", 2, *settings()]
    both = [
        subprocess.Popen(
            [str(part) for part in command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment in environments(2, 2)
    ]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "the first process goes on alone" in said[1][0]
    run = Run.open(tmp_path / "run")
    assert run.report_file.exists()
    assert run.recorded(TrainRecord).device.devices == 4
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
