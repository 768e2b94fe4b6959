"""A generated data set and one finished run, shared by the end-to-end tests."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import traceback

import pytest
from filelock import FileLock

from quantdet.cli import main
from quantdet.data.scenes import generate_scenes
from tests import tiny_backbone

REAL = "mobilenet_v2"
TINY = (
    "model.name=localizer",
    "model.input_size=64",
    "model.width=0.35",
    "model.weights=none",
    "train.epochs=1",
    "train.finetune_epochs=1",
    "train.augment=mild",
    "qat.epochs=1",
    "qat.calibration_images=8",
    "target.skip_truncated=false",
)


# A finished run of these settings: every mutant of what measures it would train one of its own.
KEPT_RUN = os.environ.get("QUANTDET_KEPT_RUN")


def quantdet(*arguments, check=None, module="quantdet"):
    """Run the command line in a process of its own; return it finished."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


def quantdet_here(*arguments, check=None):
    """Run the command line in this process, where TensorFlow has started already."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["quantdet", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            code = end.code
        except Exception:
            traceback.print_exc()
            code = 1
    done = subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


def settings(*more):
    """Return --set options for the smallest sensible run."""
    return [part for item in (*TINY, *more) for part in ("--set", item)]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    return generate_scenes(tmp_path_factory.mktemp("scenes"), count=30, size_hw=(90, 120))


# The head "grid" differs in the decoder, which has tests of its own; with MobileNetV2 every net is
# traced for a minute.
@pytest.fixture(
    scope="session",
    params=["global", *(pytest.param(name, marks=pytest.mark.slow) for name in ("grid", REAL))],
)
def finished(request, scenes, tmp_path_factory):
    """Return the folder of a finished run, made once per kind; each worker has a copy of its own.

    Tests verify and analyse it, which writes into it.
    """
    own = tmp_path_factory.mktemp("runs") / request.param
    is_worker = hasattr(request.config, "workerinput")
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if is_worker else base) / f"finished-{request.param}"
    with FileLock(f"{made}.lock"):
        if KEPT_RUN:
            shutil.copytree(KEPT_RUN, own)
        elif not made.exists():
            real = request.param == REAL
            make_run(scenes, own, "global" if real else request.param, real=real)
            shutil.copytree(own, made)
        else:
            shutil.copytree(made, own)
    return own


def make_run(scenes, folder, head, *, real):
    """Run everything, with MobileNetV2 or the tiny backbone."""
    options = settings(f"model.head={head}", f"data.cache_dir={folder.parent / 'cache'}")
    module = "quantdet" if real else "tests.tiny_backbone"
    quantdet("run", "--data", scenes, "--out", folder, *options, check=0, module=module)


@pytest.fixture(autouse=True)
def _backbone_of_the_run(request):
    """A test of the finished run builds the nets that it has."""
    if "finished" in request.fixturenames and request.node.callspec.params["finished"] != REAL:
        with tiny_backbone.instead():
            yield
    else:
        yield
