"""Measure everything that a run folder holds, and write ``metrics.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantdet.config import Config
from quantdet.data.configured import load_configured
from quantdet.data.sample import Dataset
from quantdet.data.undecoded import model_pictures
from quantdet.detections import Detections
from quantdet.errors import DataError, ModelError
from quantdet.evaluate.data_state import data_state
from quantdet.evaluate.details import describe_details
from quantdet.evaluate.examples import write_examples
from quantdet.evaluate.file_parity import compare_file
from quantdet.evaluate.judge import EvaluationSet, Judge, Judged
from quantdet.evaluate.latency import benchmark, host
from quantdet.evaluate.parity import layer_parity, summarize
from quantdet.evaluate.predictors import Predictor, file_predictor, keras_predictor
from quantdet.evaluate.tasks import find_judge
from quantdet.evaluate.threshold_choice import contract_thresholds
from quantdet.kinds import find_family
from quantdet.manifest import TrainRecord
from quantdet.progress import Progress, silent
from quantdet.quant.litert_file import operator_counts, read_litert
from quantdet.quant.saved import load_keras
from quantdet.results.metrics import METRICS, AnyMetrics, DataState, Latency, Parity
from quantdet.runs import Run
from quantdet.runtime.contract import Contract, load_contract
from quantdet.runtime.cores import usable_cores
from quantdet.runtime.detector import Detector
from quantdet.runtime.thresholds import label_thresholds
from quantdet.system.listing import shown_files

if TYPE_CHECKING:
    import keras

# Variant → (file in the run folder, what it is); the order of every table.
VARIANTS: dict[str, tuple[str, str]] = {
    "float_keras": ("float/model.keras", "float Keras"),
    "float_tflite": ("export/model-float32.tflite", "float .tflite"),
    "ptq_tflite": ("export/model-int8-ptq.tflite", "converter's PTQ int8 .tflite"),
    "qat_keras": ("qat/model.keras", "fake-quantized Keras"),
    "uint8_tflite": ("export/model.tflite", "uint8 .tflite"),
}
# Variants whose answers are drawn beside the truth; of the floats the first that is there.
_DRAWN = (("float_keras", "float_tflite"), ("uint8_tflite",))
# Every layer of a few pictures is tens of millions of integers.
_LAYER_PICTURES = 8


def evaluate_run(
    run: Run,
    config: Config,
    dataset: Dataset,
    parity_pictures: int,
    progress: Progress = silent,
) -> AnyMetrics:
    """Measure accuracy, size, latency and parity; write and return ``metrics.json``.

    Next to it is ``details.json``, see :mod:`quantdet.evaluate.details`.

    Accuracy is what the model's judge (:data:`quantdet.evaluate.tasks.JUDGES`) says. A few test
    pictures are drawn into ``examples/`` of the run, with the ground truth next to the predictions.

    Args:
        run: what exists in it is measured.
        config: of the run.
        dataset: with the test split, and with the others as far as they are at hand.
        parity_pictures: pictures for the parity checks; 0 leaves them out.
        progress: called with (phase, done, total).

    Raises:
        ModelError: the run holds no model at all.
        DataError: no test picture has anything to find.
        DependencyError: a library that measures is not installed.
    """
    present = {key: run.root / file for key, (file, _) in VARIANTS.items()}
    present = {key: path for key, path in present.items() if path.is_file()}
    if not present:
        raise ModelError(f"{run.root}: nothing to measure; run `quantdet train` and `export`")
    contract = _shipped_contract(run)
    thresholds = label_thresholds(contract)
    judge = _judge(config, dataset, thresholds, progress)
    load = cache(load_keras)
    answers = {
        key: _answers(_predictor(path, contract, load), judge.test, VARIANTS[key][1], progress)
        for key, path in present.items()
    }
    judged = judge.judge(answers)
    content: dict[str, object] = {
        "task": config.model.name,
        "split": config.data.test_split,
        **judge.facts,
        "host": host(),
        "thresholds": contract_thresholds(contract),
        "data": _data_state(run, config, dataset, progress),
        "variants": [_row(key, path, judged) for key, path in present.items()],
        **judged.together,
        "latency": _latency(present, progress),
    }
    if "uint8_tflite" in present:
        content |= _file_facts(run.model_file)
        if parity_pictures and len(present) > 1:
            models = load(run.qat_dir / "model.keras"), load(run.float_dir / "model.keras")
            content["parity"] = _parity(run.model_file, models, judge, parity_pictures, progress)
    describe_details(judge.test, answers, judged, thresholds).save(run.details_file)
    metrics = METRICS[find_family(config.model.name)].build(content)
    metrics.save(run.metrics_file)
    _draw_examples(run, judge.test, answers, thresholds)
    return metrics


def _row(variant: str, path: Path, judged: Judged) -> dict[str, object]:
    file, name = VARIANTS[variant]
    size = path.stat().st_size
    return {"variant": variant, "name": name, "file": file, "bytes": size} | judged.metrics[variant]


def _file_facts(model_file: Path) -> dict[str, object]:
    """Return how often each operator is in the file, and how many tensors are float."""
    file = read_litert(model_file)
    floats = sum("float" in tensor.dtype for tensor in file.tensors)
    return {"operators": operator_counts(file), "float_tensors": floats}


def _data_state(run: Run, config: Config, dataset: Dataset, progress: Progress) -> DataState:
    if config.data.train_split not in dataset.splits:
        return DataState(reason="the training pictures are not here, or not readable")
    trained_on = run.recorded(TrainRecord).data_fingerprint
    try:
        return data_state(dataset, config.data, trained_on, partial(progress, "check data"))
    except DataError as error:
        return DataState(reason=str(error))


def open_judge(run: Run, progress: Progress = silent) -> Judge:
    """Return the judge of a run: its test pictures, decoded, and how answers are rated.

    Args:
        run: after ``train``.
        progress: called with (phase, done, total).

    Raises:
        QuantdetError: the run is not trained, or its test split cannot be had or has nothing to
            find.
    """
    config = run.load_config()
    dataset = load_configured(config.data, run.labels(), (config.data.test_split,))
    return _judge(config, dataset, label_thresholds(_shipped_contract(run)), progress)


def _judge(
    config: Config, dataset: Dataset, thresholds: NDArray[np.float64], progress: Progress
) -> Judge:
    split = config.data.test_split
    samples = [sample for sample in dataset.splits[split] if sample.annotated]
    if not samples:
        raise DataError(
            f"{dataset.root}: no picture of split {split!r} is annotated; set data.test_split to "
            f"one that is (splits: {', '.join(dataset.splits)})"
        )
    size_hw = (config.model.input_size, config.model.input_size)
    cache = model_pictures(samples, size_hw, config.data, partial(progress, f"decode {split}"))
    return find_judge(config, dataset.labels, cache, thresholds)


def _shipped_contract(run: Run) -> Contract:
    """Return the contract of the product, or of another file as long as there is none."""
    files = sorted(shown_files(run.export_dir, "*.tflite"), key=lambda path: path != run.model_file)
    for file in files:
        contract = load_contract(file)
        # Keras models give raw outputs, which a file that decodes itself does not describe.
        if contract.decoder.kind != "post_processed":
            return contract
    raise ModelError(f"{run.root}: has no exported file; run `quantdet export` first")


def _predictor(path: Path, contract: Contract, load: Callable[[Path], keras.Model]) -> Predictor:
    if path.suffix == ".keras":
        return keras_predictor(load(path), contract)
    return file_predictor(Detector(path))


def _answers(
    predictor: Predictor, test: EvaluationSet, name: str, progress: Progress
) -> list[Detections]:
    found = []
    for detections in predictor(test.pixels, test.sizes):
        found.append(detections)
        progress(f"measure {name}", len(found), len(test.sizes))
    return found


def _draw_examples(
    run: Run,
    test: EvaluationSet,
    answers: Mapping[str, Sequence[Detections]],
    thresholds: NDArray[np.float64],
) -> None:
    drawn = [next((key for key in group if key in answers), None) for group in _DRAWN]
    shown = {
        VARIANTS[key][1]: [found.above(thresholds) for found in answers[key]]
        for key in drawn
        if key is not None
    }
    write_examples(run.examples_dir, test, shown)


def _latency(present: dict[str, Path], progress: Progress) -> list[Latency]:
    rows = []
    files = {key: path for key, path in present.items() if path.suffix == ".tflite"}
    for number, (key, path) in enumerate(files.items(), start=1):
        results = benchmark(path, threads=_threads(), warmup=5, runs=40)
        rows += [Latency(variant=key, **asdict(result)) for result in results]
        progress("measure latency", number, len(files))
    return rows


def _threads() -> tuple[int, ...]:
    """Return 1, 2, 4 … up to what this process may use, 2 at least and 8 at most."""
    return tuple(count for count in (1, 2, 4, 8) if count <= max(2, usable_cores()))


def _parity(
    model_file: Path,
    models: tuple[keras.Model, keras.Model],
    judge: Judge,
    count: int,
    progress: Progress,
) -> Parity:
    """Compare the file with the models (quantized, float) that it was made of."""
    pixels, sizes = judge.test.pixels[:count], judge.test.sizes[:count]
    progress("check parity of layers", 0, 1)
    layers = layer_parity(models[0], model_file, pixels[:_LAYER_PICTURES])
    progress("check parity of layers", 1, 1)
    tick = partial(progress, "check parity of answers")
    whole = compare_file(model_file, models, (pixels, sizes), judge.agreement, tick)
    return Parity(layers=summarize(layers), end_to_end=whole.end_to_end, skipped=whole.skipped)
