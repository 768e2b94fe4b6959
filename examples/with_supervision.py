"""Tell when something is in the right half of a video, by a zone of supervision.

pip install "quantdet[video]" supervision
python with_supervision.py street.mp4 --save marked.mp4
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import supervision

from quantdet import Detector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", help=".tflite with its contract, or run folder")
    parser.add_argument("--save", type=Path, help="video with boxes and the zone")
    options = parser.parse_args()
    detector = Detector(options.model) if options.model else Detector.pretrained()
    info = supervision.VideoInfo.from_video_path(str(options.video))
    zone = supervision.PolygonZone(right_half(info.width, info.height))
    boxes, labels = supervision.BoxAnnotator(), supervision.LabelAnnotator()
    border = supervision.PolygonZoneAnnotator(zone)
    sink = supervision.VideoSink(str(options.save), info) if options.save else nullcontext()
    with sink as saved:
        frames = supervision.get_video_frames_generator(str(options.video))
        for number, frame_bgr in enumerate(frames):
            found = detector.predict(cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2RGB)).to_supervision()
            inside = found[zone.trigger(found)]
            print(f"frame {number}: {', '.join(inside.data['class_name']) or '-'}")
            if saved is not None:
                drawn = labels.annotate(boxes.annotate(frame_bgr, found), found)
                saved.write_frame(border.annotate(drawn))


def right_half(width: int, height: int) -> np.ndarray:
    """Return the corners in pixels, shape (4, 2)."""
    middle = width // 2
    return np.array([[middle, 0], [width, 0], [width, height], [middle, height]])


if __name__ == "__main__":
    main()
