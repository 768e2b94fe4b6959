"""Measure everything that a run folder holds, and write ``metrics.json``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.atomic import write_json
from quantdet.boxes import yxyx_norm_to_xyxy
from quantdet.config import Config
from quantdet.data.cache import build_cache
from quantdet.data.sample import Dataset
from quantdet.data.selection import single_object_targets
from quantdet.errors import DataError, DependencyError, ModelError
from quantdet.evaluate.end_to_end import Reference, compare_kernels, litert_runner, micro_runner
from quantdet.evaluate.latency import benchmark, host
from quantdet.evaluate.parity import layer_parity, summarize
from quantdet.evaluate.predictors import (
    Predictor,
    file_predictor,
    keras_outputs,
    keras_predictor,
)
from quantdet.evaluate.single_object import single_object_metrics
from quantdet.quant.litert_file import operator_counts, read_litert
from quantdet.runs import Run
from quantdet.runtime.contract import Contract, load_contract
from quantdet.runtime.detector import Detector

Progress = Callable[[str, int, int], None]

# Variant → (file in the run folder, what it is); the order of every table.
VARIANTS: dict[str, tuple[str, str]] = {
    "float_keras": ("float/model.keras", "float Keras"),
    "float_tflite": ("export/model-float32.tflite", "float .tflite"),
    "ptq_tflite": ("export/model-int8-ptq.tflite", "converter's PTQ int8 .tflite"),
    "qat_keras": ("qat/model.keras", "fake-quantized Keras"),
    "uint8_tflite": ("export/model.tflite", "uint8 .tflite"),
}
# Every layer of a few pictures is tens of millions of integers.
_LAYER_PICTURES = 8


class _TestSet:
    """Cached test pictures that have a target."""

    def __init__(self, config: Config, dataset: Dataset, progress: Progress | None) -> None:
        split = config.data.test_split
        cache = build_cache(
            [sample for sample in dataset.splits[split] if sample.annotated],
            (config.model.input_size,) * 2,
            config.data.cache_dir,
            (lambda done, total: progress(f"decode {split}", done, total)) if progress else None,
            skip_bad=config.data.skip_bad,
        )
        targets = single_object_targets(cache.samples, dataset.labels, config.target)
        if not len(targets.indices):
            raise DataError(f"{dataset.root}: split {split!r} has no picture with a target")
        self.pixels: NDArray[np.uint8] = cache.images[targets.indices]
        self.sizes = [sample.size_hw for sample in targets.samples]
        self.class_ids = targets.class_ids
        self.boxes_xyxy = np.stack(
            [
                yxyx_norm_to_xyxy(box, size)
                for box, size in zip(targets.boxes_yxyx_norm, self.sizes, strict=True)
            ]
        )


def evaluate_run(
    run: Run,
    config: Config,
    dataset: Dataset,
    parity_pictures: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure accuracy, size, latency and parity; write and return ``metrics.json``.

    Raises:
        ModelError: the run holds no model at all.
        DataError: no test picture has a target.
    """
    test = _TestSet(config, dataset, progress)
    present = {key: run.root / file for key, (file, _) in VARIANTS.items()}
    present = {key: path for key, path in present.items() if path.is_file()}
    if not present:
        raise ModelError(f"{run.root}: nothing to measure; run `quantdet train` and `export`")
    rows = []
    contract = _any_contract(run)
    for number, (key, path) in enumerate(present.items(), start=1):
        rows.append(_measure(key, path, test, contract))
        if progress is not None:
            progress("measure accuracy", number, len(present))
    metrics: dict[str, Any] = {
        "split": config.data.test_split,
        "target": config.target.model_dump(),
        "host": host(),
        "variants": rows,
        "latency": _latency(present, progress),
    }
    if "uint8_tflite" in present:
        metrics["operators"] = operator_counts(read_litert(run.model_file))
        if parity_pictures and len(present) > 1:
            metrics["parity"] = _parity(run, test, parity_pictures, progress)
    write_json(run.metrics_file, metrics)
    return metrics


def _any_contract(run: Run) -> Contract:
    files = sorted(run.export_dir.glob("*.tflite"))
    if not files:
        raise ModelError(f"{run.root}: has no exported file; run `quantdet export` first")
    return load_contract(files[0])


def _measure(key: str, path: Path, test: _TestSet, contract: Contract) -> dict[str, Any]:
    predictor = _predictor(path, contract)
    answers = predictor(test.pixels, test.sizes)
    metrics = single_object_metrics(answers, test.boxes_xyxy, test.class_ids)
    return {
        "variant": key,
        "name": VARIANTS[key][1],
        "file": VARIANTS[key][0],
        "bytes": path.stat().st_size,
        **metrics.to_dict(),
    }


def _predictor(path: Path, contract: Contract) -> Predictor:
    if path.suffix == ".keras":
        return keras_predictor(load_keras(path), contract)
    return file_predictor(Detector(path))


def load_keras(path: Path) -> Any:
    """Load a Keras model of a run, float or fake-quantized."""
    import keras

    # Registers the fake-quantization layers.
    import quantdet.quant.layers  # noqa: F401

    return keras.saving.load_model(path, compile=False)


def _latency(present: dict[str, Path], progress: Progress | None) -> list[dict[str, Any]]:
    rows = []
    files = {key: path for key, path in present.items() if path.suffix == ".tflite"}
    for number, (key, path) in enumerate(files.items(), start=1):
        results = benchmark(path, threads=(1, 2), warmup=5, runs=40)
        rows += [{"variant": key, **result.to_dict()} for result in results]
        if progress is not None:
            progress("measure latency", number, len(files))
    return rows


def _parity(run: Run, test: _TestSet, count: int, progress: Progress | None) -> dict[str, Any]:
    pixels = test.pixels[:count]
    frozen = load_keras(run.qat_dir / "model.keras")
    contract = load_contract(run.model_file)
    runners = {
        name: litert_runner(run.model_file, contract, name)
        for name in ("reference", "optimized", "xnnpack")
    }
    skipped = {}
    try:
        runners["tflite-micro"] = micro_runner(run.model_file, contract)
    except DependencyError as error:
        skipped["tflite-micro"] = str(error)
    layers = layer_parity(frozen, run.model_file, pixels[:_LAYER_PICTURES])
    if progress is not None:
        progress("check parity", 1, 2)
    floats = load_keras(run.float_dir / "model.keras")
    reference = Reference(
        pixels,
        test.class_ids[:count],
        keras_outputs(frozen, pixels),
        keras_outputs(floats, pixels),
    )
    whole = compare_kernels(contract, runners, reference)
    if progress is not None:
        progress("check parity", 2, 2)
    return {"layers": summarize(layers), "end_to_end": whole, "skipped": skipped}
