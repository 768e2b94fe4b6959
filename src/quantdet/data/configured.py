"""The data set that a configuration describes: one source, or several joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from quantdet.config import Config, DataConfig, ExtraSource
from quantdet.data.classes import ClassChoice
from quantdet.data.dataset import judge_listing, load_dataset, read_listing
from quantdet.data.findings import Finding
from quantdet.data.judging import LEAK_REMEDY, Judged, Use
from quantdet.data.pictures import look_at_pictures
from quantdet.data.reading import reading_of
from quantdet.data.sample import Dataset
from quantdet.data.sizes import small_objects
from quantdet.data.splitting import divide
from quantdet.data.suitable import nothing_chosen
from quantdet.progress import Progress, Tick, no_tick, silent

_READ = "read annotations"
_NO_VALIDATION = ("none", "")


def load_configured(
    config: DataConfig,
    labels: Path | Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
) -> Dataset:
    """Load [data] with the pictures of every [[data.extra]] joined to the training split.

    Args:
        config: the [data] section.
        labels: classes of an existing run; None takes those of the configuration or the data.
        splits: names of the splits wanted; None gives those of training, and what training
            needs is required of them.

    Raises:
        ConfigError, DataError: see :func:`quantdet.data.dataset.load_dataset`.
    """
    return judge_configured(config, labels, splits).require()


def load_described(
    config: DataConfig,
    *,
    splits: Sequence[str] | None = None,
    decode: bool = False,
    progress: Tick = no_tick,
) -> Dataset:
    """Load the data set of [data] as it is, without what a training needs of it.

    Args:
        config: the [data] section; its splits and ``[[data.extra]]`` do not count.
        splits: see :func:`quantdet.data.dataset.load_dataset`.
        decode: as there.
        progress: as there.

    Raises:
        ConfigError, DataError: as there.
    """
    return load_dataset(
        config.root,
        format=config.format,
        labels=config.labels,
        choice=ClassChoice(config.class_map, config.classes),
        split_seed=config.split_seed,
        skip_bad=config.skip_bad,
        splits=splits,
        reading=reading_of(config),
        decode=decode,
        progress=progress,
    )


def judge_configured(
    config: DataConfig,
    labels: Path | Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    progress: Tick = no_tick,
) -> Judged:
    """Return what :func:`load_configured` loads, with everything that is wrong with it.

    Args:
        config: as there.
        labels: as there.
        splits: as there.
        progress: called with (pictures read, all pictures) of each source.

    Raises:
        ConfigError: unknown format, or a class that there is not.
        DataError: a folder is no data set at all, or the labels given are not usable.
    """
    use = Use(splits, skip_bad=config.skip_bad) if splits else _training(config)
    listing = read_listing(config.root, config.format, progress, reading_of(config))
    listing = divide(listing, config.split_seed)
    choice = ClassChoice(config.class_map, config.classes)
    judged = judge_listing(listing, config.labels if labels is None else labels, choice, use)
    if judged.labels and config.train_split in judged.splits:
        for extra in config.extra:
            judged = judged.join(_extra(extra, config, judged.labels), config.train_split)
    return replace(judged, found=(*judged.found, *_same_names(config, judged)))


def judge_pictures(
    config: DataConfig,
    labels: Path | Sequence[str] | None = None,
    progress: Progress = silent,
) -> tuple[Judged, Mapping[Path, str]]:
    """Return :func:`judge_configured` with every picture decoded once, and picture → digest.

    Args:
        config: as there.
        labels: as there.
        progress: called with (phase, done, total).
    """
    progress(_READ, 0, 0)  # some files take seconds before the first picture is known
    judged = judge_configured(config, labels, progress=partial(progress, _READ))
    return look_at_pictures(judged, partial(progress, "check pictures"))


def judge_training(
    config: Config,
    labels: Path | Sequence[str] | None = None,
    progress: Progress = silent,
) -> tuple[Judged, Mapping[Path, str]]:
    """Return :func:`judge_pictures` with what [model] and [target] can make of the data.

    Whatever stops `quantdet train` on account of the data is an error here.
    """
    judged, digests = judge_pictures(config.data, labels, progress)
    more = [*nothing_chosen(judged, config), *small_objects(judged.dataset, config.model)]
    return replace(judged, found=(*judged.found, *more)), digests


def _same_names(config: DataConfig, judged: Judged) -> Iterator[Finding]:
    for key in ("val_split", "test_split") if judged.use.learn else ():
        if getattr(config, key) == config.train_split:
            message = f"data.{key} is {config.train_split!r}, which is trained on"
            yield Finding("warning", "same_split", str(judged.root), message, LEAK_REMEDY)


def _training(config: DataConfig) -> Use:
    usual = DataConfig()
    needed = [config.train_split]
    # Training needs neither of these; a name that somebody wrote is meant.
    if config.val_split not in (*_NO_VALIDATION, usual.val_split):
        needed.append(config.val_split)
    if config.test_split != usual.test_split:
        needed.append(config.test_split)
    return Use(
        needed,
        if_there=(config.val_split, config.test_split),
        learn=config.train_split,
        hold_out=config.val_split,
        skip_bad=config.skip_bad,
    )


def _extra(extra: ExtraSource, config: DataConfig, labels: Sequence[str]) -> Judged:
    use = Use((extra.split or config.train_split,), skip_bad=config.skip_bad)
    reading = reading_of(config, extra)
    listing = read_listing(extra.root, extra.format, reading=reading)
    listing = divide(listing, config.split_seed)
    return judge_listing(listing, labels, ClassChoice(extra.class_map, ()), use)
