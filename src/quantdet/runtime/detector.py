"""``Detector``: a model file with its contract, from picture to detections."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.detections import Detections
from quantdet.errors import DataError, ModelError
from quantdet.runtime.contract import Contract, TensorSpec, load_contract
from quantdet.runtime.decode import DECODERS, dequantize
from quantdet.runtime.engine import Engine
from quantdet.runtime.preprocess import quantize_input, read_image, resize

_SCALE_TOLERANCE = 1e-4


class Detector:
    """Finds objects in pictures with an exported model.

    Args:
        model: a .tflite with its contract beside it, or a run folder.
        threshold: lowest score reported; None takes the contract's.
        num_threads: for LiteRT.
        kernels: see :class:`quantdet.runtime.engine.Engine`.

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
        self._engine = Engine(self.model_file, num_threads=num_threads, kernels=kernels)
        self.contract = load_contract(self.model_file)
        _check(self.model_file, self.contract, self._engine)
        default = self.contract.decoder.score_threshold
        self.threshold = default if threshold is None else threshold
        self.last_inference_ms = 0.0

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of class ids."""
        return self.contract.labels

    def predict(
        self, image: Path | str | NDArray[np.uint8] | Any, threshold: float | None = None
    ) -> Detections:
        """Find objects in one picture.

        Args:
            image: path, uint8 RGB array (H, W, 3), or Pillow image.
            threshold: lowest score reported; None takes the detector's.

        Raises:
            DataError: the picture cannot be read.
        """
        picture = read_image(Path(image)) if isinstance(image, str | Path) else _as_rgb(image)
        pixels = resize(picture, self.contract.input.size_hw)
        height, width = picture.shape[:2]
        found = self.detect_pixels(pixels, (height, width))
        return found.above(self.threshold if threshold is None else threshold)

    def detect_pixels(self, pixels: NDArray[np.uint8], size_hw: tuple[int, int]) -> Detections:
        """Return unfiltered detections of a picture that is resized already.

        Args:
            pixels: uint8 RGB of the model's input size.
            size_hw: of the original picture; boxes are in its pixels.
        """
        tensor = quantize_input(pixels, self.contract.input)[None]
        start = time.perf_counter()
        outputs = self._engine.run(tensor)
        self.last_inference_ms = 1000 * (time.perf_counter() - start)
        boxes = dequantize(outputs[self.contract.boxes.name], self.contract.boxes)[0]
        scores = dequantize(outputs[self.contract.scores.name], self.contract.scores)[0]
        return DECODERS[self.contract.decoder.kind](boxes, scores, self.contract, size_hw)


def _model_file(path: Path) -> Path:
    file = path / "export" / "model.tflite" if path.is_dir() else path
    if not file.is_file():
        hint = f"; make it with `quantdet export {path}`" if path.is_dir() else ""
        raise ModelError(f"{file}: no such model{hint}")
    return file


def _as_rgb(image: Any) -> NDArray[np.uint8]:
    pixels = image if isinstance(image, np.ndarray) else np.asarray(image.convert("RGB"))
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(
            f"picture has shape {pixels.shape} and type {pixels.dtype}; "
            "give uint8 RGB of shape (height, width, 3)"
        )
    return pixels


def _check(model_file: Path, contract: Contract, engine: Engine) -> None:
    """Compare contract and file.

    Raises:
        ModelError: names what differs.
    """
    pairs = [(contract.input.tensor, engine.input)]
    for spec in (contract.boxes, contract.scores):
        if spec.name not in engine.outputs:
            raise ModelError(
                f"{model_file}: has no output {spec.name!r}, only {sorted(engine.outputs)}"
            )
        pairs.append((spec, engine.outputs[spec.name]))
    for spec, found in pairs:
        difference = _difference(spec, found)
        if difference:
            raise ModelError(
                f"{model_file}: {spec.name!r} {difference}; export model and contract again"
            )
    if contract.decoder.kind not in DECODERS:
        raise ModelError(
            f"{model_file}: contract asks for decoder {contract.decoder.kind!r}, known are "
            f"{sorted(DECODERS)}; update quantdet"
        )
    expected = len(contract.labels) + (contract.background_index is not None)
    if contract.scores.shape[-1] != expected:
        raise ModelError(
            f"{model_file}: scores have {contract.scores.shape[-1]} classes, but the contract "
            f"names {len(contract.labels)} labels"
        )


def _difference(spec: TensorSpec, found: TensorSpec) -> str | None:
    if found.shape != spec.shape:
        return f"has shape {found.shape}, the contract says {spec.shape}"
    if found.dtype != spec.dtype:
        return f"is {found.dtype}, the contract says {spec.dtype}"
    if (
        abs(found.scale - spec.scale) > _SCALE_TOLERANCE * spec.scale
        or found.zero_point != spec.zero_point
    ):
        return (
            f"has scale {found.scale} and zero point {found.zero_point}, the contract says "
            f"{spec.scale} and {spec.zero_point}"
        )
    return None
