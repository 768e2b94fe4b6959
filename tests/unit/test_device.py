"""--backend and --device: what Keras runs on."""

import sys
from types import SimpleNamespace

import pytest

from quantdet.errors import ConfigError, DependencyError
from quantdet.stages import device
from quantdet.stages.device import choose_device
from quantdet.system import gpu
from quantdet.system.backends import Sight

VARIABLES = (
    *("KERAS_BACKEND", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),
    *("JAX_PLATFORMS", "KERAS_TORCH_DEVICE"),
)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """A process in which Keras has not started, on a machine with two GPUs."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setattr(device, "installed", lambda name: {name: "1.0"})
    monkeypatch.setattr(gpu, "_listed_gpus", lambda: ["GPU 0: A", "GPU 1: B"])
    monkeypatch.setattr(gpu.platform, "system", lambda: "Linux")
    return device.os.environ


@pytest.fixture
def keras(monkeypatch):
    """What Keras runs on once it is imported."""

    def runs_on(backend, *ids):
        fake = SimpleNamespace(backend=SimpleNamespace(backend=lambda: backend))
        monkeypatch.setattr(
            device,
            "import_keras_quietly",
            lambda: monkeypatch.setitem(sys.modules, "keras", fake),
        )
        devices = [{"id": name, "name": "made up"} for name in ids]
        sight = Sight(devices=devices, gpu_build=True, error=None)
        monkeypatch.setattr(device, "look", lambda name: sight)
        return fake

    return runs_on


def test_nothing_asked_for_is_nothing_set(environment):
    before = dict(environment)
    choose_device()
    assert dict(environment) == before


def test_the_backend_is_set_before_keras_starts(environment):
    choose_device("jax")
    assert environment["KERAS_BACKEND"] == "jax"


@pytest.mark.parametrize(
    ("wanted", "given", "visible"),
    [("cpu", None, "-1"), ("gpu", None, None), ("gpu:1", None, "1"), ("gpu:1", "3,2", "2")],
)
def test_a_device_is_what_cuda_shows(wanted, given, visible, environment, keras):
    keras("jax", "cpu" if wanted == "cpu" else "gpu:0")
    if given:
        environment["CUDA_VISIBLE_DEVICES"] = given
    choose_device("jax", wanted)
    assert environment.get("CUDA_VISIBLE_DEVICES") == visible
    assert environment.get("JAX_PLATFORMS") == ("cpu" if wanted == "cpu" else None)


@pytest.mark.parametrize(
    ("wanted", "given", "said"),
    [
        ("cuda", None, "device 'cuda' is unknown; choose cpu, gpu, or gpu:N"),
        ("gpu:", None, "is unknown"),
        ("gpu:2", None, "no gpu:2 for jax: nvidia-smi counts 2 GPUs, from gpu:0"),
        ("gpu:1", "3", "no gpu:1: CUDA_VISIBLE_DEVICES=3 shows 1 GPUs"),
        ("gpu", None, "no gpu for jax: jax 1.0 does not find its CUDA libraries"),
        ("gpu", "", "CUDA_VISIBLE_DEVICES= hides every GPU; unset CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_device_that_is_not_there_is_refused(wanted, given, said, environment, keras):
    keras("jax", "cpu")
    if given is not None:
        environment["CUDA_VISIBLE_DEVICES"] = given
    with pytest.raises(ConfigError) as refused:
        choose_device("jax", wanted)
    assert said in str(refused.value)


def test_a_backend_that_is_not_there_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match="backend 'theano' is unknown; choose one of tensorflow"):
        choose_device("theano")
    monkeypatch.setattr(device, "installed", lambda name: {})
    with pytest.raises(DependencyError, match=r"torch is not installed: pip install .*\[torch\]"):
        choose_device("torch")


def test_run_needs_tensorflow_whatever_trains(monkeypatch):
    device.require_tensorflow()
    monkeypatch.setattr(device, "installed", lambda name: {})
    with pytest.raises(DependencyError, match=r'export needs TensorFlow.*"quantdet\[train\]"'):
        device.require_tensorflow()


def test_a_process_has_one_backend(keras, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", keras("tensorflow", "cpu"))
    with pytest.raises(ConfigError, match="runs on tensorflow in this process already"):
        choose_device("jax")


def test_a_gpu_that_has_started_is_not_taken_for_a_cpu(keras):
    keras("tensorflow", "gpu:0")
    with pytest.raises(ConfigError, match="tensorflow runs on gpu:0"):
        choose_device(device="cpu")
