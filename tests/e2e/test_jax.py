"""Trained on JAX, exported by TensorFlow; compiled programs are kept."""

import json
import os
import subprocess
import sys

import pytest

from quantdet import Run
from tests.e2e.conftest import settings

pytest.importorskip("jax")
pytestmark = pytest.mark.slow

# The command line, and at the end what JAX's cache of programs was asked for and had.
_COUNT = """
import atexit, json, sys, jax
from collections import Counter
found = Counter()
jax.monitoring.register_event_listener(lambda event, **_: found.update([event]))
@atexit.register
def tell():
    print(json.dumps([found[f"/jax/compilation_cache/{name}"] for name in
                      ("compile_requests_use_cache", "cache_hits")]))
from quantdet.cli import main
main()
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Run the command line beside a cache folder of its own."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments, **variables):
        done = subprocess.run(
            [sys.executable, "-c", _COUNT, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "XDG_CACHE_HOME": str(cache), **variables},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    run.cache = cache / "quantdet" / "jax"
    return run


def train(command, scenes, out):
    options = ("--preset", "note", "--data", scenes, "--out", out, "--device", "cpu")
    return command("train", *options, "--backend", "jax", *settings())


@pytest.fixture(scope="module")
def trained(command, scenes, tmp_path_factory):
    run = tmp_path_factory.mktemp("jax") / "run"
    return run, train(command, scenes, run)


def test_every_backend_goes_on_where_another_stopped(command, trained):
    run = Run.open(trained[0])
    command("qat", run.root, "--epochs", 0)
    on = {stage: json.loads((run.root / stage / "summary.json").read_text())["device"]
          for stage in ("float", "qat")}  # fmt: skip
    assert (on["float"]["backend"], on["qat"]["backend"]) == ("jax", "tensorflow")
    assert on["float"]["id"] == "cpu"
    assert on["float"]["name"]
    assert json.loads(run.manifest_file.read_text())["train"]["device"] == on["float"]
    formats = ("uint8", "int8-ptq", "float32")
    options = [part for name in formats for part in ("--format", name)]
    files = {}
    for backend in ("tensorflow", "jax"):
        command("export", run.root, *options, KERAS_BACKEND=backend)
        files[backend] = [path.read_bytes() for path in sorted(run.export_dir.glob("*.tflite"))]
    assert len(files["jax"]) == len(formats)
    assert files["jax"] == files["tensorflow"]


def test_a_second_process_compiles_nothing_anew(command, scenes, trained, tmp_path):
    asked, had = trained[1]
    assert asked > had
    assert any(command.cache.iterdir())
    asked, had = train(command, scenes, tmp_path / "again")
    assert asked == had > 0


_KEPT = """
import jax
from quantdet.stages.backend import import_keras_quietly
import_keras_quietly()
print(jax.jit(lambda x: x + 1)(1))
"""


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "quantdet/jax"),
        ({"JAX_ENABLE_COMPILATION_CACHE": "false"}, None),
        ({"JAX_COMPILATION_CACHE_DIR": "own"}, "own"),
    ],
)
def test_variables_of_jax_say_what_is_kept(variables, folder, tmp_path):
    variables = {"KERAS_BACKEND": "jax", "XDG_CACHE_HOME": str(tmp_path), **variables}
    subprocess.run(
        [sys.executable, "-c", _KEPT],
        env={**os.environ, **variables, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
        cwd=tmp_path,
        check=True,
    )
    kept = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*-cache")}
    assert kept == ({folder} if folder else set())
