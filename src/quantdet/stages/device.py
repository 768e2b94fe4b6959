"""Choose Keras' backend and the device it computes on, before Keras is imported."""

from __future__ import annotations

import os
import re
import sys

from quantdet.errors import ConfigError, DependencyError
from quantdet.stages.backend import import_keras_quietly
from quantdet.system.backends import BACKENDS, INSTALL, installed, look
from quantdet.system.gpu import too_few_gpus, why_no_gpu
from quantdet.system.processes import join_processes


def choose_device(backend: str | None = None, device: str | None = None) -> None:
    """Make Keras use a backend and a device; None leaves the choice to Keras and the backend.

    Args:
        backend: out of ``backends.BACKENDS``.
        device: "cpu", "gpu" (the first one) or "gpu:N": as ``nvidia-smi`` counts, or among those
            of CUDA_VISIBLE_DEVICES where that is set.

    Raises:
        ConfigError: no such backend or device, or Keras runs on another one already.
        DependencyError: the backend is not installed.
    """
    if backend is not None:
        _set_backend(backend)
    if device is not None:
        _set_device(device)
        _require(device)


def require_tensorflow() -> None:
    """Tell before a training what its export would end with.

    Raises:
        DependencyError: TensorFlow is not installed.
    """
    if not installed("tensorflow"):
        raise DependencyError(
            "export needs TensorFlow, whatever trains: pip install "
            '"quantdet[train]" or "quantdet[train-cuda]"; `quantdet train` and `quantdet qat` do '
            "without"
        )


def _set_backend(backend: str) -> None:
    if backend not in BACKENDS:
        raise ConfigError(f"backend {backend!r} is unknown; choose one of {', '.join(BACKENDS)}")
    if not installed(backend):
        raise DependencyError(f"backend {backend} is not installed: {INSTALL[backend]}")
    if "keras" in sys.modules:
        import keras

        if keras.backend.backend() != backend:
            raise ConfigError(
                f"Keras runs on {keras.backend.backend()} in this process already; set "
                f"KERAS_BACKEND={backend} before it is imported"
            )
    os.environ["KERAS_BACKEND"] = backend


def _set_device(device: str) -> None:
    """Set what the backends read when they start."""
    if not re.fullmatch(r"cpu|gpu(:\d+)?", device):
        raise ConfigError(f"device {device!r} is unknown; choose cpu, gpu, or gpu:N such as gpu:0")
    if device == "cpu":
        hidden = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu", "KERAS_TORCH_DEVICE": "cpu"}
        os.environ.update(hidden)
    elif device != "gpu":
        # CUDA counts the fastest first unless told.
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        os.environ["CUDA_VISIBLE_DEVICES"] = _cuda_device(int(device.partition(":")[2]))


def _cuda_device(index: int) -> str:
    """Return what CUDA calls a device; a list that is set already, as by Slurm, is what counts."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return str(index)
    visible = [name for name in given.split(",") if name not in ("", "-1")]
    if index >= len(visible):
        raise ConfigError(f"no gpu:{index}: CUDA_VISIBLE_DEVICES={given} shows {len(visible)} GPUs")
    return visible[index]


def _require(device: str) -> None:
    """Compare what was asked for with what the backend, now imported, sees."""
    import_keras_quietly()
    try:
        import keras
    except ImportError:
        return  # the stage says what is missing
    join_processes()
    backend = keras.backend.backend()
    sight = look(backend)
    first = sight["devices"][0]
    if first["id"].partition(":")[0] == device.partition(":")[0]:
        return
    if device == "cpu":
        raise ConfigError(f"{backend} runs on {first['id']} ({first['name']}) in this process")
    number = int(device.partition(":")[2] or 0)
    reason = too_few_gpus(number) or why_no_gpu(backend, installed(backend), sight)
    told = f"{reason.why}; {reason.remedy}" if reason else "quantdet doctor"
    raise ConfigError(f"no {device} for {backend}: {told}")
