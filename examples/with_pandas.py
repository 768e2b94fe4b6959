"""Boxes of a folder of pictures as a table of pandas: how many of each class, and a CSV file.

pip install pandas
python with_pandas.py PICTURES --csv boxes.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas

from quantdet import Detector

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help=".tflite with its contract, or run folder")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    detector = Detector(options.model) if options.model else Detector.pretrained()
    pictures = sorted(file for file in options.folder.iterdir() if file.suffix.lower() in SUFFIXES)
    table = pandas.DataFrame(
        {"picture": picture.name, **record}
        for picture in pictures
        for record in detector.predict(picture).to_records()
    )
    if table.empty:
        raise SystemExit(f"no box in {len(pictures)} pictures of {options.folder}")
    scores = table.groupby("label")["score"]
    print(scores.agg(["count", "median", "min"]).sort_values("count", ascending=False))
    if options.csv:
        table.to_csv(options.csv, index=False)


if __name__ == "__main__":
    main()
