"""``Detector``: a model file with its contract, from picture to detections."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantdet.detections import Detections
from quantdet.errors import ConfigError, DataError, ModelError
from quantdet.runtime.contract import Contract, TensorSpec, load_contract
from quantdet.runtime.decode import DECODERS, dequantize
from quantdet.runtime.engine import Engine
from quantdet.runtime.preprocess import quantize_input, read_image, resize, rgb_pixels

Picture = Path | str | NDArray[np.uint8] | Image.Image
"""A picture file, uint8 RGB pixels (H, W, 3), or a Pillow image."""

# The contract keeps scales as decimal text, the file as float32.
_SCALE_TOLERANCE = 1e-5
_PIXELS_NDIM = 3


class Detector:
    """Finds objects in pictures with an exported model. Not for several threads at once.

    Args:
        model: a .tflite with its contract beside it, or a run folder.
        threshold: lowest score reported, 0 to 1; None takes the contract's.
        num_threads: for LiteRT; None takes the usable cores, at most 4.
        kernels: see :class:`quantdet.runtime.engine.Engine`.

    Attributes:
        model_file: the .tflite in use.
        contract: of that file.
        threshold: in use.
        last_inference_ms: time LiteRT took for the last picture, without decoding or resizing.

    Raises:
        ModelError: file or contract missing, corrupt, or not of each other.

    Example:
        >>> Detector("runs/voc").predict("street.jpg").names()  # doctest: +SKIP
        ['car']
    """

    def __init__(
        self,
        model: Path | str,
        *,
        threshold: float | None = None,
        num_threads: int | None = None,
        kernels: str = "xnnpack",
    ) -> None:
        self.model_file = _model_file(Path(model))
        # First, because its sha256 keeps damaged files away from native code.
        self.contract = load_contract(self.model_file)
        self._engine = Engine(
            self.model_file,
            num_threads=num_threads,
            kernels=kernels,
            signature=self.contract.signature,
        )
        _check(self.model_file, self.contract, self._engine)
        self.threshold = _threshold(threshold, self.contract.decoder.score_threshold)
        self.last_inference_ms = 0.0

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of class ids."""
        return self.contract.labels

    def predict(self, image: Picture, threshold: float | None = None) -> Detections:
        """Find objects in one picture.

        Args:
            image: see ``Picture``; files and Pillow images are turned upright by their EXIF.
            threshold: lowest score reported, 0 to 1; None takes the detector's.

        Returns:
            Detections in pixels of the upright picture, best first.

        Raises:
            DataError: the picture cannot be read, or the array is not RGB pixels.
        """
        lowest = _threshold(threshold, self.threshold)
        pixels = _pixels(image)
        resized = resize(pixels, self.contract.input.size_hw)
        return self.detect_pixels(resized, (pixels.shape[0], pixels.shape[1])).above(lowest)

    def detect_pixels(
        self, pixels: NDArray[np.uint8], original_size_hw: tuple[int, int]
    ) -> Detections:
        """Return detections of a resized picture, not cut by any threshold.

        Args:
            pixels: uint8 RGB of the model's input size.
            original_size_hw: of the original picture; boxes are in its pixels.

        Raises:
            ModelError: the pixels do not have the model's input size.
        """
        tensor = quantize_input(pixels, self.contract.input)[None]
        start = time.perf_counter()
        outputs = self._engine.run(tensor)
        self.last_inference_ms = 1000 * (time.perf_counter() - start)
        boxes, scores = (
            dequantize(outputs[spec.name], spec)
            for spec in (self.contract.boxes, self.contract.scores)
        )
        decode = DECODERS[self.contract.decoder.kind]
        return decode(boxes, scores, self.contract, original_size_hw)


def _threshold(wanted: float | None, default: float) -> float:
    value = default if wanted is None else wanted
    if not 0 <= value <= 1:
        raise ConfigError(f"threshold is {value}; give a score from 0 to 1")
    return value


def _model_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise ModelError(f"{path}: no such model file or run folder; check the path")
    file = path / "export" / "model.tflite"
    if not file.is_file():
        raise ModelError(
            f"{path}: holds no export/model.tflite; give a .tflite file, or a run folder after "
            "`quantdet export`"
        )
    return file


def _pixels(image: Picture) -> NDArray[np.uint8]:
    if isinstance(image, Path | str):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        try:
            return rgb_pixels(image)
        except (OSError, ValueError) as error:
            raise DataError(f"Pillow image cannot be decoded ({error}); load it again") from None
    if image.dtype != np.uint8 or image.ndim != _PIXELS_NDIM or image.shape[2] != 3:
        raise DataError(
            f"picture is {image.dtype} of shape {image.shape}; "
            "give uint8 RGB of shape (height, width, 3)"
        )
    if image.size == 0:
        raise DataError(f"picture of shape {image.shape} has no pixels")
    return image


def _check(model_file: Path, contract: Contract, engine: Engine) -> None:
    """Compare contract and file.

    Raises:
        ModelError: names what differs.
    """
    for problem in _differences(contract, engine):
        raise ModelError(f"{model_file}: {problem}; export model and contract again")
    if contract.decoder.kind not in DECODERS:
        raise ModelError(
            f"{model_file}: its contract asks for decoder {contract.decoder.kind!r}, this "
            f"version knows {sorted(DECODERS)}; update quantdet"
        )


def _differences(contract: Contract, engine: Engine) -> list[str]:
    problems = []
    wanted_input = (1, *contract.input.size_hw, 3)
    if contract.input.tensor.shape != wanted_input:
        problems.append(
            f"contract: input shape {contract.input.tensor.shape} is not {wanted_input} as size_hw "
            "demands"
        )
    problems += _tensor_differences(contract.input.tensor, engine.input)
    for spec in (contract.boxes, contract.scores):
        if spec.name in engine.outputs:
            problems += _tensor_differences(spec, engine.outputs[spec.name])
        else:
            problems.append(f"has no output {spec.name!r}, only {sorted(engine.outputs)}")
    columns = len(contract.labels) + (contract.background_index is not None)
    if contract.scores.shape[-1] != columns:
        background = "" if contract.background_index is None else " and background"
        problems.append(
            f"scores have {contract.scores.shape[-1]} classes, but the contract names "
            f"{len(contract.labels)} labels{background}"
        )
    return problems


def _tensor_differences(promised: TensorSpec, real: TensorSpec) -> list[str]:
    pairs: list[tuple[str, object, object]] = [
        ("name", promised.name, real.name),
        ("shape", promised.shape, real.shape),
        ("dtype", promised.dtype, real.dtype),
    ]
    if real.dtype != "float32":
        pairs.append(("zero_point", promised.zero_point, real.zero_point))
        if abs(promised.scale - real.scale) > _SCALE_TOLERANCE * real.scale:
            pairs.append(("scale", promised.scale, real.scale))
    return [
        f"{real.name!r} has {what} {value}, the contract says {expected}"
        for what, expected, value in pairs
        if expected != value
    ]
