"""From a folder of 150 pictures of one class, without split lists, to a uint8 detector.

    python benchmarks/few_pictures.py --out few
    python benchmarks/few_pictures.py --out few --data VOCdevkit/VOC2007 --class dog

Makes such a folder (of generated scenes, or of a part of a VOC data set) and times the documented
command on it: quantdet run --preset ssd --data few/pictures --out few/run
"""

from __future__ import annotations

import argparse
import subprocess
import time
from pathlib import Path

from quantdet import generate_scenes, load_dataset
from quantdet.data import ClassChoice, Dataset, convert_dataset
from quantdet.evaluate import host


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--class", dest="label", default="balloon")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    pictures = arguments.out / "pictures"
    if not pictures.exists():
        root = arguments.data or generate_scenes(arguments.out / "scenes", count=600)
        write_folder(root, arguments.label, arguments.count, pictures)
    command = ["quantdet", "run", "--preset", "ssd", "--data", pictures]
    command += ["--out", arguments.out / "run"]
    command += [part for item in arguments.overrides for part in ("--set", item)]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    minutes = (time.perf_counter() - start) / 60
    print(f"\n{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}: {minutes:.1f} minutes")


def write_folder(root: Path, label: str, count: int, target: Path) -> None:
    """Write pictures that show ``label`` as a VOC folder without split lists."""
    whole = load_dataset(root, choice=ClassChoice({}, (label,)))
    samples = {sample.image_path: sample for part in whole.splits.values() for sample in part}
    shown = [sample for sample in samples.values() if sample.objects][:count]
    if len(shown) < count:
        raise SystemExit(f"{root}: only {len(shown)} pictures show {label!r}; lower --count")
    dataset = Dataset(root, whole.labels, {"all": tuple(shown)})
    convert_dataset(dataset, target, "voc")
    for file in (target / "ImageSets" / "Main").iterdir():
        file.unlink()


if __name__ == "__main__":
    main()
