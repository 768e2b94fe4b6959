"""Why a backend computes on the CPU, and the line that changes it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quantdet.system.backends import Sight

_WSL_TOOL = Path("/usr/lib/wsl/lib/nvidia-smi")  # not on every shell's PATH
# A GPU is hidden from CUDA by a list without a number.
_HIDDEN = ("", "-1", "NoDevFiles")
_REPLACE_TENSORFLOW = (
    "pip uninstall -y tensorflow tensorflow-cpu && "
    'pip install --force-reinstall "tensorflow[and-cuda]"'
)
_GPU_BUILD = {
    "tensorflow": _REPLACE_TENSORFLOW,
    "jax": 'pip install "quantdet[jax-cuda]"',
    "torch": 'pip uninstall -y torch && pip install "quantdet[torch]"',
}
_LIBRARIES = {
    "tensorflow": 'pip install --upgrade "tensorflow[and-cuda]"',
    "jax": 'pip install --upgrade "jax[cuda12]"',
    "torch": "pip install --force-reinstall torch",
}


@dataclass(frozen=True)
class Machine:
    """What decides outside of the backends.

    Attributes:
        system: "Linux", "Darwin" or "Windows".
        driver_fault: why NVIDIA's driver does not answer; None if it does.
        environment: variables of the process.
    """

    system: str
    driver_fault: str | None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reason:
    """Why no GPU is used, and what changes it: a line for the shell, or what to do."""

    why: str
    remedy: str


def this_machine() -> Machine:
    """Look at the machine and at NVIDIA's driver."""
    return Machine(platform.system(), _driver_fault(), dict(os.environ))


def why_no_gpu(backend: str, packages: Mapping[str, str], sight: Sight) -> Reason | None:
    """Return why a backend on this machine uses no GPU, None if it does.

    Args:
        backend: out of ``backends.BACKENDS``.
        packages: distribution → version of it.
        sight: what it sees.
    """
    return explain(backend, packages, sight, this_machine())


def explain(
    backend: str, packages: Mapping[str, str], sight: Sight, machine: Machine
) -> Reason | None:
    """Do what :func:`why_no_gpu` does, for any machine."""
    if sight["error"] is not None:
        return Reason(
            f"its import fails: {sight['error']}", "see docs/gpu.md, When a GPU is not used"
        )
    if any(device["id"] != "cpu" for device in sight["devices"]):
        return None
    return (
        _other_system(backend, machine.system)
        or _hidden(backend, machine.environment)
        or _driver(machine)
        or _build(backend, packages, sight)
    )


def _other_system(backend: str, system: str) -> Reason | None:
    if system == "Darwin":
        if backend == "torch":
            return Reason("no Apple GPU (MPS) is available", "train on the CPU")
        return Reason(
            f"{backend} has no GPU build for macOS",
            'pip install "quantdet[torch]", --backend torch',
        )
    if system == "Windows" and backend != "torch":
        return Reason(
            f"{backend} has no GPU build for Windows", "use WSL2: docs/gpu.md, Windows (WSL2)"
        )
    return None


def _hidden(backend: str, environment: Mapping[str, str]) -> Reason | None:
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible in _HIDDEN:
        return Reason(
            f"CUDA_VISIBLE_DEVICES={visible} hides every GPU", "unset CUDA_VISIBLE_DEVICES"
        )
    name = {"jax": "JAX_PLATFORMS", "torch": "KERAS_TORCH_DEVICE"}.get(backend, "")
    if environment.get(name) == "cpu":
        return Reason(f"{name}=cpu asks for the CPU", f"unset {name}")
    return None


def _driver(machine: Machine) -> Reason | None:
    if machine.driver_fault is None:
        return None
    return Reason(
        machine.driver_fault,
        "if there is an NVIDIA GPU, install its driver (on WSL2 that of Windows; in a notebook "
        "choose a runtime with a GPU)",
    )


def _build(backend: str, packages: Mapping[str, str], sight: Sight) -> Reason:
    if backend == "tensorflow" and len(packages) > 1:
        names = " and ".join(sorted(packages))
        return Reason(f"{names} overwrite each other's files", _REPLACE_TENSORFLOW)
    if not sight["gpu_build"]:
        return Reason(f"{_named(packages)} is a build for CPUs", _GPU_BUILD[backend])
    return Reason(
        f"{_named(packages)} does not find its CUDA libraries, or the driver is too old for them",
        _LIBRARIES[backend],
    )


def _named(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items())


def too_few_gpus(index: int) -> Reason | None:
    """Return a reason if NVIDIA's driver counts no GPU of that number."""
    listed = _listed_gpus()
    if isinstance(listed, str) or index < len(listed):
        return None
    return Reason(f"nvidia-smi counts {len(listed)} GPUs, from gpu:0", "choose one of them")


def _driver_fault() -> str | None:
    listed = _listed_gpus()
    return listed if isinstance(listed, str) else None


def _listed_gpus() -> list[str] | str:
    """Return the lines of ``nvidia-smi -L``, or why there are none."""
    tool = shutil.which("nvidia-smi") or (str(_WSL_TOOL) if _WSL_TOOL.exists() else None)
    if tool is None:
        return "no NVIDIA driver: nvidia-smi is not there"
    try:
        done = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the NVIDIA driver does not answer: {error}"
    # A GPU in parts (MIG) has indented lines for them.
    listed = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    if done.returncode or not listed:
        said = (done.stdout + done.stderr).strip()
        return f"the NVIDIA driver does not answer: nvidia-smi -L says {said!r}"
    return listed
