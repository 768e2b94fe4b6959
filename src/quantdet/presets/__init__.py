"""Configurations that come with quantdet, one TOML file each; ``--preset`` names them."""

from __future__ import annotations

from importlib import resources

__all__ = ["preset_names", "preset_text"]

_FOLDER = resources.files("quantdet") / "presets"
_SUFFIX = ".toml"


def preset_names() -> list[str]:
    """Return the names of the presets, sorted."""
    files = (file.name for file in _FOLDER.iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX))


def preset_text(name: str) -> str:
    """Return the TOML of a preset."""
    return (_FOLDER / f"{name}{_SUFFIX}").read_text("utf-8")
