"""Keras' backends: which are installed, and which devices they see."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import TypedDict

from quantdet.system.child_environment import child_environment
from quantdet.system.processor import processor_name

# Backend → distributions that provide it.
_DISTRIBUTIONS = {
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "jax": ("jax",),
    "torch": ("torch",),
}
BACKENDS = tuple(_DISTRIBUTIONS)
"""Names, as ``KERAS_BACKEND`` has them."""
INSTALL = {
    "tensorflow": 'pip install "quantdet[train]" (CPU) or "quantdet[train-cuda]" (NVIDIA GPU)',
    "jax": 'pip install "quantdet[jax]" (CPU) or "quantdet[jax-cuda]" (NVIDIA GPU)',
    "torch": 'pip install "quantdet[torch]"',
}
"""Backend → how to get it."""
_JAX_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "jax_rocm60_plugin")
_SECONDS = 180.0


class Device(TypedDict):
    """A device: "cpu" or "gpu:N" of the machine, and what its maker calls it."""

    id: str
    name: str


class Sight(TypedDict):
    """What a backend sees.

    Attributes:
        devices: Keras computes on the first.
        gpu_build: whether it was built to use a GPU.
        error: what its import ended with.
    """

    devices: list[Device]
    gpu_build: bool
    error: str | None


def installed(backend: str) -> dict[str, str]:
    """Return distribution → version of what provides a backend; empty if it cannot be imported."""
    if importlib.util.find_spec(backend) is None:
        return {}
    found = {}
    for name in _DISTRIBUTIONS[backend]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found or {backend: "present"}


def list_devices(backend: str) -> list[Device]:
    """Return the devices of a backend, imported into this process; Keras' own is the first."""
    found = [
        Device(id=f"{kind}:{_outer_index(index)}", name=name)
        for index, (kind, name) in enumerate(_ACCELERATORS[backend]())
    ]
    return found or [Device(id="cpu", name=processor_name())]


def look_from_outside(backends: tuple[str, ...]) -> list[Sight]:
    """Return what each backend sees, asked in processes that run side by side."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_ask, backends))


def _ask(backend: str) -> Sight:
    command = [sys.executable, "-m", __name__, backend]
    try:
        done = subprocess.run(
            command,
            env=child_environment(TF_CPP_MIN_LOG_LEVEL="3"),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Sight(devices=[], gpu_build=False, error=f"no answer in {_SECONDS:.0f} s")
    if done.returncode:
        said = done.stderr.strip().rsplit("\n", 1)[-1] or f"exit status {done.returncode}"
        return Sight(devices=[], gpu_build=False, error=said)
    sight: Sight = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
    return sight


def look(backend: str) -> Sight:
    """Return what a backend sees in this process, into which it is imported."""
    return Sight(devices=list_devices(backend), gpu_build=_BUILT[backend](), error=None)


def _outer_index(index: int) -> int:
    """Return the number outside of this process, where CUDA_VISIBLE_DEVICES counts anew."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return int(visible[index]) if index < len(visible) and visible[index].isdigit() else index


def _tensorflow_accelerators() -> list[tuple[str, str]]:
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    gpus = tf.config.list_physical_devices("GPU")
    return [("gpu", details(gpu).get("device_name", gpu.name)) for gpu in gpus]


def _jax_accelerators() -> list[tuple[str, str]]:
    import jax

    found = [(device.platform, device.device_kind) for device in jax.local_devices()]
    return [(kind, name) for kind, name in found if kind != "cpu"]


def _torch_accelerators() -> list[tuple[str, str]]:
    import torch

    if os.environ.get("KERAS_TORCH_DEVICE") == "cpu":
        return []
    if torch.backends.mps.is_available():
        return [("gpu", "Apple GPU (MPS)")]
    names = map(torch.cuda.get_device_name, range(torch.cuda.device_count()))
    return [("gpu", name) for name in names]


def _tensorflow_built() -> bool:
    import tensorflow as tf

    return bool(tf.test.is_built_with_gpu_support())


def _jax_built() -> bool:
    return any(importlib.util.find_spec(name) for name in _JAX_PLUGINS)


def _torch_built() -> bool:
    import torch

    return bool(torch.version.cuda or torch.version.hip or torch.backends.mps.is_built())


_ACCELERATORS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "tensorflow": _tensorflow_accelerators,
    "jax": _jax_accelerators,
    "torch": _torch_accelerators,
}
_BUILT: dict[str, Callable[[], bool]] = {
    "tensorflow": _tensorflow_built,
    "jax": _jax_built,
    "torch": _torch_built,
}


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1])))
