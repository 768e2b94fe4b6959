"""Run MediaPipe's ObjectDetector; a script of its own for the Python that has MediaPipe.

    python mediapipe_worker.py MODEL PICTURES.npy OPTIONS_JSON

PICTURES is uint8 (N, H, W, 3). Each picture is given ``finer`` times as large, every pixel
repeated: MediaPipe answers with whole pixels, which are so much finer then. It shrinks the picture
again by sampling, which gives the very pixels back, because ``finer`` is even. Printed is JSON:
"version", and "pictures" with [x1, y1, x2, y2, label, score] of each detection; or "error".
"""

import json
import sys
from importlib import metadata
from typing import Any

import numpy as np


def main(model: str, pictures: str, options: str) -> dict[str, object]:
    """Return what is printed."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    wanted = json.loads(options)
    finer = wanted.pop("finer")
    settings = vision.ObjectDetectorOptions(
        base_options=BaseOptions(model_asset_path=model), **wanted
    )
    with vision.ObjectDetector.create_from_options(settings) as detector:
        found = []
        for pixels in np.load(pictures):
            large = np.ascontiguousarray(pixels.repeat(finer, 0).repeat(finer, 1))
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=large)
            answers = detector.detect(image).detections
            found.append([_record(answer, finer) for answer in answers])
    return {"version": metadata.version("mediapipe"), "pictures": found}


def _record(detection: Any, finer: int) -> "list[str | float]":
    box, best = detection.bounding_box, detection.categories[0]
    corner = (box.origin_x + box.width, box.origin_y + box.height)
    sides = (box.origin_x, box.origin_y, *corner)
    return [*(side / finer for side in sides), best.category_name, best.score]


if __name__ == "__main__":
    try:
        answer = main(*sys.argv[1:])
    except (ValueError, RuntimeError) as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))
