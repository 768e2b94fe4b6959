"""``predictions.json``: what ``predict`` found in every picture, and which files it wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, Field, ValidationError

from quantdet.detections import Detection, Detections
from quantdet.errors import QuantdetError
from quantdet.system.atomic import write_json
from quantdet.system.result_file import Part

PREDICTIONS_FILE = "predictions.json"
_KIND = "quantdet-predictions-"
_LAYOUT = 1
FORMAT = f"{_KIND}{_LAYOUT}"


class FoundObject(Part):
    """One detection; the box is left, top, right, bottom in pixels of the upright picture."""

    # What a foreign model answers is told as it is.
    model_config = ConfigDict(allow_inf_nan=True)

    label: str
    class_id: int
    score: float
    box_xyxy: tuple[float, float, float, float]


class PredictionRecord(Part):
    """One picture or frame.

    Attributes:
        source: the file, "camera:0", or the URL of a stream without its password.
        frame: number of the frame within a video, camera or stream, from 0; None for a picture.
        drawn: name of the picture or video with boxes, within the folder.
        size_hw: of the upright picture, in pixels.
        inference_ms: time LiteRT took.
        detections: above the threshold, best first.
        error: why the picture could not be read, or that a video breaks off; everything else is
            empty then.
    """

    source: str
    frame: int | None = None
    drawn: str | None = None
    size_hw: tuple[int, int] = (0, 0)
    inference_ms: float = 0.0
    detections: tuple[FoundObject, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Prediction:
    """What was found in one picture or frame.

    Attributes:
        source: the file, "camera:0", or the URL of a stream without its password.
        frame: number of the frame within a video, camera or stream, from 0; None for a picture.
        drawn: name of the picture or video with boxes, within the output folder.
        size_hw: of the upright picture, in pixels.
        inference_ms: time LiteRT took.
        detections: above the threshold.
        nearest: the best below it where nothing is above; None for nothing at all.
        error: why the picture could not be read, or that a video breaks off; everything else is
            empty then.
    """

    source: str
    frame: int | None = None
    drawn: str | None = None
    size_hw: tuple[int, int] = (0, 0)
    inference_ms: float = 0.0
    detections: Detections = Detections.empty()  # noqa: RUF009 - frozen, so it can be shared
    nearest: Detection | None = None
    error: str | None = None

    def to_record(self) -> PredictionRecord:
        """Return what ``predictions.json`` has of it."""
        return PredictionRecord(
            source=self.source,
            frame=self.frame,
            drawn=self.drawn,
            size_hw=self.size_hw,
            inference_ms=round(self.inference_ms, 3),
            detections=found_objects(self.detections),
            error=self.error,
        )

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values."""
        return self.to_record().model_dump(mode="json")


class _Head(Part):
    """What files of every layout have."""

    format: str = Field(pattern=rf"^{_KIND}\d+$")


class Predictions(_Head):
    """The whole file; one of a later layout is refused by name.

    Attributes:
        format: kind and layout of the file.
        model: path of the .tflite.
        model_sha256: of it.
        threshold: lowest score shown.
        class_thresholds: label → its own lowest score, where it differs; None: not looked for.
        labels: class names in the order of class ids.
        predictions: one for each picture or frame.
        drawn_files: pictures and videos in the folder that are ours to replace.
        csv_files: tables in the folder that are ours to replace.
        record_files: what other formats wrote there, ours to replace.
    """

    model: str = ""
    model_sha256: str = ""
    threshold: float | None = None
    class_thresholds: Mapping[str, float | None] = {}
    labels: tuple[str, ...] = ()
    predictions: tuple[PredictionRecord, ...] = ()
    drawn_files: tuple[str, ...] = ()
    csv_files: tuple[str, ...] = ()
    record_files: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path | str) -> Predictions:
        """Return what a file says.

        Raises:
            QuantdetError: it is not readable, not of ``quantdet predict``, or of a later layout.
        """
        try:
            # Names that are not UTF-8 are escapes which json takes and pydantic does not.
            content = json.loads(Path(path).read_bytes())
            head = _Head.model_validate(content)
            if int(head.format.removeprefix(_KIND)) > _LAYOUT:
                raise QuantdetError(
                    f"{path}: format {head.format!r} was written by a later quantdet; "
                    "update quantdet"
                )
            return cls.model_validate(content)
        except OSError as error:
            raise QuantdetError(f"{path}: not readable ({error.strerror})") from None
        except (ValueError, RecursionError) as error:  # pydantic's errors are ValueErrors
            raise QuantdetError(
                f"{path}: was not written by `quantdet predict` ({_problem(error)})"
            ) from None

    def save(self, path: Path | str) -> None:
        """Write the file in one step."""
        write_json(Path(path), self.model_dump(mode="json"))


def found_objects(detections: Detections) -> tuple[FoundObject, ...]:
    """Return detections as the file has them: scores to 4 digits, boxes to 2."""
    return tuple(map(FoundObject.model_validate, detections.to_list()))


def _problem(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"no JSON: {error}"
    first = error.errors()[0]
    return ": ".join([*map(str, first["loc"]), first["msg"]])
