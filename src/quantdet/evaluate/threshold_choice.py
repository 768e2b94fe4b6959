"""The thresholds of a model file, chosen on the validation split by best F1 (decision 013)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from quantdet.config import Config, PredictConfig
from quantdet.data.cache import ImageCache
from quantdet.data.sample import Dataset
from quantdet.data.undecoded import model_pictures
from quantdet.detections import Detections
from quantdet.errors import ModelError
from quantdet.evaluate.at_threshold import best_thresholds, count_shown
from quantdet.evaluate.details import test_fingerprint
from quantdet.evaluate.judge import EvaluationSet, Judge, NothingToFindError
from quantdet.evaluate.tasks import find_judge
from quantdet.progress import Progress, Tick
from quantdet.results.thresholds import DEFAULT_SCORE, Thresholds
from quantdet.runtime.contract import Contract, contract_path, file_sha256
from quantdet.runtime.decoders import decode
from quantdet.runtime.engine import Engine
from quantdet.runtime.preprocess import quantize_input
from quantdet.runtime.raw import output_specs
from quantdet.runtime.thresholds import label_thresholds

_PHASE = "choose thresholds"


def choose_thresholds(
    model_file: Path,
    contract: Contract,
    config: Config,
    dataset: Dataset,
    progress: Progress,
) -> Thresholds:
    """Return the thresholds with the best F1 of a file on ``data.val_split``.

    Scores that the configuration sets are kept. What an earlier export of the same file chose on
    the same pictures is read from its contract.

    Args:
        model_file: just exported; its metadata do not matter.
        contract: of it; its thresholds do not matter.
        config: of the run, without ``predict.score_threshold``.
        dataset: with its validation split.
        progress: called with (phase, done, total).

    Raises:
        DataError: a validation picture is faulty.
    """
    split = config.data.val_split
    samples = [sample for sample in dataset.splits.get(split, ()) if sample.annotated]
    if not samples:
        return _default(config.predict, f"there is no annotated split “{split}”")
    report = partial(progress, f"decode {split}")
    cache = model_pictures(samples, contract.input.size_hw, config.data, report)
    try:
        judge = find_judge(config, contract.labels, cache, label_thresholds(contract))
    except NothingToFindError:
        return _default(config.predict, f"split “{split}” has no object that counts")
    key = _key(model_file, config.predict, cache, judge.test)
    known = _chosen_before(model_file, key)
    if known is None:
        answers = _answers(model_file, contract, judge.test, partial(progress, _PHASE))
        known = _choose(judge, list(answers), config, key)
    return known


def contract_thresholds(contract: Contract) -> Thresholds:
    """Return the thresholds of a contract, with what it says of how they were chosen."""
    decoder = contract.decoder
    own = dict(decoder.class_thresholds)
    try:
        told = Thresholds.model_validate(contract.metrics["thresholds"])
        if (told.score, dict(told.per_class)) == (decoder.score_threshold, own):
            return told
    except (KeyError, ValidationError):
        pass
    return Thresholds(score=decoder.score_threshold, per_class=own, chosen="contract")


def _choose(judge: Judge, answers: list[Detections], config: Config, key: str) -> Thresholds:
    fixed, split, test = config.predict.class_thresholds, config.data.val_split, judge.test
    matches = judge.matches(answers)
    best = best_thresholds(matches, test.labels, fixed)
    if best is None:
        return _default(config.predict, f"there is no right detection in split “{split}”")
    score, own = best
    shown = count_shown(matches, np.array([own.get(label, score) for label in test.labels]))
    return Thresholds(
        score=score,
        per_class=own,
        chosen="validation",
        split=split,
        pictures=len(test.samples),
        objects=int(shown.objects.sum()),
        key=key,
        **{name: _plain(value) for name, value in shown.figures().items()},
    )


def _default(predict: PredictConfig, reason: str) -> Thresholds:
    own = predict.class_thresholds
    return Thresholds(score=DEFAULT_SCORE, per_class=own, chosen="default", reason=reason)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 6)


def _answers(
    model_file: Path, contract: Contract, test: EvaluationSet, progress: Tick
) -> Iterator[Detections]:
    """Yield what the file finds, as devices run it."""
    engine = Engine(model_file, signature=contract.signature)
    parts = {part: spec.name for part, spec in output_specs(contract).items()}
    progress(0, len(test.sizes))
    for done, (pixels, size) in enumerate(zip(test.pixels, test.sizes, strict=True), start=1):
        outputs = engine.run(quantize_input(pixels, contract.input)[None])
        yield decode({part: outputs[name] for part, name in parts.items()}, contract, size)
        progress(done, len(test.sizes))


def _key(model_file: Path, predict: PredictConfig, cache: ImageCache, test: EvaluationSet) -> str:
    parts = (file_sha256(model_file), predict.model_dump_json(), cache.key)
    text = " ".join((*parts, test_fingerprint(test)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _chosen_before(model_file: Path, key: str) -> Thresholds | None:
    """Return what the contract of an earlier export of the same file says."""
    try:
        text = contract_path(model_file).read_text("utf-8-sig")
        told = contract_thresholds(Contract.model_validate_json(text))
    except (OSError, UnicodeDecodeError, ValidationError, ModelError):
        return None
    return told if told.key == key else None
