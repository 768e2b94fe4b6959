"""Models on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
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
        ModelError: no such model or file, several, or no connection.
        DependencyError: huggingface_hub is not installed.
    """
    address = parse_address(text)
    folder = download(address, MODEL_FILES)
    files = shown_files(folder, "**/*.tflite")
    return folder / _choose([file.relative_to(folder).as_posix() for file in files], address)


def _choose(names: Sequence[str], address: HubAddress) -> str:
    """Return the file that is meant out of those of the repository."""
    known = ", ".join(names) or "no .tflite"
    if address.file is not None:
        if address.file not in names:
            raise ModelError(f"{address}: no such .tflite; the repository has {known}")
        return address.file
    if "model.tflite" in names:
        return "model.tflite"
    if len(names) != 1:
        raise ModelError(f"{address}: has {known}; give one as hf://USER/NAME/FILE.tflite")
    return names[0]
