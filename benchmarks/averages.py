"""Which average of the weights, and how much of the start: one training, many results.

    python benchmarks/averages.py --data VOCdevkit/VOC2007 --out runs/averages
    python benchmarks/averages.py ... --set train.finetune_epochs=1     # to try the script

Trains the float model of preset voc_ssd300 once, keeps a moving average of its weights by every
rule of AVERAGES beside, and measures each on the test split; one rule also mixed with shares of
the start (``train.start_share``). Prints Markdown for docs/log.md.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops

from quantdet import Run, load_config, run_train
from quantdet.evaluate import decode_batch, host, keras_outputs, open_judge
from quantdet.export import export_float, write_contract
from quantdet.quant import load_keras
from quantdet.train import LayerwiseAdamW

Weights = list[np.ndarray]
MOST = 0.998
AVERAGES: dict[str, Callable[[Any], Any]] = {
    "none: the last step": lambda t: 0.0 * t,
    "momentum t / (t + 9)": lambda t: ops.minimum(t / (t + 9), MOST),
    "momentum t / (t + 4)": lambda t: ops.minimum(t / (t + 4), MOST),
    "constant momentum 0.998, as Keras has it": lambda t: MOST + 0.0 * t,
}
MIXED = "momentum t / (t + 4)"
SHARES = (0.05, 0.1, 0.15, 0.2)


class Averaging(LayerwiseAdamW):
    """The optimizer of the training, with an average by every rule beside its own."""

    averages: ClassVar[dict[str, list[Any]]] = {}
    start: ClassVar[Weights] = []

    def build(self, variables: Sequence[Any]) -> None:
        super().build(variables)
        if self.averages:
            return
        Averaging.start = [np.array(ops.convert_to_numpy(variable)) for variable in variables]
        Averaging.averages = {
            name: [keras.Variable(value, trainable=False) for value in Averaging.start]
            for name in AVERAGES
        }

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        super()._update_model_variables_moving_average(trainable_variables)
        steps = ops.cast(self.iterations, "float32")
        for name, rule in AVERAGES.items():
            share = rule(steps)
            for variable, average in zip(trainable_variables, self.averages[name], strict=True):
                average.assign(share * average + (1 - share) * variable)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    overrides = ["train.start_share=0", *arguments.overrides]
    values = {"data": {"root": arguments.data}}
    config = load_config(preset="voc_ssd300", overrides=overrides, values=values)
    # The training loop makes its optimizer by this name.
    with patch(f"{LayerwiseAdamW.__module__}.{LayerwiseAdamW.__name__}", Averaging):
        run = run_train(config, arguments.out)
    if not Averaging.averages:
        parser.error(f"{arguments.out}: is trained already; give a new folder")
    averages = Averaging.averages.items()
    results = {name: list(map(ops.convert_to_numpy, found)) for name, found in averages}
    start = Averaging.start
    results["the start itself"] = start
    for share in SHARES:
        mixed = zip(results[MIXED], start, strict=True)
        results[f"{MIXED}, {share:.0%} of the start"] = [
            (1 - share) * trained + share * before for trained, before in mixed
        ]
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}\n")
    print("| average | VOC07 mAP | VOC10 mAP | COCO AP |\n|---|---|---|---|")
    measure = measurer(run)
    for name, weights in results.items():
        print(
            f"| {name} | {' | '.join(f'{value:.1f}' for value in measure(weights))} |", flush=True
        )


def measurer(run: Run) -> Callable[[Weights], list[float]]:
    """Return a function from trained weights to figures in percent."""
    config = run.load_config()
    model = load_keras(run.float_dir / "model.keras")
    names = [layer.name for layer in model.layers]
    trained = model.layers[names.index(config.train.finetune_from) :]
    variables = [variable for layer in trained for variable in layer.trainable_variables]
    judge = open_judge(run)
    file = export_float(model, run.root / "model.tflite")
    contract = write_contract(file, config, run.labels(), "")

    def measure(weights: Weights) -> list[float]:
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)
        outputs = keras_outputs(model, judge.test.pixels)
        answers = decode_batch(outputs, contract, judge.test.sizes)
        found = judge.judge({"file": answers}).metrics["file"]
        return [
            100 * value for value in (found["map_voc07"], found["map_voc10"], found["coco"]["ap"])
        ]

    return measure


if __name__ == "__main__":
    main()
