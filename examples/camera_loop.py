"""Boxes on what a camera sees, until Ctrl-C.

pip install "quantdet[video]"
python camera_loop.py                       # the first camera; what it finds is printed
python camera_loop.py --save now.jpg        # now.jpg always shows the last frame with boxes
python camera_loop.py --source street.avi   # a video file, or a stream: rtsp://…
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2

from quantdet import Detector, draw_detections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="0", help="number of a camera, a video, or rtsp://…")
    parser.add_argument("--model", help=".tflite with its contract, or run folder")
    parser.add_argument("--save", type=Path, help=".jpg that shows the last frame")
    options = parser.parse_args()
    detector = Detector(options.model) if options.model else Detector.pretrained()
    camera = cv2.VideoCapture(int(options.source) if options.source.isdigit() else options.source)
    if not camera.isOpened():
        raise SystemExit(f"{options.source}: cannot be opened; try another --source")
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not one that waited in a queue
    started, frames = time.perf_counter(), 0
    try:
        while True:
            good, frame_bgr = camera.read()
            if not good:
                break
            frame_rgb = cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2RGB)
            found = detector.predict(frame_rgb)
            if options.save:
                save(draw_detections(frame_rgb, found), options.save)
            frames += 1
            rate = frames / (time.perf_counter() - started)
            print(f"{rate:5.1f} frames/s  {', '.join(found.names()) or '-'}", flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        camera.release()
    if not frames:
        raise SystemExit(f"{options.source}: gives no picture; is another program using it?")


def save(picture_rgb, target: Path) -> None:
    """Write beside ``target`` and rename, so that a viewer never sees half a picture."""
    temporary = target.with_name(f".{target.name}")
    cv2.imwrite(str(temporary), cv2.cvtColor(picture_rgb, cv2.COLOR_RGB2BGR))
    temporary.replace(target)


if __name__ == "__main__":
    main()
