"""Stages where files, memory, a home or an output are missing: they work, or say so once."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys

import pytest

from quantdet.pipeline import STAGES
from tests.e2e.conftest import quantdet, settings
from tests.e2e.test_faults import OPTIONS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")


def _limit(what, value):
    return lambda: resource.setrlimit(what, (value, value))


# How the process of a stage is started, by name.
SURROUNDINGS = {
    "few files": {"preexec_fn": _limit(resource.RLIMIT_NOFILE, 64)},
    "little memory": {"preexec_fn": _limit(resource.RLIMIT_AS, 2 << 30)},
    "files for the owner only": {"preexec_fn": lambda: os.umask(0o077)},
    "no home": {"env": {"HOME": "/nonexistent", "XDG_CACHE_HOME": "", "LC_ALL": "C"}},
    "no temporary folder": {"env": {"TMPDIR": "/nonexistent"}},
    "output without room": {"stdout": "/dev/full"},
}


def _command(stage, run, scenes):
    if stage == "train":
        cache = f"data.cache_dir={run.parent / 'cache'}"
        return ["train", "--data", scenes, "--out", run.parent / "new", *settings(cache)]
    return [stage, run, *OPTIONS.get(stage, ())]


def _start(command, env=None, stdout=os.devnull, preexec_fn=None):
    with open(stdout, "w") as out:  # noqa: PTH123
        return subprocess.run(
            [sys.executable, "-m", "quantdet", *map(str, command)],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, **(env or {})},
            preexec_fn=preexec_fn,
        )


@pytest.mark.parametrize("name", SURROUNDINGS)
@pytest.mark.parametrize(
    "stage", [x if x == "report" else pytest.param(x, marks=pytest.mark.slow) for x in STAGES]
)
def test_stage(stage, name, finished, scenes, tmp_path):
    command = _command(stage, shutil.copytree(finished, tmp_path / "run"), scenes)
    done = _start(command, **SURROUNDINGS[name])
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode == 2:
        assert done.stderr.rstrip().splitlines()[-1].startswith("error: "), done.stderr
        quantdet(*command, check=0)
