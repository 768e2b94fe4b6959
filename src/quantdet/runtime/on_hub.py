"""Models on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from quantdet.errors import ModelError
from quantdet.system.hub import HubAddress, download, parse_address
from quantdet.system.listing import shown_files

MODEL_FILES = ("*.tflite", "*.contract.json", "README.md", "LICENSE*")
"""Globs of what belongs to a model."""


def hub_model(text: str) -> Path:
    """Return the .tflite that an address means, fetched with its contract where it is not current.

    Args:
        text: ``hf://USER/NAME[@REVISION][/FILE.tflite]``.

    Raises:
        ModelError: no such model, several, or no connection.
        DependencyError: huggingface_hub is not installed.
    """
    address = parse_address(text)
    folder = download(address, MODEL_FILES)
    return folder / (address.file or _only_model(folder, address))


def _only_model(folder: Path, address: HubAddress) -> str:
    files = shown_files(folder, "**/*.tflite")
    names = [file.relative_to(folder).as_posix() for file in files]
    if "model.tflite" in names:
        return "model.tflite"
    if len(names) != 1:
        raise ModelError(
            f"{address}: has {f'several models, {names}' if names else 'no .tflite'}; give one as "
            f"hf://USER/NAME/FILE.tflite"
        )
    return names[0]
