"""quantdet doctor: what is there and how to get the rest."""

import shutil

import pytest

from quantdet import __version__
from quantdet.cli import doctor
from quantdet.system import backends, gpu
from quantdet.system.backends import Sight
from quantdet.system.gpu import Machine, explain

CPU = [{"id": "cpu", "name": "A CPU"}]
GPU = [{"id": "gpu:0", "name": "A GPU"}]


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    """Backends take seconds to start."""
    monkeypatch.setattr(doctor, "look_from_outside", lambda names: [sight() for _ in names])


def sight(devices=CPU, gpu_build=True, error=None):
    return Sight(devices=devices, gpu_build=gpu_build, error=error)


@pytest.fixture
def bare(monkeypatch):
    """A machine with nothing on it."""
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_everything_missing_has_an_install_line(bare):
    result = doctor.examine()
    items = [*result["packages"], *result["programs"]]
    assert {"mediapipe", "playwright", "chromium", "npm", "gcc"} <= {item["name"] for item in items}
    assert all("install" in item["install"] for item in items)
    text = doctor.render(result)
    for item in items:
        assert item["install"] in text
    assert text.count("missing") == len(items)
    assert "no backend to train with: pip install" in text


def test_any_name_of_a_program_will_do(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/clang" if name == "clang" else None)
    programs = {item["name"]: item for item in doctor.examine()["programs"]}
    assert programs["gcc"]["path"] == "/usr/bin/clang"
    assert programs["gcc"]["install"] is None
    assert programs["npm"]["path"] is None


def test_doctor_names_itself():
    assert doctor.render(doctor.examine()).startswith(f"quantdet {__version__}, Python ")


def test_versions_of_what_is_there():
    packages = {item["name"]: item for item in doctor.examine()["packages"]}
    assert packages["ai-edge-litert"]["version"][0].isdigit()
    assert packages["ai-edge-litert"]["install"] is None


CPU_BUILD = sight(gpu_build=False)
FAULT = "no NVIDIA driver: nvidia-smi is not there"


@pytest.mark.parametrize(
    ("packages", "seen", "machine", "why", "remedy"),
    [
        (
            *("tensorflow-cpu", CPU_BUILD, {"driver_fault": FAULT}),
            *(FAULT, "install its driver"),
        ),
        (
            *("tensorflow-cpu", CPU_BUILD, {}),
            *("tensorflow-cpu 1.0 is a build for CPUs", "pip uninstall -y tensorflow "),
        ),
        (
            *("tensorflow tensorflow-cpu", sight(), {}),
            *("overwrite each other", "pip uninstall -y tensorflow tensorflow-cpu && "),
        ),
        (
            *("tensorflow", sight(), {}),
            *("does not find its CUDA libraries", '--upgrade "tensorflow[and-cuda]"'),
        ),
        (
            *("jax", CPU_BUILD, {}),
            *("jax 1.0 is a build for CPUs", 'pip install "quantdet[jax-cuda]"'),
        ),
        (
            *("jax", sight(), {"environment": {"JAX_PLATFORMS": "cpu"}}),
            *("asks for the CPU", "unset JAX_PLATFORMS"),
        ),
        (
            *("torch", sight(), {"environment": {"CUDA_VISIBLE_DEVICES": "-1"}}),
            *("hides every GPU", "unset CUDA_VISIBLE_DEVICES"),
        ),
        (
            *("torch", CPU_BUILD, {}),
            *("torch 1.0 is a build for CPUs", "pip uninstall -y torch"),
        ),
        ("jax", CPU_BUILD, {"system": "Darwin"}, "no GPU build for macOS", "--backend torch"),
        ("tensorflow", CPU_BUILD, {"system": "Windows"}, "no GPU build for Windows", "WSL2"),
        ("jax", sight([], error="ImportError: broken"), {}, "ImportError: broken", "docs/gpu.md"),
    ],
)
def test_why_no_gpu_is_used(packages, seen, machine, why, remedy):
    names = packages.split()
    machine = Machine(**{"system": "Linux", "driver_fault": None, **machine})
    reason = explain(names[0].removesuffix("-cpu"), dict.fromkeys(names, "1.0"), seen, machine)
    assert why in reason.why
    assert remedy in reason.remedy


def test_a_gpu_that_is_used_needs_no_reason():
    machine = Machine("Linux", FAULT, {"CUDA_VISIBLE_DEVICES": "-1"})
    assert explain("jax", {"jax": "1.0"}, sight(GPU), machine) is None


def test_backends_in_the_text(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda name: {name: "1.0"})
    seen = [sight(GPU), CPU_BUILD, sight([], error="ImportError: broken")]
    monkeypatch.setattr(doctor, "look_from_outside", lambda names: seen)
    monkeypatch.setattr(gpu, "_listed_gpus", lambda: ["GPU 0: A GPU"])
    monkeypatch.setattr(gpu.platform, "system", lambda: "Linux")
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "KERAS_TORCH_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    result = doctor.examine()
    assert [item["why_no_gpu"] is None for item in result["backends"]] == [True, False, False]
    assert doctor.render(result).splitlines()[1:8] == [
        "tensorflow (tensorflow 1.0) uses gpu:0 A GPU",
        "jax (jax 1.0) uses cpu A CPU",
        "  no GPU: jax 1.0 is a build for CPUs",
        '  change it: pip install "quantdet[jax-cuda]"',
        "torch (torch 1.0) uses nothing",
        "  no GPU: its import fails: ImportError: broken",
        "  change it: see docs/gpu.md, When a GPU is not used",
    ]


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("echo 'GPU 0: NVIDIA A'; echo '  MIG 1g.10gb Device 0'; echo 'GPU 1: NVIDIA B'", None),
        ("echo 'Driver/library version mismatch'; exit 18", "Driver/library version mismatch"),
        ("echo 'No devices found.'", "No devices found."),
    ],
)
def test_the_driver_is_asked(script, fault, tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setattr(gpu.shutil, "which", lambda name: str(tool))
    found = gpu.this_machine().driver_fault
    assert (fault in found) if fault else found is None
    too_few = gpu.too_few_gpus(2)
    assert (too_few is None) if fault else "counts 2 GPUs" in too_few.why


def test_devices_are_counted_as_the_machine_does(monkeypatch):
    monkeypatch.setitem(backends._ACCELERATORS, "jax", lambda: [("gpu", "A"), ("gpu", "B")])
    for visible, ids in (("", ["gpu:0", "gpu:1"]), ("3,1", ["gpu:3", "gpu:1"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert [device["id"] for device in backends.list_devices("jax")] == ids


def test_a_backend_is_asked_in_a_process_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so is missing')")
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = backends.look_from_outside(("torch",))
    assert found["devices"] == []
    assert found["error"] == "ImportError: libcudart.so is missing"


@pytest.mark.skipif(not backends.installed("tensorflow"), reason="needs TensorFlow")
def test_the_backend_of_this_machine_answers():
    (found,) = backends.look_from_outside(("tensorflow",))
    assert found["error"] is None
    assert all(device["name"] for device in found["devices"])
    built = any(name == "tensorflow" for name in backends.installed("tensorflow"))
    assert built or not found["gpu_build"]
