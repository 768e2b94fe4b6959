"""The data set of a run, as its stages load it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from quantdet.config import Config
from quantdet.data.configured import judge_configured
from quantdet.data.facts import dataset_facts
from quantdet.data.pictures import look_at_pictures
from quantdet.data.sample import Dataset
from quantdet.errors import QuantdetError
from quantdet.runs import Run


def load_data(config: Config, run: Run, splits: Sequence[str] | None = None) -> Dataset:
    """Load the data set with the labels that a run was trained with.

    Args:
        config: of the run; its [data] may have changed.
        run: after ``train``.
        splits: to load; None: all.

    Raises:
        DataError: something is faulty, and [data] skip_bad does not leave it out.
        ModelError: the run has no trained model.
    """
    judged = judge_configured(config.data, run.labels(), splits)
    if config.data.skip_bad:
        judged, _ = look_at_pictures(judged)
    judged.raise_first()
    return judged.dataset


def load_tested(config: Config, run: Run) -> Dataset:
    """Load all splits, or the test split: of a run trained elsewhere no more may be here."""
    with suppress(QuantdetError):
        whole = load_data(config, run)
        if config.data.test_split in whole.splits:
            return whole
    return load_data(config, run, splits=(config.data.test_split,))


def test_pictures(run: Run) -> list[Path]:
    """Return the pictures of a run's test split."""
    config = run.load_config()
    split = config.data.test_split
    return [sample.image_path for sample in load_data(config, run, (split,)).splits[split]]


def write_data_facts(run: Run, config: Config, dataset: Dataset) -> None:
    """Write ``data.json`` about the splits that [data] names."""
    wanted = (config.data.train_split, config.data.val_split, config.data.test_split)
    splits = {name: dataset.splits[name] for name in wanted if name in dataset.splits}
    dataset_facts(replace(dataset, splits=splits)).save(run.data_file)
