"""Tell in FiftyOne what a detector finds and what it misses.

pip install quantdet fiftyone
python with_fiftyone.py VOCdevkit/VOC2007 --split test --app
"""

from __future__ import annotations

import argparse

import fiftyone
from PIL import Image

from quantdet import Detector, load_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder with labelled pictures: VOC, COCO or YOLO")
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", help=".tflite with its contract, or run folder")
    parser.add_argument("--name", default="quantdet", help="of FiftyOne's data set; made anew")
    parser.add_argument("--app", action="store_true", help="open FiftyOne in the browser")
    options = parser.parse_args()
    detector = Detector(options.model) if options.model else Detector.pretrained()
    dataset = fiftyone.Dataset(options.name, overwrite=True)
    for labelled in load_dataset(options.data).splits[options.split]:
        dataset.add_sample(as_sample(labelled, detector))
    results = dataset.evaluate_detections("found", gt_field="labelled", eval_key="eval")
    results.print_report()
    print("missed:", dataset.sum("eval_fn"), "wrong:", dataset.sum("eval_fp"))
    if options.app:
        fiftyone.launch_app(dataset).wait()


def as_sample(labelled, detector: Detector) -> fiftyone.Sample:
    """Return a picture with its labelled and its found boxes."""
    with Image.open(labelled.image_path) as picture:
        size = picture.size
    found = detector.predict(labelled.image_path)
    # Difficult objects count, too; PASCAL VOC's rule leaves them out.
    return fiftyone.Sample(
        filepath=str(labelled.image_path),
        labelled=as_boxes([(one.label, one.box_xyxy, None) for one in labelled.objects], size),
        found=as_boxes([(one.label, one.box_xyxy, one.score) for one in found], size),
    )


def as_boxes(boxes: list[tuple], size: tuple[int, int]) -> fiftyone.Detections:
    """Return boxes of pixels as FiftyOne has them: corner, width and height, shares of the picture.

    Args:
        boxes: label, (x1, y1, x2, y2) in pixels, score or None.
        size: width and height of the picture.
    """
    width, height = size
    return fiftyone.Detections(
        detections=[
            fiftyone.Detection(
                label=label,
                bounding_box=[x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height],
                confidence=score,
            )
            for label, (x1, y1, x2, y2), score in boxes
        ]
    )


if __name__ == "__main__":
    main()
