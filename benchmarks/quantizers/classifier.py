"""The quantizers on a classifier: objects cut out of VOC pictures, 20 classes.

    python benchmarks/quantizers/classifier.py runs/note --out bench --seeds 3

The float net is the backbone of RUN (a trained run on VOC, preset note) with a dense layer, at 96
pixels, all layers trained on the objects of the training split. Every row is a worker in a process
of its own that reads the same job; top-1 accuracy is that of the .tflite on the objects of the test
split, XNNPACK kernels. What is done already in --out is not done again. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from compare import RIVALS, slug, spread
from environments import make_environment
from exchange import Pictures, write_job

from quantdet import Run
from quantdet.data import Dataset, Sample, load_configured
from quantdet.evaluate import host
from quantdet.export import export_ptq
from quantdet.quant import fold_batch_norm, load_keras
from quantdet.runtime import Engine, read_image, resize, to_real

SIZE, SMALLEST = 96, 24
FLOAT_EPOCHS, FLOAT_RATE = 8, 1e-4
EPOCHS, BATCH, RATE = 3, 32, 1e-5
RIVAL_WORKERS = {
    "litert-quantizer PTQ, min-max": ("ai_edge", "ai_edge_ptq.py", "minmax"),
    "litert-quantizer PTQ, OCTAV": ("ai_edge", "ai_edge_ptq.py", "octav"),
    "TFMOT QAT": ("tfmot", "tfmot_qat.py", "default"),
}
OURS = {
    "float, trained for the QAT steps too": "float",
    "quantdet PTQ": "ptq",
    "quantdet PTQ, per tensor": "ptq_per_tensor",
    "quantdet QAT": "qat",
    "quantdet QAT, per tensor": "qat_per_tensor",
    "quantdet QAT, distilled": "qat_distilled",
    "quantdet QAT, distilled, per tensor": "qat_distilled_per_tensor",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    run = Run.open(arguments.run)
    data = load_configured(run.load_config().data)
    out = arguments.out / "classifier"
    test_x, test_y = objects(data, run.load_config().data.test_split)
    jobs = [make_job(run, data, out, seed) for seed in range(arguments.seeds)]
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}, {len(jobs)} seeds, ", end="")
    print(f"{len(test_y)} test objects\n")
    print("| quantizer | top-1 % | MB | QAT s | export s |\n|---|---|---|---|---|")
    print_row("float", [judged(job / "float.tflite", test_x, test_y) for job in jobs])
    workers = {
        name: (make_environment(environment, arguments.out / "environments"), script, variant)
        for name, (environment, script, variant) in RIVAL_WORKERS.items()
    } | {name: (sys.executable, "quantdet_worker.py", variant) for name, variant in OURS.items()}
    print_row("TFLiteConverter PTQ", [converter_ptq(job, test_x, test_y) for job in jobs])
    for name, worker in workers.items():
        print_row(name, [measured(name, worker, job, (test_x, test_y)) for job in jobs])


def objects(data: Dataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (N, SIZE, SIZE, 3) uint8 and classes of all objects that can be told."""
    cut = [pair for sample in data.splits[split] for pair in cut_out(sample, data.labels)]
    return np.stack([pixels for pixels, _ in cut]), np.array([label for _, label in cut], np.int32)


def cut_out(sample: Sample, labels: tuple[str, ...]) -> list[tuple[np.ndarray, int]]:
    picture = read_image(sample.image_path)
    found = []
    for item in sample.objects:
        x1, y1, x2, y2 = (round(edge) for edge in item.box_xyxy)
        if not item.difficult and min(x2 - x1, y2 - y1) >= SMALLEST:
            pixels = resize(np.ascontiguousarray(picture[y1:y2, x1:x2]), (SIZE, SIZE))
            found.append((pixels, labels.index(item.label)))
    return found


def make_job(run: Run, data: Dataset, out: Path, seed: int) -> Path:
    """Train the float net once; write the job of a seed."""
    job = out / f"job-{seed}"
    if (job / "job.json").exists():
        return job
    x, y = objects(data, "train")
    if seed == 0:
        model = train_float(load_keras(run.float_dir / "model.keras"), x, y, len(data.labels))
    else:
        model = load_keras(out / "job-0" / "float.keras")
    chosen = np.random.default_rng(seed).choice(len(x), 200, replace=False)
    settings = {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE, "seed": seed}
    losses = {"losses": {"scores": "sparse_categorical_crossentropy"}}
    write_job(model, Pictures(x, {"scores": y}, x[chosen]), {**settings, **losses}, job)
    return job


def train_float(source: Any, x: np.ndarray, y: np.ndarray, classes: int) -> Any:
    keras.utils.set_random_seed(0)
    backbone = keras.Model(source.input, source.get_layer("global_pool").output)
    small = keras.models.clone_model(backbone, input_tensors=keras.Input((SIZE, SIZE, 3)))
    small.set_weights(backbone.get_weights())
    logits = keras.layers.Dense(classes, name="class_head")(small.output)
    scores = keras.layers.Activation("softmax", name="class_softmax")(logits)
    model = keras.Model(small.input, {"scores": scores}, name="classifier")
    model.trainable = True
    for layer in model.layers:
        # Statistics of a small set are worse than those of ImageNet.
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    loss = {"scores": "sparse_categorical_crossentropy"}
    model.compile(keras.optimizers.Adam(FLOAT_RATE), loss=loss, jit_compile=False)
    model.fit(to_real(x), {"scores": y}, epochs=FLOAT_EPOCHS, batch_size=BATCH, verbose=2)
    return model


def signed(pixels: np.ndarray) -> np.ndarray:
    return (pixels ^ 128).view(np.int8)


def converter_ptq(job: Path, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    with np.load(job / "calibration.npz") as file:
        calibration = to_real(file["x"])
    path = job / "converter-ptq.tflite"
    start = time.perf_counter()
    if not path.exists():
        export_ptq(fold_batch_norm(load_keras(job / "float.keras")), path, calibration)
    return judged(path, x, y, convert_seconds=time.perf_counter() - start)


def measured(
    name: str, worker: tuple[Any, str, str], job: Path, test: tuple[np.ndarray, np.ndarray]
) -> dict[str, Any]:
    python, script, variant = worker
    out = job.parent / slug(name, int(job.name.removeprefix("job-")))
    if not (out / "result.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        command = [python, RIVALS / script, job, out, "--variant", variant]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
    result = json.loads((out / "result.json").read_text())
    return {**result, **judged(out / "model.tflite", *test)}


def judged(path: Path, x: np.ndarray, y: np.ndarray, **more: float) -> dict[str, Any]:
    engine = Engine(path, num_threads=2)
    inputs = {"float32": to_real, "int8": signed, "uint8": np.asarray}[engine.input.dtype](x)
    answers = [next(iter(engine.run(picture[None]).values())).argmax() for picture in inputs]
    accuracy = float((np.array(answers) == y).mean())
    return {"top1": 100 * accuracy, "bytes": path.stat().st_size, **more}


def print_row(name: str, found: list[dict[str, Any]]) -> None:
    seconds = [
        np.median([row.get(key) or 0.0 for row in found])
        for key in ("train_seconds", "convert_seconds")
    ]
    cells = [name, spread([row["top1"] for row in found], 1), f"{found[0]['bytes'] / 1e6:.2f}"]
    print("|", " | ".join([*cells, *(f"{value:.0f}" for value in seconds)]), "|", flush=True)


if __name__ == "__main__":
    main()
