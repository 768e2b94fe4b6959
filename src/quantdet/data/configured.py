"""The data set that a configuration describes: one source, or several joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from quantdet.config import DataConfig, ExtraSource
from quantdet.data.classes import ClassChoice
from quantdet.data.dataset import load_dataset
from quantdet.data.reading import reading_of
from quantdet.data.sample import Dataset


def load_configured(
    config: DataConfig,
    labels: Path | Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
) -> Dataset:
    """Load [data] with the pictures of every [[data.extra]] joined to the training split.

    Args:
        config: the [data] section.
        labels: classes of an existing run; None takes those of the configuration or the data.
        splits: names of the splits wanted; None gives all.

    Raises:
        ConfigError, DataError: see :func:`quantdet.data.dataset.load_dataset`.
    """
    dataset = load_dataset(
        config.root,
        format=config.format,
        labels=config.labels if labels is None else labels,
        choice=ClassChoice(config.class_map, config.classes),
        split_seed=config.split_seed,
        skip_bad=config.skip_bad,
        splits=splits,
        reading=reading_of(config),
    )
    if config.train_split in dataset.splits:
        for extra in config.extra:
            dataset = _join(dataset, extra, config)
    return dataset


def _join(dataset: Dataset, extra: ExtraSource, config: DataConfig) -> Dataset:
    split = extra.split or config.train_split
    more = load_dataset(
        extra.root,
        format=extra.format,
        labels=dataset.labels,
        choice=ClassChoice(extra.class_map, ()),
        split_seed=config.split_seed,
        skip_bad=config.skip_bad,
        splits=(split,),
        reading=reading_of(config, extra),
    )
    joined = (*dataset.splits[config.train_split], *more.splits[split])
    return replace(
        dataset,
        splits={**dataset.splits, config.train_split: joined},
        skipped=(*dataset.skipped, *more.skipped),
    )
