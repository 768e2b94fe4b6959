"""Batches made by processes beside the training: the same, whoever makes them."""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import keras
import numpy as np
import pytest

from quantdet.data.augment import AUGMENTATIONS
from quantdet.errors import DependencyError
from quantdet.manifest import TrainedOn
from quantdet.models.ssd_targets import Matcher
from quantdet.models.targets import PictureObjects
from quantdet.train import device, workers
from quantdet.train.batches import ArraySource, Batches
from quantdet.train.device import choose_workers
from quantdet.train.feed import EpochBatches
from quantdet.train.loop import TrainingTask, fit
from quantdet.train.pictures import PictureSource, Vary
from quantdet.train.settings import FitSettings
from quantdet.train.workers import Workers, batches_made_beside

pytest.importorskip("grain", reason="Grain needs Python 3.11")
SIZE = 32


@pytest.fixture
def source(tmp_path: Path) -> PictureSource:
    """Return ten pictures in a mapped file, varied as in training."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "pictures.npy", rng.integers(0, 256, (10, SIZE, SIZE, 3), np.uint8))
    anchors = np.array([[0.5, 0.5, 0.6, 0.6], [0.3, 0.3, 0.4, 0.4]], np.float32)
    box = np.array([[0.2, 0.2, 0.8, 0.8]], np.float32)
    objects = [PictureObjects(box, np.array([i % 3]), np.array([False])) for i in range(10)]
    return PictureSource(
        np.load(tmp_path / "pictures.npy", mmap_mode="r"),
        np.arange(10),
        objects,
        Matcher(anchors, (10.0, 10.0, 5.0, 5.0), 3),
        Vary(AUGMENTATIONS["ssd"]),
    )


def same(one, other) -> None:
    np.testing.assert_array_equal(one[0], other[0])
    assert one[0].dtype == other[0].dtype
    assert list(one[1]) == list(other[1])
    for name, values in one[1].items():
        np.testing.assert_array_equal(values, other[1][name])


@pytest.mark.parametrize("processes", [1, 3])
def test_batches_of_several_epochs_are_the_same(source, processes):
    plan = Batches(source, 4, seed=5, shuffle=True)
    numbers = range(2, 3 * plan.per_pass)  # resumed in the first epoch
    with batches_made_beside(plan, numbers, processes) as made:
        for number in numbers:
            same(made.take(number), plan[number])
            assert len(active_children()) >= processes
    # Epochs differ, and pictures within one.
    assert not np.array_equal(plan[0][0], plan[plan.per_pass][0])


def test_keras_gets_what_it_would_without_workers(source):
    alone, fed = (EpochBatches(source, 4, 5, shuffle=True) for _ in range(2))
    alone.epoch = fed.epoch = 1
    with fed.made_beside(range(len(fed), 2 * len(fed)), 2):
        for index in (0, 0, 1, 2):  # Keras looks at the first batch before it trains
            same(fed[index], alone[index])


_AS_ON_TENSORFLOW = """
import numpy as np
from quantdet.runtime.pixels import to_real
from quantdet.train.feed import model_inputs
pixels = np.arange(256, dtype=np.uint8)
np.testing.assert_array_equal(np.asarray(model_inputs(pixels)), to_real(pixels))
features = np.arange(3, dtype=np.float32)
assert model_inputs(features) is features
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")
def test_pixels_are_the_same_real_values_to_the_last_bit_on_jax():
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", _AS_ON_TENSORFLOW], env=environment, check=True)


def small_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((SIZE, SIZE, 3))
    seen = keras.layers.AveragePooling2D(8)(image)
    seen = keras.layers.Flatten()(seen)
    outputs = {
        name: keras.layers.Reshape((2, size), name=name)(keras.layers.Dense(2 * size)(seen))
        for name, size in (("boxes", 5), ("scores", 4))
    }
    return keras.Model(image, outputs)


class Killed(BaseException):
    pass


def trained(source: PictureSource, workers: int, folder: Path, kill_at: int = -1) -> keras.Model:
    """Train six epochs of three steps, or as far as step ``kill_at``."""

    def progress(done: int, total: int) -> None:
        if done == kill_at:
            raise Killed

    model = small_model()
    losses = {name: keras.losses.MeanSquaredError() for name in ("boxes", "scores")}
    settings = FitSettings(6, batch_size=4, workers=workers, keep="last")
    fit(model, TrainingTask(source, None, losses), settings, folder, progress)
    return model


