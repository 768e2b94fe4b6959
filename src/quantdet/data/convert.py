"""Write a data set in another format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from quantdet.data.formats import FORMATS
from quantdet.data.links import place_file
from quantdet.data.sample import Dataset, Sample
from quantdet.errors import ConfigError, DataError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import atomic_folder


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        root: the new data set.
        pictures: in it, each counted once.
        objects_left_out: those that the format cannot hold.
    """

    root: Path
    pictures: int
    objects_left_out: int


def convert_dataset(
    dataset: Dataset,
    target: Path | str,
    format: str,
    *,
    link: bool = True,
    progress: Tick = no_tick,
) -> Converted:
    """Write ``dataset`` to the new folder ``target``; it appears when it is complete.

    Args:
        dataset: splits with their pictures.
        target: folder to create; missing or empty.
        format: key of ``FORMATS``.
        link: hard links to the pictures instead of copies where the disk allows.
        progress: called with (pictures placed, all pictures).

    Raises:
        ConfigError: unknown format.
        DataError: a picture is missing.
        QuantdetError: ``target`` is not empty or cannot be written.
    """
    target = Path(target)
    if format not in FORMATS:
        raise ConfigError(f"format {format!r} is unknown; choose one of {', '.join(FORMATS)}")
    names = _file_names(dataset)
    with atomic_folder(target) as folder:
        pictures = folder / FORMATS[format].pictures
        for done, (source, name) in enumerate(names.items(), start=1):
            if not source.is_file():
                raise DataError(f"{source}: not found; `quantdet data check` lists all such")
            place_file(source, pictures / name, link=link)
            progress(done, len(names))
        splits = {
            split: [_moved(sample, pictures / names[sample.image_path]) for sample in samples]
            for split, samples in dataset.splits.items()
        }
        left_out = FORMATS[format].write(folder, dataset.labels, splits)
    return Converted(target, len(names), left_out)


def _moved(sample: Sample, path: Path) -> Sample:
    return replace(sample, image_id=path.stem, image_path=path)


def _file_names(dataset: Dataset) -> Mapping[Path, str]:
    """Return picture → file name in one flat folder; ids that two pictures share get the split."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for split, samples in dataset.splits.items():
        for sample in samples:
            if sample.image_path in names:
                continue
            # Lists of ids end an id at a space, and formats find annotations by the stem alone.
            stem = re.sub(r"[/\s]", "_", sample.image_id)
            stem = stem if stem not in taken else f"{split}_{stem}"
            while stem in taken:
                stem += "_"
            taken.add(stem)
            names[sample.image_path] = stem + sample.image_path.suffix
    return names
