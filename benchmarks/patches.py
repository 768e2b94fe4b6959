"""Patch-wise files beside the ordinary one: every integer on real pictures, and what they cost.

    python benchmarks/patches.py VOCdevkit/VOC2007 --pictures 60 --patches 2x2 3x3 4x4

Every integer of every output is compared, on LiteRT's reference kernels, XNNPACK and TFLite-Micro.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from quantdet.evaluate.end_to_end import Runner, litert_runner, micro_runner
from quantdet.export.patches import Patches
from quantdet.runtime.contract import Contract, load_contract
from quantdet.runtime.preprocess import resize
from quantdet.runtime.pretrained import pretrained_file
from quantdet.stages.patches import FileCost, patch_model

KERNELS = ("reference", "xnnpack", "tflite-micro")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="VOC folder")
    parser.add_argument("--model", type=Path, default=pretrained_file())
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--patches", nargs="+", default=["2x2", "3x3", "4x4"])
    given = parser.parse_args()
    contract = load_contract(given.model)
    files = sorted((given.data / "JPEGImages").glob("*.jpg"))[: given.pictures]
    pixels = [
        resize(np.asarray(Image.open(file).convert("RGB")), contract.input.size_hw)
        for file in files
    ]
    expected = {
        kernels: [_integers(runner(picture)) for picture in pixels]
        for kernels, runner in _runners(given.model, contract)
    }
    print("| file | operators in patches | arena, KiB | bytes | operators | million MACs | ms |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate(given.patches):
            made = patch_model(given.model, Patches.parse(text), out=Path(folder) / text)
            if not number:
                print(_row("ordinary", 0, made.ordinary))
            print(_row(text, made.candidate.operators, made.patched), flush=True)
            for kernels, runner in _runners(made.paths[0], contract):
                equal, count = _compare(runner, pixels, expected[kernels])
                print(
                    f"{text} {kernels}: {equal} of {count} integers equal, {len(pixels)} pictures"
                )


def _runners(file: Path, contract: Contract) -> Iterator[tuple[str, Runner]]:
    for kernels in KERNELS:
        micro = kernels == "tflite-micro"
        yield (
            kernels,
            micro_runner(file, contract) if micro else litert_runner(file, contract, kernels),
        )


def _integers(outputs: dict) -> np.ndarray:
    return np.concatenate([outputs[name].reshape(-1) for name in sorted(outputs)])


def _compare(runner: Runner, pixels: list, expected: list) -> tuple[int, int]:
    same = [
        _integers(runner(picture)) == answer
        for picture, answer in zip(pixels, expected, strict=True)
    ]
    return int(np.sum(same)), int(np.size(same))


def _row(name: str, operators: int, cost: FileCost) -> str:
    arena = "" if cost.arena_bytes is None else cost.arena_bytes // 1024
    return (
        f"| {name} | {operators} | {arena} | {cost.bytes} | {cost.operators} | "
        f"{cost.macs / 1e6:.1f} | {cost.latency_ms:.1f} |"
    )


if __name__ == "__main__":
    main()
