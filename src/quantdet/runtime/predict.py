"""Run a detector over pictures and videos; write what it found as pictures, JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantdet.detections import Detection, Detections
from quantdet.errors import ConfigError, DataError
from quantdet.progress import Tick, no_tick
from quantdet.runtime.detector import Detector
from quantdet.runtime.draw import draw_detections
from quantdet.runtime.outputs import Canvas, OurFiles, OutputNames, open_canvas
from quantdet.runtime.predictions import (
    FORMAT,
    PREDICTIONS_FILE,
    PredictionRecord,
    Predictions,
    found_objects,
)
from quantdet.runtime.sources import Source, find_sources, frame_count, read_frames
from quantdet.system.atomic import write_text

_FORMULAS = ("=", "+", "-", "@")
_CSV_COLUMNS = ("source", "frame", "label", "class_id", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Prediction:
    """What was found in one picture or frame.

    Attributes:
        source: the file, or "camera:0".
        frame: number of the frame within a video or camera, from 0; None for a picture.
        drawn: name of the picture or video with boxes, within the output folder.
        size_hw: of the upright picture, in pixels.
        inference_ms: time LiteRT took.
        detections: above the threshold.
        nearest: the best below it where nothing is above; None for nothing at all.
        error: why the picture could not be read; everything else is empty then.
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


def predict_to_folder(  # noqa: PLR0913 - one call with names is the public interface
    detector: Detector,
    inputs: Sequence[str | Path],
    out_dir: Path | str,
    *,
    threshold: float | None = None,
    save_images: bool = True,
    save_csv: bool = False,
    max_frames: int | None = None,
    progress: Tick = no_tick,
) -> list[Prediction]:
    """Find objects in everything given; write drawn pictures and ``predictions.json``.

    Source pictures are never overwritten. In ``out_dir`` only files that an earlier call wrote
    (its ``predictions.json`` lists them) are replaced; if another file has the name, a number
    is added. A camera runs until Ctrl-C or ``max_frames``. Where anything else is interrupted, what
    is finished is kept and listed: pictures, and a video up to there.

    Args:
        detector: what looks at the pictures.
        inputs: see :func:`quantdet.runtime.sources.find_sources`.
        out_dir: made if missing. NAME.jpg for a picture, NAME.mp4 for a video.
        threshold: confidence threshold of every class; None takes the detector's, which may
            differ by class.
        save_images: False writes no pictures.
        save_csv: also write predictions.csv, one row for each detection.
        max_frames: most frames taken from each video or camera; None takes all.
        progress: called with (pictures done, all pictures); all is 0 where a camera runs.

    Returns:
        One prediction for each picture or frame, in order. A file among several that cannot be
        read has its ``error`` set.

    Raises:
        KeyboardInterrupt: it was interrupted.
        DataError: nothing to read, or no file could be read.
        DependencyError: a video or camera, and OpenCV is not installed.
        ConfigError: threshold or max_frames out of range.
        QuantdetError: ``out_dir`` cannot be written, or has a predictions.json of another program.
    """
    out_dir = Path(out_dir)
    if max_frames is not None and max_frames < 1:
        raise ConfigError(f"max_frames is {max_frames}; give 1 or more, or leave it out")
    sources = find_sources(inputs)
    names = OutputNames(out_dir, sources)
    job = _Job(detector, threshold, max_frames, _Steps(progress, _total(sources, max_frames)))
    predictions: list[Prediction] = []
    interrupt = None
    try:
        for source in sources:
            job.run(source, names.choose(source) if save_images else None, predictions)
    except KeyboardInterrupt as error:
        interrupt = error
    if all(item.error is not None for item in predictions):
        names.close()
        if interrupt is not None:
            raise interrupt
        _stop_if_all_failed(predictions)
    if save_csv:
        write_text(names.choose_table(), _csv(predictions))
    job.summary(predictions, names.all_ours()).save(out_dir / PREDICTIONS_FILE)
    names.close()
    if interrupt is not None:
        raise interrupt
    return predictions


def _csv(predictions: Iterable[Prediction]) -> str:
    """Return one row for each detection, under a row of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for item in predictions:
        for found in item.detections.to_records():
            where = (item.source, "" if item.frame is None else item.frame)
            writer.writerow(map(_cell, (*where, *found.values())))
    return text.getvalue()


def _cell(value: object) -> object:
    """Return a text so that no spreadsheet takes it for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value


