"""Tiny detectors of every decoder, as quantdet exports them."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantdet.export.metadata import embed_contract
from tests.runtime.helpers import make_contract, tiny_model

KINDS = ("ssd", "single", "grid")


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> dict[str, Path]:
    """Models as the converter writes them, without metadata and contract, by kind."""
    folder = tmp_path_factory.mktemp("plain")
    files = {}
    for kind in KINDS:
        files[kind] = folder / f"{kind}.tflite"
        files[kind].write_bytes(tiny_model(kind, "uint8"))
    return files


@pytest.fixture
def tiny(plain, tmp_path) -> dict[str, Path]:
    """Copies with metadata and contract, for a test to spoil, by kind."""
    files = {}
    for kind, file in plain.items():
        files[kind] = tmp_path / "tiny" / file.name
        files[kind].parent.mkdir(exist_ok=True)
        files[kind].write_bytes(file.read_bytes())
        embed_contract(files[kind], make_contract(files[kind], kind))
    return files
