"""Which observer should be the default: every one on several nets, calibrated only.

    python benchmarks/observers.py detector=runs/ssd demo=runs/demo localizer=runs/note \
      --classifier runs/note --out runs/observers --seeds 3

NAME=RUN are trained runs; the classifier is that of quantizers/classifier.py, made from a run of
preset note. No training: 100 calibration pictures, drawn anew with each seed, as the products do
it. Measured is the uint8 .tflite (XNNPACK kernels) on the test split: accuracy as the run's judge
sees it, and the signal-to-quantization-noise ratio of each output against the float net. Outputs
whose range the task fixes (logits of an SSD) are compared within it. What is done already in --out
is not done again. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from quantdet import Run, export_integer, load_config, prepare_qat
from quantdet.data import load_configured
from quantdet.evaluate import decode_batch, host, keras_outputs, open_judge
from quantdet.export import export_float, write_contract
from quantdet.quant import OBSERVERS, load_keras, set_output_ranges, sqnr_db
from quantdet.runtime import PIXEL_RANGE, Engine, dequantize, to_real
from quantdet.train import build_task, calibration_pictures

PICTURES = 100
BATCH = 16
# Figure in the metrics of a judge → its title and factor.
FIGURES = {
    "map_voc07": ("VOC07 mAP", 100.0),
    "class_accuracy": ("class accuracy %", 100.0),
    "mean_iou": ("mean IoU × 100", 100.0),
}

Outputs = dict[str, np.ndarray]
Row = dict[str, float]


@dataclass(frozen=True)
class Subject:
    """A float net with its pictures.

    Attributes:
        model: float Keras model, outputs by name.
        pixels: test pictures, uint8 (N, H, W, 3).
        calibration: seed → model inputs (PICTURES, H, W, 3).
        accuracy: (real outputs of all test pictures) → title → figure.
        output_ranges: see ``PictureTask``.
    """

    model: Any
    pixels: np.ndarray
    calibration: Callable[[int], np.ndarray]
    accuracy: Callable[[Outputs], Row]
    output_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--classifier", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(
        f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}, {arguments.seeds} seeds",
        flush=True,
    )
    seeds = range(arguments.seeds)
    for item in arguments.runs:
        name, run = item.split("=", 1)
        table(name, run_subject(Run.open(Path(run)), arguments.out / name), arguments.out, seeds)
    if arguments.classifier:
        subject = classifier(Run.open(arguments.classifier), arguments.out)
        table("classifier", subject, arguments.out, seeds)


def run_subject(run: Run, file: Path) -> Subject:
    config = run.load_config()
    data = load_configured(config.data)
    task = build_task(config, data)
    judge = open_judge(run)

    def calibration(seed: int) -> np.ndarray:
        wanted = [f"qat.calibration_images={PICTURES}", f"qat.seed={seed}"]
        return calibration_pictures(load_config(run.config_file, overrides=wanted), task)

    model = load_keras(run.float_dir / "model.keras")
    # Real outputs are decoded as those of the float file.
    path = export_float(model, file.with_suffix(".tflite"))
    contract = write_contract(path, config, data.labels, "")

    def accuracy(outputs: Outputs) -> Row:
        answers = decode_batch(outputs, contract, judge.test.sizes)
        metrics = judge.judge({"it": answers}).metrics["it"]
        return {
            title: factor * metrics[key]
            for key, (title, factor) in FIGURES.items()
            if key in metrics
        }

    return Subject(model, judge.test.pixels, calibration, accuracy, task.output_ranges)


def classifier(run: Run, out: Path) -> Subject:
    sys.path.append(str(Path(__file__).parent / "quantizers"))
    from classifier import objects, train_float

    data = load_configured(run.load_config().data)
    x, y = objects(data, "train")
    test_x, test_y = objects(data, run.load_config().data.test_split)
    file = out / "classifier.keras"
    if not file.exists():
        source = load_keras(run.float_dir / "model.keras")
        train_float(source, x, y, len(data.labels)).save(file)

    def calibration(seed: int) -> np.ndarray:
        return to_real(x[np.random.default_rng(seed).choice(len(x), PICTURES, replace=False)])

    def accuracy(outputs: Outputs) -> Row:
        return {"top-1 %": 100 * float((outputs["scores"].argmax(-1) == test_y).mean())}

    return Subject(load_keras(file), test_x, calibration, accuracy)


def table(name: str, subject: Subject, out: Path, seeds: Sequence[int]) -> None:
    floats = keras_outputs(subject.model, subject.pixels)
    exact = subject.accuracy(floats)
    titles = [*exact, *(f"{output} dB" for output in floats), "prepare s"]
    print(f"\n{name}, {len(subject.pixels)} test pictures\n")
    print("| observer |", " | ".join(titles), "|")
    print("|---" * (len(titles) + 1) + "|")
    cells = [f"{value:.1f}" for value in exact.values()] + [""] * (len(floats) + 1)
    print("| float |", " | ".join(cells), "|")
    for observer in OBSERVERS:
        rows = [
            measured(subject, floats, observer, out / f"{name}-{observer}-{seed}", seed)
            for seed in seeds
        ]
        cells = [spread([row[title] for row in rows]) for title in titles]
        print(f"| {observer} |", " | ".join(cells), "|", flush=True)


def measured(subject: Subject, floats: Outputs, observer: str, file: Path, seed: int) -> Row:
    """Return the figures of one observer and seed; made once."""
    done = file.with_suffix(".json")
    if not done.exists():
        start = time.perf_counter()
        prepared = prepare_qat(
            subject.model,
            batches(subject.calibration(seed)),
            observer=observer,
            input_range=PIXEL_RANGE,
        )
        seconds = time.perf_counter() - start
        set_output_ranges(prepared, subject.output_ranges)
        path = export_integer(prepared, file.with_suffix(".tflite"))
        outputs = file_outputs(path, subject.pixels)
        row = {**subject.accuracy(outputs), **noise(outputs, floats, subject.output_ranges)}
        done.write_text(json.dumps({**row, "prepare s": seconds}))
    found: Row = json.loads(done.read_text())
    return found


def batches(pictures: np.ndarray) -> Iterator[np.ndarray]:
    return (pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH))


def file_outputs(path: Path, pixels: np.ndarray) -> Outputs:
    """Return the real outputs of a uint8 file for all pictures, the batch in front."""
    engine = Engine(path)
    answers = [engine.run(picture[None]) for picture in pixels]
    return {
        name: dequantize(np.concatenate([answer[name] for answer in answers]), spec)
        for name, spec in engine.outputs.items()
    }


def noise(outputs: Outputs, floats: Outputs, ranges: Mapping[str, tuple[float, float]]) -> Row:
    found = {}
    for name, exact in floats.items():
        wanted = np.clip(exact, *ranges[name]) if name in ranges else exact
        found[f"{name} dB"] = sqnr_db(wanted, outputs[name])
    return found


def spread(values: list[float]) -> str:
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.1f} ± {deviation:.1f}"


if __name__ == "__main__":
    main()
