"""Several devices, here of one CPU, and several processes train what one does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.several_processes import environments, on_virtual_devices

from quantdet.errors import ConfigError
from quantdet.system import processes
from quantdet.train.batches import ArraySource, Batches, Share
from quantdet.train.parallel import check_devices, shared_batches

ROOT = Path(__file__).resolve().parents[2]
EIGHT = Share(devices=8)


def plan(count, share, *, batch_size=16):
    source = ArraySource(np.arange(float(count)), {"y": np.arange(count)})
    return Batches(source, batch_size, 3, shuffle=True, share=share)


@pytest.mark.parametrize("count", [3, 16, 40, 45, 129])
@pytest.mark.parametrize("devices", [2, 4, 8])
def test_every_batch_has_equal_parts_and_every_example_comes(count, devices):
    batches = plan(count, Share(devices=devices))
    sizes = [len(batches[i][0]) for i in range(batches.per_pass)]
    assert batches.per_pass == plan(count, Share()).per_pass
    assert max(sizes) <= 16
    assert {size % devices for size in sizes} == {0}
    shown = np.concatenate([batches[i][1]["y"] for i in range(batches.per_pass)])
    assert set(shown) == set(range(count))
    assert len(shown) - count < devices


def test_batches_that_divide_are_those_of_one_device():
    for i in range(6):
        np.testing.assert_array_equal(plan(48, EIGHT)[i][0], plan(48, Share())[i][0])


def test_processes_have_the_parts_of_a_batch():
    whole = plan(45, EIGHT)
    parts = [plan(45, Share(8, part, 2)) for part in (0, 1)]
    for i in range(2 * whole.per_pass):
        joined = np.concatenate([batches[i][1]["y"] for batches in parts])
        np.testing.assert_array_equal(joined, whole[i][1]["y"])


def test_one_device_is_as_before():
    check_devices(1, 7)
    with shared_batches(1, 7) as share:
        assert share == Share()


def test_other_backends_have_one_device():
    with pytest.raises(ConfigError, match=r"train.devices = 2.*only JAX.*--backend jax"):
        check_devices(2, 16)
    with pytest.raises(ConfigError, match="--devices 1"), shared_batches(2, 16):
        pass


@pytest.mark.parametrize(
    "values",
    [
        ("host:1", "", ""),
        ("", "2", "0"),
        ("host:1", "2", "2"),
        ("host:1", "two", "0"),
        ("host:1", "2", "-1"),
    ],
)
def test_incomplete_variables_of_processes(monkeypatch, values):
    for name, value in zip(processes.VARIABLES, values, strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"KERAS_DISTRIBUTION_NUM_PROCESSES=.* need all three"):
        processes.count_processes()


def test_processes_need_jax(monkeypatch):
    for name, value in zip(processes.VARIABLES, ("host:1", "2", "1"), strict=True):
        monkeypatch.setenv(name, value)
    assert not processes.leads()
    with pytest.raises(ConfigError, match="only JAX trains in several processes"):
        processes.join_processes()


def start(out, devices, epochs, *options, environment=None):
    command = [sys.executable, "-m", "tests.train.many_devices", out, devices, epochs, *options]
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment or on_virtual_devices(8),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    said, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    return json.loads(said.splitlines()[-1])


def start_both(folders, devices, epochs, *options):
    """Start two processes; ``options`` are the second's."""
    return [
        start(folder, devices, epochs, *more, environment=environment)
        for folder, more, environment in zip(
            folders, ((), options), environments(2, 8), strict=True
        )
    ]


def assert_same_training(found, expected):
    for key in ("loss", "val_loss", "val_map", "variables"):
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-6, err_msg=key)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    pytest.importorskip("jax")
    return result(start(tmp_path_factory.mktemp("alone"), 1, 3))


def test_eight_devices_train_what_one_does(alone, tmp_path):
    assert_same_training(result(start(tmp_path, 8, 3)), alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "says"), [(9, "JAX sees 8 on this machine"), (3, "no equal parts for 3 devices")]
)
def test_devices_that_are_not_there_or_do_not_divide_the_batch(devices, says, tmp_path):
    process = start(tmp_path, devices, 1)
    errors = process.communicate()[1]
    assert process.returncode
    assert says in errors
    assert not (tmp_path / "last.npz").exists()


@pytest.mark.slow
def test_two_devices_go_on_where_eight_stopped(alone, tmp_path):
    begun = result(start(tmp_path, 8, 2))
    # Epochs are part of what a training is; only the state of the last one decides how it goes on.
    checkpoint = tmp_path / "last.npz"
    with np.load(checkpoint) as archive:
        arrays = dict(archive)
    meta = json.loads(str(arrays["meta"]))
    meta["identity"]["epochs"] = 3
    np.savez(checkpoint, **{**arrays, "meta": np.array(json.dumps(meta))})
    resumed = result(start(tmp_path, 2, 3))
    assert resumed["loss"][:2] == begun["loss"]
    assert_same_training(resumed, alone)


@pytest.mark.slow
def test_quantized_and_with_a_teacher(tmp_path):
    found = [result(start(tmp_path / str(n), n, 3, "quantized")) for n in (1, 2, 8)]
    assert_same_training(found[1], found[0])
    assert_same_training(found[2], found[0])


@pytest.mark.slow
def test_two_processes_train_what_one_does_and_one_writes(alone, tmp_path):
    first, second = (result(process) for process in start_both(2 * [tmp_path / "run"], 2, 3))
    assert_same_training(first, alone)
    assert_same_training(second, first)
    assert Path(first["folder"]) == tmp_path / "run"
    assert (tmp_path / "run" / "last.npz").exists()
    assert not Path(second["folder"]).exists()
    # Both resume, and have nothing left to do.
    again = [result(process) for process in start_both(2 * [tmp_path / "run"], 2, 3)]
    assert again[0]["loss"] == again[1]["loss"] == first["loss"]


@pytest.mark.slow
@pytest.mark.parametrize("other", ["data", "folder"])
def test_processes_that_would_not_train_the_same_are_refused(other, tmp_path):
    run = tmp_path / "run"
    if other == "data":
        both = start_both([run, run], 1, 3, "brighter")
    else:  # the second does not see where the first stopped
        for process in start_both([run, run], 1, 3):
            result(process)
        both = start_both([run, tmp_path / "elsewhere"], 1, 3)
    for process in both:
        errors = process.communicate()[1]
        assert process.returncode
        assert "would not train the same" in errors