class _Steps:
    """Counts pictures for the progress callback."""

    def __init__(self, progress: Tick, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self) -> None:
        self._done += 1
        # The header of a video may promise too few frames.
        self._progress(self._done, max(self._total, self._done) if self._total else 0)


@dataclass(frozen=True)
class _Job:
    """What is asked for every source."""

    detector: Detector
    threshold: float | None
    max_frames: int | None
    steps: _Steps

    def run(self, source: Source, target: Path | None, predictions: list[Prediction]) -> None:
        """Look at one source and add what was found; if it cannot be read, what is wrong.

        Raises:
            KeyboardInterrupt: it was interrupted; what is added was finished before.
        """
        start = len(predictions)
        try:
            with open_canvas(source, target) as keep, closing(read_frames(source)) as frames:
                interrupt = self._look_at_all(source, target, keep, frames, predictions)
        except DataError as error:
            self.steps.add()
            predictions[start:] = [Prediction(source=source.name, error=str(error))]
            return
        except KeyboardInterrupt:
            del predictions[start:]  # what they were drawn on is not finished
            raise
        # Ctrl-C is how a camera is stopped.
        if interrupt is not None and source.kind != "camera":
            raise interrupt

    def _look_at_all(
        self,
        source: Source,
        target: Path | None,
        keep: Canvas,
        frames: Iterable[NDArray[np.uint8]],
        predictions: list[Prediction],
    ) -> KeyboardInterrupt | None:
        """Add a prediction for each frame; return what interrupted it behind the first."""
        start = len(predictions)
        try:
            for image in islice(frames, self.max_frames):
                prediction = self._look(source, len(predictions) - start, image, target)
                if target is not None:
                    keep(draw_detections(image, prediction.detections))
                predictions.append(prediction)
                self.steps.add()
        except KeyboardInterrupt as error:
            if len(predictions) == start:
                raise
            return error
        return None

    def summary(self, predictions: Iterable[Prediction], ours: OurFiles) -> Predictions:
        """Return the content of predictions.json."""
        lowest = self.detector.threshold if self.threshold is None else self.threshold
        own = zip(
            self.detector.labels, self.detector.lowest_scores(self.threshold).tolist(), strict=True
        )
        return Predictions(
            format=FORMAT,
            model=str(self.detector.model_file),
            model_sha256=self.detector.contract.sha256,
            threshold=lowest,
            class_thresholds={
                label: value if math.isfinite(value) else None
                for label, value in own
                if value != lowest
            },
            labels=self.detector.labels,
            predictions=tuple(item.to_record() for item in predictions),
            drawn_files=ours.drawn,
            csv_files=ours.tables,
        )

    def _look(
        self, source: Source, number: int, image: NDArray[np.uint8], target: Path | None
    ) -> Prediction:
        found = self.detector.predict(image, threshold=0.0)
        detections = found.above(self.detector.lowest_scores(self.threshold))
        return Prediction(
            source=source.name,
            frame=None if source.kind == "picture" else number,
            drawn=None if target is None else target.name,
            size_hw=(image.shape[0], image.shape[1]),
            inference_ms=self.detector.last_inference_ms,
            detections=detections,
            nearest=found[0] if len(found) and not len(detections) else None,
        )


def _stop_if_all_failed(predictions: Sequence[Prediction]) -> None:
    errors = [item.error for item in predictions if item.error is not None]
    if errors and len(errors) == len(predictions):
        more = f" (nor could the other {len(errors) - 1} be read)" if len(errors) > 1 else ""
        raise DataError(errors[0] + more)


def _total(sources: Sequence[Source], max_frames: int | None) -> int:
    """Return how many pictures will come, 0 if that is not known."""
    total = 0
    for source in sources:
        frames = _expected(source)
        if source.kind != "picture" and max_frames is not None:
            frames = min(frames or max_frames, max_frames)
        if not frames:
            return 0
        total += frames
    return total


def _expected(source: Source) -> int:
    try:
        return frame_count(source)
    except DataError:
        return 1  # reported as one failed picture when its turn comes