def test_training_is_the_same_and_resumes_with_another_number_of_workers(source, tmp_path, caplog):
    alone = trained(source, 0, tmp_path / "alone")
    with caplog.at_level(logging.INFO):
        with pytest.raises(Killed):
            trained(source, 2, tmp_path / "fed", kill_at=14)
        assert not active_children()
        fed = trained(source, 1, tmp_path / "fed")  # from the fourth epoch on
    assert "workers that make the batches: 2" in caplog.text
    assert "workers that make the batches: 1" in caplog.text
    assert "workers ended" not in caplog.text
    for one, other in zip(alone.variables, fed.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_batch_out_of_turn_is_left_to_the_caller(source):
    made = Workers(Batches(source, 4, 0, shuffle=True), range(3), 1)
    try:
        assert made.take(2) is None
        assert made.take(0) is not None
    finally:
        made.close()


def test_killed_workers_cost_nothing_but_time(source, caplog):
    batches = EpochBatches(source, 2, 0, shuffle=True)
    expected = [EpochBatches(source, 2, 0, shuffle=True)[index] for index in range(5)]
    with batches.made_beside(range(5), 2):
        same(batches[0], expected[0])
        for child in active_children():
            os.kill(child.pid, signal.SIGKILL)
        with caplog.at_level(logging.WARNING):
            for index in range(1, 5):
                same(batches[index], expected[index])
    assert "the workers ended" in caplog.text
    assert "data.workers = 0" in caplog.text


def test_a_fault_of_a_batch_is_raised_where_it_is_trained(source):
    one_class = replace(source.encode, num_classes=1)  # and the third picture has the third
    plain = replace(source, encode=one_class, augment=None)
    batches = EpochBatches(plain, 2, 0, shuffle=False)
    with batches.made_beside(range(2), 1):
        assert len(batches[0][0]) == 2
        with pytest.raises(IndexError, match="out of bounds"):
            batches[1]


def test_no_process_is_left(source):
    before = {child.pid for child in active_children()}
    with batches_made_beside(Batches(source, 2, 0, shuffle=True), range(50), 2) as made:
        made.take(0)
        assert len({child.pid for child in active_children()} - before) == 2
    assert {child.pid for child in active_children()} <= before


def test_another_process_maps_the_file(source, tmp_path):
    large = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.uint8, (500, SIZE, SIZE, 3))
    large[:] = 7
    many = PictureSource(
        np.load(tmp_path / "large.npy", mmap_mode="r"), source.rows, source.objects, source.encode
    )
    sent = pickle.dumps(many)
    assert len(sent) < large.nbytes / 20
    back = pickle.loads(sent)
    assert back.images.shape == large.shape
    assert (back.images[499] == 7).all()
    part = PictureSource(many.images[3:5], source.rows, source.objects, source.encode)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).images, many.images[3:5])


def test_workers_import_no_keras():
    code = (
        "import sys; import quantdet.train.workers, quantdet.train.pictures, "
        "quantdet.models.ssd_targets; "
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_automatic_number(monkeypatch, caplog):
    def on(name, cores):
        found = TrainedOn(backend="jax", id=name, name="")
        monkeypatch.setattr(device, "training_device", lambda: found)
        monkeypatch.setattr(device, "usable_cores", lambda: cores)
        return choose_workers("auto")

    assert on("cpu", 8) == 0
    assert [on("gpu:0", cores) for cores in (1, 8, 96)] == [1, 7, 16]
    on("cpu", 8)
    assert choose_workers(3) == 3
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: None)
    assert on("gpu:0", 8) == 0
    assert "quantdet[workers]" in caplog.text


def test_too_little_shared_memory(monkeypatch, caplog, tmp_path):
    plan = Batches(ArraySource(np.zeros((4, 1000), np.uint8), {}), 4, 0, shuffle=False)
    disk = type("Usage", (), {"free": 37_000})
    monkeypatch.setattr(workers, "_SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(workers.shutil, "disk_usage", lambda path: disk)
    # A batch has 4,000 bytes: three of each worker are there, and as many in use.
    assert workers._with_room(8, plan[0]) == 2
    assert "--shm-size=1g" in caplog.text
    disk.free = 23_000
    with batches_made_beside(plan, range(1), 8) as made:
        assert made is None


_NO_GUARD = """
import sys
import numpy as np
from quantdet.train.batches import ArraySource, Batches
from quantdet.train.workers import batches_made_beside
plan = Batches(ArraySource(np.arange(100, dtype=np.uint8), {}), 2, 0, False)
with batches_made_beside(plan, range(50), 2) as made:
    found = [made.take(number) or plan[number] for number in range(50)]
print("trained", sum(int(batch[0].sum()) for batch in found))
"""


def test_a_script_without_guard_trains_once(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(_NO_GUARD, "utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"trained {sum(range(100))}"]
    assert "put what trains under `if __name__ == '__main__':`" in done.stderr


def test_without_grain(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with (
        pytest.raises(DependencyError, match=r"quantdet\[workers\]"),
        batches_made_beside(Batches(source, 2, 0, shuffle=True), range(5), 2),
    ):
        pass


_LOOKS_ON = """
import os, sys, time
from multiprocessing import active_children
import numpy as np
from quantdet.train.batches import ArraySource, Batches
from quantdet.train.workers import Workers
plan = Batches(ArraySource(np.zeros((100, 8), np.uint8), {}), 2, 0, False)
made = Workers(plan, range(50), 2)
made.take(0), made.take(1)
print(*(child.pid for child in active_children()), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_workers_end_with_a_training_that_is_killed():
    training = subprocess.Popen([sys.executable, "-c", _LOOKS_ON], stdout=subprocess.PIPE)
    children = [int(number) for number in training.stdout.readline().split()]
    assert len(children) == 2
    training.kill()
    training.wait()
    while any(running(child) for child in children):
        time.sleep(0.1)


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
