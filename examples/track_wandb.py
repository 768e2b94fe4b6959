"""Train, and follow it in Weights & Biases, offline: `wandb sync` uploads the folder later.

pip install wandb
python examples/track_wandb.py --data MYDATA --out runs/mine --set train.finetune_epochs=20
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import wandb

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
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = config.model_dump(mode="json")
    with wandb.init(
        project="quantdet", mode="offline", dir=arguments.out, config=settings
    ) as tracked:

        def follow(stage: str) -> keras.callbacks.Callback:
            # Of a detector logs["val_map"] is the mean AP, in the epochs that measured it.
            return keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: tracked.log(
                    {f"{stage}/{name}": value for name, value in logs.items()}
                )
            )

        run = run_train(config, arguments.out, callbacks=[follow("float")])
        run_qat(run, callbacks=[follow("qat")])


if __name__ == "__main__":
    main()
