"""The models that come with quantdet: NAME.tflite with NAME.contract.json in package data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from quantdet.errors import ModelError
from quantdet.runtime.contract import contract_path, load_contract
from quantdet.runtime.on_hub import hub_model
from quantdet.system.hub import is_hub_address
from quantdet.system.listing import shown_files

DEFAULT_MODEL = "voc-ssd300"
FOLDER = Path(__file__).parents[1] / "pretrained"


def pretrained_names(folder: Path | str | None = None) -> list[str]:
    """Return the names of the models in the package (or in ``folder``), sorted."""
    folder = None if folder is None else Path(folder)
    files = shown_files(FOLDER if folder is None else folder, "*.tflite")
    return sorted(file.stem for file in files if contract_path(file).is_file())


def pretrained_file(name: str = DEFAULT_MODEL, folder: Path | str | None = None) -> Path:
    """Return the .tflite of a model in the package (or in ``folder``).

    Raises:
        ModelError: unknown name.
    """
    names = pretrained_names(folder)
    if name not in names:
        known = f"it has {', '.join(names)}" if names else "it has none"
        raise ModelError(
            f"model {name!r} is neither a file nor part of this installation of quantdet "
            f"({known}); give another name, a .tflite or a run folder (`quantdet predict --model "
            "…`), or make one with `quantdet run`"
        )
    return (FOLDER if folder is None else Path(folder)) / f"{name}.tflite"


class Pretrained(TypedDict):
    """What users want to know of a model in the package, JSON-ready."""

    name: str
    file: str
    bytes: int
    input: str
    size_hw: list[int]
    labels: list[str]
    metrics: Mapping[str, object]


def describe_pretrained(folder: Path | None = None) -> list[Pretrained]:
    """Return what users want to know of each model in the package (or in ``folder``), JSON-ready.

    Raises:
        ModelError: a contract is not readable.
    """
    found: list[Pretrained] = []
    for name in pretrained_names(folder):
        file = pretrained_file(name, folder)
        contract = load_contract(file)
        found.append(
            {
                "name": name,
                "file": str(file),
                "bytes": file.stat().st_size,
                "input": contract.input.tensor.dtype,
                "size_hw": list(contract.input.size_hw),
                "labels": list(contract.labels),
                "metrics": contract.metrics,
            }
        )
    return found


def find_model(text: Path | str) -> Path:
    """Return the model that a user means: a name of the package, else a file or run folder.

    A file or folder of the same name is meant by a path, e.g. ./voc-ssd300. A model on the Hugging
    Face hub (``hf://USER/NAME``) is fetched.

    Raises:
        ModelError: neither.
        DependencyError: huggingface_hub is not installed.
    """
    if is_hub_address(str(text)):
        return hub_model(str(text))
    if text in pretrained_names():
        return pretrained_file(str(text))
    path = Path(text).expanduser()
    return path if path.exists() else pretrained_file(str(text))


def is_model(text: str) -> bool:
    """Return whether a text means a .tflite or a run folder, so that it cannot be a picture."""
    if is_hub_address(text):
        return True
    path = Path(text).expanduser()
    runs = ("config.toml", "export/model.tflite")
    return path.suffix.lower() == ".tflite" or any((path / name).is_file() for name in runs)
