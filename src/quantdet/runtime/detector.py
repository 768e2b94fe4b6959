"""``Detector``: a model file with its contract, from picture to detections."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from quantdet.detections import Detections
from quantdet.errors import ModelError
from quantdet.runtime.contract import load_contract
from quantdet.runtime.decoders import decode
from quantdet.runtime.engine import Engine
from quantdet.runtime.fit import check_fit
from quantdet.runtime.on_hub import hub_model
from quantdet.runtime.picture import Picture, Pictures, drawer, pixels_of
from quantdet.runtime.preprocess import fit_picture, quantize_input
from quantdet.runtime.pretrained import DEFAULT_MODEL, pretrained_file
from quantdet.runtime.raw import output_specs
from quantdet.runtime.thresholds import check_threshold, label_thresholds
from quantdet.system.hub import is_hub_address


class Detector:
    """Finds objects in pictures with an exported model.

    Threads may share it, a forked process may go on using it, and it can be pickled (its model as
    path and sha256; another file at that path is refused): see :class:`quantdet.runtime.Engine`.

    Args:
        model: a .tflite with its contract next to it or inside, a run folder, or a model on the
            Hugging Face hub (``hf://USER/NAME``; needs ``quantdet[hub]``). For the models that come
            with quantdet see :meth:`pretrained`.
        threshold: confidence threshold of every class, 0 to 1; None takes the contract's,
            which may differ by class.
        class_thresholds: label → its own threshold, which replaces ``threshold``.
        classes: labels reported; None reports all.
        num_threads: for LiteRT; None takes the usable cores, at most 4.
        kernels: see :class:`quantdet.runtime.Engine`.
        agnostic_nms: suppress across classes: of two boxes that overlap too much only the better
            stays, whatever their classes.

    Attributes:
        model_file: the .tflite in use.
        contract: of that file.
        threshold: in use, of classes without their own.
        last_inference_ms: time LiteRT took for the last picture of any thread, without decoding
            or resizing.

    Raises:
        ModelError: file or contract missing or corrupt, or they do not match.
        ConfigError: a threshold out of range, or a class that the model does not know.

    Example:
        >>> Detector("runs/voc").predict("street.jpg").names()  # doctest: +SKIP
        ['car', 'person']
    """

    def __init__(  # noqa: PLR0913 - one call with names is the public interface
        self,
        model: Path | str,
        *,
        threshold: float | None = None,
        class_thresholds: Mapping[str, float] | None = None,
        classes: Collection[str] | None = None,
        num_threads: int | None = None,
        kernels: str = "xnnpack",
        agnostic_nms: bool = False,
    ) -> None:
        self.model_file = _model_file(model)
        # First, because its sha256 keeps damaged files away from native code.
        self.contract = load_contract(self.model_file)
        if agnostic_nms:
            decoder = self.contract.decoder.model_copy(update={"agnostic_nms": True})
            self.contract = self.contract.model_copy(update={"decoder": decoder})
        self._engine = Engine(
            self.model_file,
            num_threads=num_threads,
            kernels=kernels,
            signature=self.contract.signature,
        )
        check_fit(self.model_file, self.contract, self._engine)
        self._parts = {part: spec.name for part, spec in output_specs(self.contract).items()}
        self._lowest = label_thresholds(self.contract, threshold, class_thresholds, classes)
        default = self.contract.decoder.score_threshold
        self.threshold = default if threshold is None else threshold
        self.last_inference_ms = 0.0

    @classmethod
    def pretrained(
        cls, name: str = DEFAULT_MODEL, *, folder: Path | str | None = None, **options: Any
    ) -> Detector:
        """Return a detector with a model that comes with quantdet.

        Args:
            name: one of :func:`quantdet.pretrained_names`.
            folder: where models lie; None for those of the package.
            options: threshold, class_thresholds, classes, num_threads, kernels, agnostic_nms: see
                the class.

        Raises:
            ModelError: no such model; the message lists those that are there.

        Example:
            >>> Detector.pretrained("voc-ssd300").labels[:2]  # doctest: +SKIP
            ('aeroplane', 'bicycle')
        """
        return cls(pretrained_file(name, folder), **options)

    def __repr__(self) -> str:
        height, width = self.contract.input.size_hw
        return (
            f"Detector({self.model_file.name!r}: {width} x {height} pixels, "
            f"{len(self.labels)} classes, {self.contract.task})"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of class ids."""
        return self.contract.labels

    def lowest_scores(self, threshold: float | None = None) -> NDArray[np.float64]:
        """Return the lowest score reported of each label, shape (labels,).

        Args:
            threshold: as of :meth:`predict`.

        Returns:
            Scores from 0 to 1; infinite for a class that is not reported.

        Raises:
            ConfigError: threshold out of range.
        """
        if threshold is None:
            return self._lowest
        return np.where(np.isinf(self._lowest), self._lowest, check_threshold(threshold))

    @overload
    def predict(self, image: Picture, threshold: float | None = None) -> Detections: ...
    @overload
    def predict(self, image: Pictures, threshold: float | None = None) -> list[Detections]: ...
    def predict(
        self, image: Picture | Pictures, threshold: float | None = None
    ) -> Detections | list[Detections]:
        """Find objects in one picture, or in each of a list.

        Args:
            image: see ``Picture``; files and Pillow images are turned upright by their EXIF. A list
                or tuple of them is a batch.
            threshold: confidence threshold of every class, 0 to 1; None takes the detector's.
                Below ``contract.decoder.min_score`` nothing more is found.

        Returns:
            Detections in pixels of the upright picture, best first; a list of them for a batch.

        Raises:
            DataError: the picture cannot be read, is none, or the array is not RGB pixels.
            ConfigError: threshold out of range.
        """
        if isinstance(image, list | tuple):
            return [self.predict(item, threshold) for item in image]
        lowest = self.lowest_scores(threshold)
        pixels = pixels_of(image)
        resized = fit_picture(pixels, self.contract.input)
        found = self.detect_pixels(resized, (pixels.shape[0], pixels.shape[1])).above(lowest)
        return replace(found, draw=drawer(image))

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
        parts = {part: outputs[name] for part, name in self._parts.items()}
        return decode(parts, self.contract, original_size_hw)


def _model_file(model: Path | str) -> Path:
    if not isinstance(model, str | PathLike):
        raise ModelError(
            f"model is {type(model).__name__}; give the path of a .tflite file or a run folder"
        )
    if is_hub_address(str(model)):
        return hub_model(str(model))
    path = Path(model)
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
