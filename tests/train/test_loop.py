import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from quantdet.errors import DataError, ModelError, QuantdetError
from quantdet.quant.prepare import prepare_qat
from quantdet.system import owner
from quantdet.system.temporary import temporary_path
from quantdet.train.batches import ArraySource
from quantdet.train.build import jit_compile
from quantdet.train.feed import EpochBatches
from quantdet.train.history import History
from quantdet.train.loop import TrainingTask, fit
from quantdet.train.settings import FitSettings

SETTINGS = FitSettings(epochs=4, batch_size=8, learning_rate=0.01, seed=3)


def build():
    """A net with dropout and BatchNorm: both have state that a resumed run must get back."""
    keras.utils.set_random_seed(1)
    x = keras.Input((6,))
    y = keras.layers.Dense(8, name="hidden")(x)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.ReLU(6.0)(y)
    y = keras.layers.Dropout(0.3)(y)
    out = {"value": keras.layers.Dense(1, name="value")(y), "sign": keras.layers.Dense(2)(y)}
    return keras.Model(x, out)


def task(count=50, seed=0, validation=True):
    rng = np.random.default_rng(seed)

    def source(n):
        x = rng.normal(size=(n, 6)).astype(np.float32)
        value = x.sum(1, keepdims=True)
        return ArraySource(x, {"value": value, "sign": (value[:, 0] > 0).astype(np.int64)})

    losses = {
        "value": keras.losses.MeanSquaredError(),
        "sign": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    metrics = {"sign": ["sparse_categorical_accuracy"]}
    return TrainingTask(source(count), source(20) if validation else None, losses, metrics, "test")


def values(model):
    return [keras.ops.convert_to_numpy(v) for v in model.variables]


def assert_same(a, b):
    for left, right in zip(values(a), values(b), strict=True):
        np.testing.assert_array_equal(left, right)


def measured(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


class Killed(BaseException):
    pass


def kill_at(step):
    def progress(done, total):
        if done == step:
            raise Killed

    return progress


@pytest.mark.parametrize(
    "settings",
    [
        FitSettings(
            epochs=4,
            batch_size=8,
            optimizer="adamw",
            weight_decay=0.01,
            schedule="cosine",
            warmup_epochs=1.5,
            clip_norm=1.0,
        ),
        FitSettings(epochs=4, batch_size=8, ema=0.9, layer_rates=(("value", 3.0),), keep="last"),
        pytest.param(
            FitSettings(epochs=4, batch_size=8, mixed_precision=True), marks=pytest.mark.slow
        ),
    ],
    ids=["adamw-cosine", "averages-rates", "mixed"],
)
def test_resumed_run_is_bit_equal(tmp_path, settings):
    whole, resumed = build(), build()
    wanted = fit(whole, task(), settings, tmp_path / "whole")
    for step in (17, 24):  # in the third epoch of seven steps, then again in the fourth
        with pytest.raises(Killed):
            fit(build(), task(), settings, tmp_path / "resumed", kill_at(step))
    got = fit(resumed, task(), settings, tmp_path / "resumed")
    assert measured(got) == measured(wanted)
    assert_same(whole, resumed)


def test_an_epoch_of_several_passes_has_the_same_steps(tmp_path):
    single, grouped = build(), build()
    settings = replace(SETTINGS, keep="last", schedule="cosine")
    fit(single, task(), settings, tmp_path / "single")
    ticks = []
    history = fit(
        grouped,
        task(),
        replace(settings, epochs=2, passes=2),
        tmp_path / "grouped",
        lambda *tick: ticks.append(tick),
    )
    assert [row["epoch"] for row in history.rows] == [1, 2]
    assert ticks[-1] == (28, 28)  # four passes of seven steps
    assert_same(grouped, single)


_KILLS_ITSELF = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_loop import SETTINGS, build, fit, task

def progress(done, total):
    if done == 17:
        os.kill(os.getpid(), signal.SIGKILL)

fit(build(), task(), SETTINGS, Path(sys.argv[2]), progress)
"""


def test_killed_process(tmp_path, monkeypatch):
    wanted, got = build(), build()
    fit(wanted, task(), SETTINGS, tmp_path / "whole")
    here = str(Path(__file__).parent)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLS_ITSELF, here, str(tmp_path / "killed")], check=False
    )
    assert killed.returncode == -9
    # What a kill in the middle of writing leaves behind must not matter either.
    half = temporary_path(tmp_path / "killed" / "last.npz")
    half.write_bytes(b"half a file")
    monkeypatch.setattr(owner, "_TOKEN", "0" * 8)  # as if this process had not written it
    history = fit(got, task(), SETTINGS, tmp_path / "killed")
    assert not list((tmp_path / "killed").glob(".*"))
    assert [row["epoch"] for row in history.rows] == [1, 2, 3, 4]
    assert_same(wanted, got)


def test_finished_training_is_not_repeated(tmp_path):
    first, second, steps = build(), build(), []
    wanted = fit(first, task(), SETTINGS, tmp_path)
    got = fit(second, task(), SETTINGS, tmp_path, lambda *now: steps.append(now))
    assert steps == []
    assert got == wanted
    assert_same(first, second)


def test_model_has_the_best_epoch(tmp_path):
    settings = FitSettings(epochs=6, batch_size=8, learning_rate=0.03)
    data = task()
    data.validation.targets["value"] *= -1  # whatever is learned makes the validation worse
    model = build()
    history = fit(model, data, settings, tmp_path)
    assert history.best_epoch < 6
    assert history.best["val_loss"] == min(row["val_loss"] for row in history.rows)
    model.compile(loss=dict(data.losses))
    loss = model.evaluate(data.validation.inputs, data.validation.targets, verbose=0)
    # float32 sums over batches of other sizes; measured 1e-6 relative
    assert (loss[0] if isinstance(loss, list) else loss) == pytest.approx(
        history.best["val_loss"], rel=1e-4
    )
    names = sorted(path.name for path in tmp_path.glob("*.npz"))
    assert names == [f"best-{history.best_epoch:04d}.npz", "last.npz"]


def test_last_epoch_is_kept_where_asked_for(tmp_path):
    model = build()
    settings = FitSettings(epochs=3, batch_size=8, learning_rate=3.0, keep="last")
    history = fit(model, task(), settings, tmp_path)
    assert history.best_epoch == 3
    assert [file.name for file in tmp_path.glob("best-*.npz")] == ["best-0003.npz"]


def test_result_is_the_moving_average(tmp_path):
    """Its momentum is t / (t + 4) after t steps, at most the one set; checked on every step."""
    steps = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(values(self.model))

    settings = FitSettings(epochs=2, batch_size=8, learning_rate=0.05, ema=0.5, keep="last")
    model = build()
    with pytest.MonkeyPatch.context() as patch:
        original = keras.Model.fit
        patch.setattr(
            keras.Model,
            "fit",
            lambda self, *a, callbacks, **k: original(
                self, *a, callbacks=[*callbacks, Watch()], **k
            ),
        )
        fit(model, task(), settings, tmp_path)
    kernel = [step[0] for step in steps]
    average = kernel[0]
    for t, value in enumerate(kernel[1:], start=1):
        momentum = min(t / (t + 4), 0.5)
        average = momentum * average + (1 - momentum) * value
    np.testing.assert_allclose(values(model)[0], average, atol=1e-5)
    assert np.abs(kernel[-1] - average).max() > 1e-3


def test_the_moving_average_of_few_steps_forgets_the_start(tmp_path):
    start = build()
    model, few = build(), FitSettings(epochs=2, batch_size=8, learning_rate=0.05, keep="last")
    fit(model, task(), few, tmp_path / "raw")
    averaged = build()
    fit(averaged, task(), replace(few, ema=0.9999), tmp_path / "averaged")
    moved = np.abs(values(model)[0] - values(start)[0]).mean()
    assert np.abs(values(averaged)[0] - values(start)[0]).mean() > 0.5 * moved


def test_a_step_is_traced_once(tmp_path, monkeypatch):
    traced = []

    def counted(name):
        original = getattr(keras.Model, name)

        def step(self, *arguments):
            traced.append(name)
            return original(self, *arguments)

        return step

    for name in ("train_step", "test_step"):
        monkeypatch.setattr(keras.Model, name, counted(name))
    fit(build(), task(), SETTINGS, tmp_path)
    assert sorted(traced) == ["test_step", "train_step"]


def test_layers_learn_at_their_own_rate(tmp_path):
    start, fast, none = build(), build(), build()
    for model, rates in ((fast, (("sig", 5.0), ("value", 1.0))), (none, (("value", 0.0),))):
        settings = FitSettings(epochs=1, batch_size=50, learning_rate=1e-3, layer_rates=rates)
        fit(model, task(), settings, tmp_path / str(len(rates)))
    value = start.get_layer("value").kernel
    np.testing.assert_array_equal(np.array(none.get_layer("value").kernel), np.array(value))
    # Adam's first step is the learning rate itself, whatever the gradient.
    moved = np.abs(np.array(fast.get_layer("value").kernel) - np.array(value))
    np.testing.assert_allclose(moved, 1e-3, rtol=1e-2)


def test_learned_ranges_have_a_rate_of_their_own(tmp_path):
    data = task()
    prepared = prepare_qat(build(), [data.train.inputs], ranges="learned")
    before = {variable.path: np.array(variable) for variable in prepared.trainable_variables}
    settings = FitSettings(
        epochs=1,
        batch_size=50,
        optimizer="adamw",
        weight_decay=0.1,
        learning_rate=1e-5,
        range_rate=100.0,
    )
    fit(prepared, data, settings, tmp_path)
    moved = {
        variable.path: np.abs(np.array(variable) - before[variable.path]).max()
        for variable in prepared.trainable_variables
    }
    ranges = [value for path, value in moved.items() if path.endswith(("minimum", "maximum"))]
    kernels = [value for path, value in moved.items() if path.endswith("kernel")]
    # Adam's first step is the rate; weights also lose 1e-6 of their size.
    assert max(ranges) == pytest.approx(1e-3, rel=1e-2)
    assert max(kernels) == pytest.approx(1e-5, rel=0.2)


def test_without_validation_the_training_loss_decides(tmp_path):
    history = fit(build(), task(validation=False), SETTINGS, tmp_path)
    assert history.monitor == "loss"
    assert history.best["loss"] == min(row["loss"] for row in history.rows)


def test_files(tmp_path):
    history = fit(build(), task(), SETTINGS, tmp_path)
    with (tmp_path / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert float(rows[2]["val_loss"]) == history.rows[2]["val_loss"]
    again = History.from_dict(json.loads((tmp_path / "history.json").read_text()))
    assert again == history
    assert {"loss", "val_loss", "value_loss", "val_sign_sparse_categorical_accuracy"} <= set(
        history.rows[0]
    )
    assert list((tmp_path / "logs").glob("*tfevents*"))
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size[0] > 600


def test_progress_counts_to_the_end(tmp_path):
    seen = []
    fit(build(), task(), SETTINGS, tmp_path, lambda *now: seen.append(now))
    assert seen[0] == (0, 28)
    assert seen[-1] == (28, 28)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"settings": FitSettings(epochs=5, batch_size=8, learning_rate=0.01, seed=3)}, "epochs"),
        ({"task": task(count=40)}, "the number of pictures"),
    ],
)
def test_folder_of_another_training(tmp_path, change, named):
    fit(build(), task(), SETTINGS, tmp_path)
    arguments = {"task": task(), "settings": SETTINGS, **change}
    with pytest.raises(QuantdetError, match=rf"last\.npz.*differs in {named}.*another output"):
        fit(build(), arguments["task"], arguments["settings"], tmp_path)


def test_other_start_is_another_training(tmp_path):
    fit(build(), task(), SETTINGS, tmp_path)
    model = build()
    model.get_layer("hidden").kernel.assign(model.get_layer("hidden").kernel + 1)
    with pytest.raises(
        QuantdetError, match=r"differs in the model it started from.*number of classes"
    ):
        fit(model, task(), SETTINGS, tmp_path)


def test_damaged_checkpoint(tmp_path):
    fit(build(), task(), SETTINGS, tmp_path)
    (tmp_path / "last.npz").write_bytes(b"half a file")
    with pytest.raises(ModelError, match=r"last\.npz.*damaged.*remove"):
        fit(build(), task(), SETTINGS, tmp_path)


def test_loss_that_is_not_finite(tmp_path):
    settings = FitSettings(epochs=2, batch_size=8, learning_rate=1e30)
    with pytest.raises(QuantdetError, match=r"train\.learning_rate"):
        fit(build(), task(), settings, tmp_path)


def test_no_examples(tmp_path):
    with pytest.raises(DataError, match=r"no training example.*\[target\]"):
        fit(build(), task(count=0), SETTINGS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_frozen_layers_stay(tmp_path):
    model = build()
    model.get_layer("hidden").trainable = False
    before = model.get_layer("hidden").get_weights()
    fit(model, task(), FitSettings(epochs=2, mixed_precision=True), tmp_path)
    for old, new in zip(before, model.get_layer("hidden").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_order_depends_on_seed_and_epoch_only():
    source = ArraySource(np.arange(10.0), {"y": np.arange(10)})

    def order(seed, epoch):
        batches = EpochBatches(source, 4, seed, shuffle=True)
        batches.epoch = epoch
        return np.concatenate([batches[i][1]["y"] for i in range(len(batches))]).tolist()

    assert sorted(order(0, 0)) == list(range(10))
    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_batches_are_of_one_size_and_leave_nothing_out():
    source = ArraySource(np.arange(129.0), {"y": np.arange(129)})
    batches = EpochBatches(source, 32, 0, shuffle=False)
    parts = [batches[i][1]["y"] for i in range(len(batches))]
    assert [len(part) for part in parts] == [26, 26, 26, 26, 25]
    assert np.concatenate(parts).tolist() == list(range(129))


def test_random_stream_of_a_batch_is_its_own():
    class Noise:
        def __len__(self):
            return 4

        def batch(self, indices, rng):
            return rng.random(3), {}

    def draw(seed, epoch, index):
        batches = EpochBatches(Noise(), 1, seed, shuffle=True)
        batches.epoch = epoch
        return tuple(batches[index][0])

    streams = [(s, e, i) for s in (0, 1) for e in (0, 1) for i in (0, 1)]
    assert len({draw(*stream) for stream in streams}) == len(streams)
    assert draw(1, 1, 1) == draw(1, 1, 1)


def _run_on_jax(script, *arguments):
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_moving_averages_on_jax(tmp_path):
    # JAX gives the memory of variables away in a step; averages that shared it were lost.
    script = (
        "import sys\nfrom pathlib import Path\nfrom tests.train.test_loop import SETTINGS, build, "
        "fit, task\nfrom dataclasses import replace\n"
        "fit(build(), task(), replace(SETTINGS, ema=0.9), Path(sys.argv[1]))"
    )
    _run_on_jax(script, tmp_path)
    assert (tmp_path / "history.csv").exists()


_ANOTHER_FIT = """
import sys
from dataclasses import replace
from pathlib import Path
import keras, numpy as np
from quantdet.train.optimizer import make_optimizer
from tests.train.test_loop import SETTINGS, Killed, build, fit, kill_at, task, values
model, source = build(), task()
model.compile(make_optimizer(replace(SETTINGS, ema=0.9), 7), loss=dict(source.losses))
x, y = source.train.batch(np.arange(8), None)
for _ in range(2):
    model.fit(x, y, verbose=0)
try:
    fit(model, source, replace(SETTINGS, mixed_precision=True), Path(sys.argv[1]), kill_at(1))
except Killed:
    print(len(values(model)))
"""


@pytest.mark.slow
def test_no_step_on_jax_gives_away_what_something_else_holds(tmp_path):
    # Keras puts averages in place at the end of each fit: the next one gave their buffers away
    # twice. A twin in mixed precision gave away those of the model it was made of.
    assert int(_run_on_jax(_ANOTHER_FIT, tmp_path).splitlines()[-1]) == len(values(build()))


_EVALUATE = """
import jax
from tests.train.test_loop import SETTINGS, build, task
from quantdet.train.qat_stage import _validation_loss
names = []
def compiled(event, seconds, **about):
    if event.endswith("backend_compile_duration"):
        names.append(about.get("fun_name"))
model = build()
jax.monitoring.register_event_duration_secs_listener(compiled)
_validation_loss(model, task(), SETTINGS)
print(names.count("jit(test_step)") or names)
"""


@pytest.mark.slow
def test_the_start_is_evaluated_by_one_program_on_jax():
    # Two: three batches of 20 examples are of 7, 7 and 6.
    assert _run_on_jax(_EVALUATE).splitlines()[-1] == "2"


def test_xla_stays_off_on_tensorflow():
    assert jit_compile() is False
