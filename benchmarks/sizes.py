"""What input size, width, head and recipe make of file, working memory and time, without training.

    python benchmarks/sizes.py --out sizes

Random weights: none of these figures depends on them. The six classes of generated scenes. The
arena is the smallest of TFLite-Micro on this machine, the time the median of one inference on one
thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from quantdet import (
    Run,
    benchmark,
    generate_scenes,
    load_config,
    run_export,
    run_qat,
    run_train,
    run_verify,
)

# Label → preset and what is set beyond it.
SIZES = {
    "a detector as it is": ("ssd", ()),
    "`--imgsz 192`": ("ssd", ("model.input_size=192",)),
    "`--set model.width=0.5`": ("ssd", ("model.width=0.5",)),
    "`--imgsz 160 --set model.width=0.35`": ("ssd", ("model.input_size=160", "model.width=0.35")),
    "`--preset recommended --imgsz 96 --set model.width=0.35`": (
        "recommended",
        ("model.input_size=96", "model.width=0.35"),
    ),
}
ALWAYS = ("model.weights=none", "train.epochs=0", "train.finetune_epochs=0", "train.min_steps=0")
QUICKLY = ("qat.epochs=0", "qat.calibration_images=8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    scenes = generate_scenes(out / "scenes", count=30)
    print("| | file, MB | arena, KiB | ms |\n|---|---|---|---|")
    for number, (label, (preset, sets)) in enumerate(SIZES.items()):
        run = untrained(out / f"run{number}", scenes, preset, sets)
        (micro,) = run_verify(run, ["tflite-micro"], pictures=2).targets
        ms = benchmark(run.model_file, threads=(1,), warmup=5, runs=50)[0].median_ms
        size, arena = run.model_file.stat().st_size / 1e6, micro.details["arena_bytes"] // 1024
        print(f"| {label} | {size:.2f} | {arena} | {ms:.1f} |", flush=True)


def untrained(folder: Path, scenes: Path, preset: str, sets: tuple[str, ...]) -> Run:
    """Return a run with the integer file of an untrained model."""
    data = {"root": scenes, "cache_dir": folder.parent / "cache"}
    config = load_config(preset=preset, values={"data": data}, overrides=[*ALWAYS, *QUICKLY, *sets])
    run = run_train(config, folder)
    run_qat(run)
    run_export(run, ("uint8",))
    return run


if __name__ == "__main__":
    main()
