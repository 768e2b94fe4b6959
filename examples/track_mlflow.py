"""Train, and follow it in MLflow, in a folder: `mlflow ui --backend-store-uri OUT/mlruns` shows it.

pip install mlflow
python examples/track_mlflow.py --data MYDATA --out runs/mine --set train.finetune_epochs=20
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path

import keras
import mlflow

from quantdet import load_config, run_qat, run_train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="ssd")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    values = {"data": {"root": arguments.data}}
    config = load_config(preset=arguments.preset, overrides=arguments.overrides, values=values)
    # MLflow 3 prefers a database, and wants to be told that a folder is meant.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((arguments.out / "mlruns").resolve().as_uri())
    mlflow.set_experiment("quantdet")
    with mlflow.start_run(run_name=arguments.out.name):
        mlflow.log_params(config.train.model_dump(mode="json"))
        run = run_train(config, arguments.out, callbacks=[follow("float")])
        run_qat(run, callbacks=[follow("qat")])


def follow(stage: str) -> keras.callbacks.Callback:
    """Return a callback that logs every epoch of a stage, also where that has two phases."""
    steps = itertools.count(1)
    # Of a detector logs["val_map"] is the mean AP, in the epochs that measured it.
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: mlflow.log_metrics(
            {f"{stage}/{name}": value for name, value in logs.items()}, step=next(steps)
        )
    )


if __name__ == "__main__":
    main()
