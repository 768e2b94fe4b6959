"""Settings of the data: where it is, how it is split, and which objects are learned."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, model_validator

from quantdet.config.section import Section, Seed


class ExtraSource(Section):
    """More pictures to train on, from another folder."""

    root: Path
    """Folder of the data set."""
    format: str = "auto"
    """As `data.format`."""
    split: str = ""
    """Split to take; empty takes the name in `data.train_split`."""
    class_map: dict[str, str] = Field({})
    """As `data.class_map`, for this folder."""
    images: Path | None = None
    """As `data.images`."""
    annotations: Path | None = None
    """As `data.annotations`."""


class DataConfig(Section):
    """Where the pictures are and how they are split; more in [data.md](data.md)."""

    root: Path = Path("VOCdevkit/VOC2012")
    """Folder of the data set."""
    format: str = "auto"
    """`voc`, `coco`, `yolo` or `tool`; `auto` detects it."""
    images: Path | None = None
    """Folder of the pictures if they are not found automatically; relative to `root`."""
    annotations: Path | None = None
    """Folder or file of the annotations if they are not found automatically; relative to `root`."""
    unlabelled: Literal["error", "background"] = "error"
    """A picture of VOC data without an annotation file is an `error`, or `background`."""
    clip: bool = False
    """Clip boxes at the border of the picture, however far outside they are."""
    train_split: str = "train"
    """Split to train on."""
    val_split: str = "val"
    """Split that decides which epoch is kept; `none`, or one that the data does not have, leaves it
    out."""
    test_split: str = "test"
    """Split to evaluate on."""
    split_seed: Seed = 0
    """Seed for splitting a data set that has no splits."""
    labels: Path | None = None
    """File with one class name per line, in the order of class ids. Not with `classes`."""
    classes: list[str] = Field([])
    """Classes to learn; empty takes all."""
    class_map: dict[str, str] = Field({})
    """Class of the data = class to learn; "" leaves its objects out."""
    extra: list[ExtraSource] = Field([])
    """More training pictures: `[[data.extra]]` with `root`, `format`, `split`, `class_map`,
    `images`, `annotations`."""
    skip_bad: bool = False
    """Leave faulty samples out instead of stopping at the first."""
    cache_dir: Path | None = None
    """Folder for decoded pictures; by default the user's cache folder."""
    cache: bool = True
    """Keep decoded pictures on the disk. `false` decodes a picture whenever it is shown: the same
    training, slower, for data that are larger than the disk."""
    workers: NonNegativeInt | Literal["auto"] = "auto"
    """Processes that make training batches; the batches are the same. 0: the process that trains.
    `auto`: none on a CPU, otherwise one for each core but one, at most 16."""

    @model_validator(mode="after")
    def _one_class_list(self) -> DataConfig:
        if self.labels is not None and self.classes:
            raise ValueError("labels and classes both say which classes to learn; set one of them")
        return self


class TargetConfig(Section):
    """Which object of a picture a localizer learns. Detectors learn all of them."""

    choose: Literal["first", "largest"] = "first"
    """The first annotated object, or the largest."""
    skip_difficult: bool = True
    """Ignore objects that are marked difficult."""
    skip_truncated: bool = True
    """Ignore objects that the border of the picture cuts."""
