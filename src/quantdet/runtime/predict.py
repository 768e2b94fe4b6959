"""Run a detector over pictures, videos and cameras; write what it found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from quantdet.errors import ConfigError, DataError
from quantdet.progress import Tick, no_tick
from quantdet.runtime.detector import Detector
from quantdet.runtime.draw import draw_detections
from quantdet.runtime.live import Ended, Frame, newest_frames, numbered
from quantdet.runtime.outputs import Canvas, OurFiles, OutputNames, open_canvas
from quantdet.runtime.predictions import FORMAT, PREDICTIONS_FILE, Prediction, Predictions
from quantdet.runtime.records import KEPT, Records
from quantdet.runtime.sources import BrokenOffError, Source, find_sources, frame_count

__all__ = ["Frames", "Prediction", "predict_to_folder"]


@dataclass(frozen=True)
class Frames:
    """Which frames of videos, cameras and streams are looked at.

    Attributes:
        most: of each; None: all.
        every: each so many-th.
        newest: of cameras and streams only the newest, so that what is found is never late. So it
            is always where there are several, which are looked at in turn.
    """

    most: int | None = None
    every: int = 1
    newest: bool = False

    def check(self) -> None:
        """Raise ``ConfigError`` if a number is below 1."""
        if self.most is not None and self.most < 1:
            raise ConfigError(f"max_frames is {self.most}; give 1 or more, or leave it out")
        if self.every < 1:
            raise ConfigError(f"every is {self.every}; give 1 for every frame, or more")


def predict_to_folder(  # noqa: PLR0913 - one call with names is the public interface
    detector: Detector,
    inputs: Sequence[str | Path],
    out_dir: Path | str,
    *,
    threshold: float | None = None,
    save_images: bool = True,
    save_csv: bool = False,
    formats: Sequence[str] = (KEPT,),
    max_frames: int | None = None,
    every: int = 1,
    newest: bool = False,
    on_prediction: Callable[[Prediction], None] | None = None,
    progress: Tick = no_tick,
) -> list[Prediction]:
    """Find objects in everything given; write drawn pictures and ``predictions.json``.

    Source pictures are never overwritten. In ``out_dir`` only files that an earlier call wrote
    (its ``predictions.json`` lists them) are replaced; if another file has the name, a number
    is added. A camera or stream runs until Ctrl-C or ``max_frames``. Where anything else is
    interrupted, what is finished is kept and listed: pictures, and a video up to there.

    Args:
        detector: what looks at the pictures.
        inputs: see :func:`quantdet.runtime.sources.find_sources`.
        out_dir: made if missing. NAME.jpg for a picture, NAME.mp4 for a video.
        threshold: confidence threshold of every class; None takes the detector's, which may
            differ by class.
        save_images: False writes no pictures.
        save_csv: the same as "csv" among the formats.
        formats: "json" (predictions.json with everything), "jsonl" (a line a picture, as it comes),
            "csv" (a row a detection), "coco", "yolo", "voc" (annotations for other tools). Without
            "json" nothing is kept, so that memory stays the same however long a camera runs. With
            none of them and without ``save_images`` nothing is written.
        max_frames: most frames looked at of each video, camera or stream; None takes all.
        every: look at each so many-th frame.
        newest: see :class:`Frames`; what is drawn then has fewer frames than the camera gave.
        on_prediction: called with each prediction as it comes.
        progress: called with (pictures done, all pictures); all is 0 where a camera runs.

    Returns:
        One prediction for each picture or frame, in order; without format "json" only those with an
        ``error``. A file among several that cannot be read has its ``error`` set; a video that
        breaks off has one more prediction that says so.

    Raises:
        KeyboardInterrupt: it was interrupted.
        DataError: nothing to read, or no file could be read.
        DependencyError: a video or camera, and OpenCV is not installed.
        ConfigError: threshold, max_frames or every out of range, or a format is unknown.
        QuantdetError: ``out_dir`` cannot be written, or has a predictions.json of another program.
    """
    out_dir = Path(out_dir)
    wanted = Frames(max_frames, every, newest)
    wanted.check()
    sources = find_sources(inputs)
    names = OutputNames(out_dir, sources)
    records = Records((*formats, *(["csv"] if save_csv else [])), names, detector.labels)
    job = _Job(
        _Look(detector, threshold, save_images),
        wanted,
        _Steps(progress, _total(sources, wanted)),
        _Told(records, on_prediction),
    )
    interrupt = None
    try:
        for group in _groups(sources):
            job.run(group, names)
    except KeyboardInterrupt as error:
        interrupt = error
    records.close()
    if not records.good:
        names.close()
        if interrupt is not None:
            raise interrupt
        _stop_if_all_failed(records)
    if formats or save_images or save_csv:
        found = job.look.summary(records, names.all_ours())
        found.save(out_dir / PREDICTIONS_FILE)
    names.close()
    if interrupt is not None:
        raise interrupt
    return records.kept


def _groups(sources: Sequence[Source]) -> list[list[Source]]:
    """Return what is looked at together: all cameras and streams, which never end, at the end."""
    live = [source for source in sources if source.is_live]
    rest = [[source] for source in sources if not source.is_live]
    return [*rest, live] if live else rest


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
class _Told:
    """Who is told of a prediction."""

    records: Records
    also: Callable[[Prediction], None] | None

    def add(self, prediction: Prediction) -> None:
        self.records.add(prediction)
        if self.also is not None:
            self.also(prediction)


@dataclass(frozen=True)
class _Look:
    """What is done with one picture."""

    detector: Detector
    threshold: float | None
    save_images: bool

    def at(self, frame: Frame, target: Path | None, keep: Canvas) -> Prediction:
        """Find and draw."""
        found = self.detector.predict(frame.pixels, threshold=0.0)
        detections = found.above(self.detector.lowest_scores(self.threshold))
        if target is not None:
            keep(draw_detections(frame.pixels, detections))
        return Prediction(
            source=frame.source.name,
            frame=None if frame.source.kind == "picture" else frame.number,
            drawn=None if target is None else target.name,
            size_hw=(frame.pixels.shape[0], frame.pixels.shape[1]),
            inference_ms=self.detector.last_inference_ms,
            detections=detections,
            nearest=found[0] if len(found) and not len(detections) else None,
        )

    def summary(self, records: Records, ours: OurFiles) -> Predictions:
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
            predictions=tuple(item.to_record() for item in records.kept),
            drawn_files=ours.drawn,
            csv_files=ours.tables,
            record_files=ours.records,
        )


@dataclass(frozen=True)
class _Job:
    """What is asked for every source."""

    look: _Look
    frames: Frames
    steps: _Steps
    told: _Told

    def run(self, group: Sequence[Source], names: OutputNames) -> None:
        """Look at sources together and tell what was found; of one that cannot be read, why.

        Raises:
            KeyboardInterrupt: it was interrupted; what was told is finished.
        """
        targets = {
            source: names.choose(source) if self.look.save_images else None for source in group
        }
        mark = self.told.records.mark()
        try:
            with ExitStack() as stack:
                canvases = {
                    source: stack.enter_context(open_canvas(source, target))
                    for source, target in targets.items()
                }
                interrupt = self._look_at_all(group, targets, canvases)
        except DataError as error:
            self.told.records.drop(mark)
            self._failed(Prediction(source=group[0].name, error=str(error)))
            return
        except KeyboardInterrupt:
            self.told.records.drop(mark)  # what they were drawn on is not finished
            raise
        # Ctrl-C is how a camera is stopped.
        if interrupt is not None and not group[0].is_live:
            raise interrupt

    def _look_at_all(
        self,
        group: Sequence[Source],
        targets: Mapping[Source, Path | None],
        canvases: Mapping[Source, Canvas],
    ) -> KeyboardInterrupt | None:
        """Tell of each frame; return what interrupted it behind the first."""
        looked = 0
        try:
            with self._given(group) as frames:
                for frame in frames:
                    source = frame.source
                    self.told.add(self.look.at(frame, targets[source], canvases[source]))
                    self.steps.add()
                    looked += 1
        except BrokenOffError as error:
            broken = Prediction(source=group[0].name, frame=error.frames, error=str(error))
            self._failed(broken)
        except KeyboardInterrupt as error:
            if not looked:
                raise
            return error
        return None

    def _failed(self, prediction: Prediction) -> None:
        self.told.add(prediction)
        self.steps.add()

    @contextmanager
    def _given(self, group: Sequence[Source]) -> Iterator[Iterator[Frame]]:
        """Give the frames that are wanted."""
        if group[0].is_live and (self.frames.newest or len(group) > 1):
            with newest_frames(group, self.frames.every) as items:
                yield self._as_they_are(items, len(group))
        else:
            with closing(numbered(group[0], self.frames.every)) as frames:
                yield islice(frames, self.frames.most)

    def _as_they_are(self, items: Iterator[Frame | Ended], sources: int) -> Iterator[Frame]:
        """Yield the newest frames, at most so many of each source, and tell what went wrong."""
        seen: Counter[Source] = Counter()
        done = 0
        for item in items:
            if not isinstance(item, Frame):
                source, error = item
                if error is not None:
                    self._failed(Prediction(source=source.name, error=str(error)))
                done += seen[source] != self.frames.most
            elif seen[item.source] != self.frames.most:
                seen[item.source] += 1
                done += seen[item.source] == self.frames.most
                yield item
            if done == sources:
                return


def _stop_if_all_failed(records: Records) -> None:
    errors = [item.error for item in records.kept if item.error is not None]
    if errors and len(errors) == records.count:
        more = f" (nor could the other {len(errors) - 1} be read)" if len(errors) > 1 else ""
        raise DataError(errors[0] + more)


def _total(sources: Sequence[Source], wanted: Frames) -> int:
    """Return how many pictures will come, 0 if that is not known."""
    total = 0
    for source in sources:
        frames = _expected(source)
        if source.kind != "picture":
            frames = -(-frames // wanted.every)
            if wanted.most is not None:
                frames = min(frames or wanted.most, wanted.most)
        if not frames:
            return 0
        total += frames
    return total


def _expected(source: Source) -> int:
    try:
        return frame_count(source)
    except DataError:
        return 1  # reported as one failed picture when its turn comes
