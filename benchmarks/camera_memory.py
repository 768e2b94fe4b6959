"""A camera that runs for days: does memory stay the same?

    python benchmarks/camera_memory.py --frames 200000 --json camera_memory.json

Frames are made up, and as small as the tiny model that looks at them, so that a day of a camera
(2.2 million frames at 25 a second) takes minutes. Records are written as JSON lines, as `quantdet
predict camera:0 --no-draw --format jsonl` does. Printed is the memory of the process (RSS).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from quantdet import Detector, predict_to_folder


def resident_kb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def frames(*_: object) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(16)]
    while True:
        yield from pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help=".tflite with its contract")
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seen: list[int] = []
    step = max(1, options.frames // 10)
    count = 0

    def note(_: object) -> None:
        nonlocal count
        count += 1
        if count % step == 0:
            seen.append(resident_kb())
            print(f"{count:9d} frames  {seen[-1]} kB", flush=True)

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch("quantdet.runtime.live.read_frames", frames),
    ):
        predict_to_folder(
            Detector(options.model, num_threads=1),
            ["camera:0"],
            folder,
            save_images=False,
            formats=["jsonl"],
            max_frames=options.frames,
            on_prediction=note,
        )
    if options.json:
        options.json.write_text(json.dumps({"frames": step, "resident_kb": seen}) + "\n")


if __name__ == "__main__":
    main()
