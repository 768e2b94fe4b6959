"""What one frame of a video costs beside inference, on one core.

    python benchmarks/frame_cost.py --frames 60 --json frame_cost.json

A made-up scene is written as a video (MJPEG, as cameras give it) of each size and read again. Every
step is timed in CPU seconds of its thread, so that other jobs on the machine count little; the
median of all frames is given.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image

from quantdet import Detector, draw_detections
from quantdet.data import render_scene
from quantdet.runtime import Engine, resize

SIZES_HW = {"640x480": (480, 640), "1280x720": (720, 1280), "1920x1080": (1080, 1920)}
T = TypeVar("T")


class Clock:
    """CPU milliseconds of each step, frame after frame."""

    def __init__(self) -> None:
        self.ms: dict[str, list[float]] = {}

    def time(self, step: str, work: Callable[[], T]) -> T:
        start = time.thread_time()
        result = work()
        self.ms.setdefault(step, []).append(1000 * (time.thread_time() - start))
        return result

    def medians(self) -> dict[str, float]:
        return {step: round(median(values), 2) for step, values in self.ms.items()}


def write_video(path: Path, size_hw: tuple[int, int], frames: int) -> None:
    pixels, _ = render_scene(seed=0, index=0, size_hw=(480, 640))
    picture = np.array(Image.fromarray(pixels).resize(size_hw[::-1], Image.Resampling.BICUBIC))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, size_hw[::-1])
    for shift in range(frames):
        writer.write(cv2.cvtColor(np.roll(picture, 4 * shift, axis=1), cv2.COLOR_RGB2BGR))
    writer.release()


def measure(detector: Detector, video: Path) -> dict[str, float]:
    clock = Clock()
    engine = Engine(detector.model_file, num_threads=1)
    size_hw = detector.contract.input.size_hw
    capture = cv2.VideoCapture(str(video))
    while True:
        good, frame_bgr = clock.time("read", capture.read)
        if not good:
            break
        frame = clock.time("colour", lambda f=frame_bgr: cv2.cvtColor(f, cv2.COLOR_BGR2RGB))
        small = clock.time("resize", lambda f=frame: resize(f, size_hw))
        clock.time("inference", lambda s=small: engine.run(s[None]))
        hw = (frame.shape[0], frame.shape[1])
        found = clock.time("detect", lambda s=small, hw=hw: detector.detect_pixels(s, hw))
        shown = found.above(detector.lowest_scores())
        clock.time("record", shown.to_list)
        clock.time("draw", lambda f=frame, s=shown: draw_detections(f, s))
    capture.release()
    ms = clock.medians()
    # The same inference and what follows it.
    ms["decode"] = round(max(0.0, ms.pop("detect") - ms["inference"]), 2)
    return ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    detector = Detector.pretrained(num_threads=1)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, size_hw in SIZES_HW.items():
            video = Path(folder) / f"{name}.avi"
            write_video(video, size_hw, options.frames)
            ms = measure(detector, video)
            beside = sum(value for step, value in ms.items() if step not in {"inference", "draw"})
            ms["beside inference"] = round(beside, 2)
            ms["ratio"] = round(beside / ms["inference"], 2)
            ms["ratio with drawing"] = round((beside + ms["draw"]) / ms["inference"], 2)
            rows[name] = ms
            print(name, ms, flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
