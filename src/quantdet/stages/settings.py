"""The configuration of a run: saved before training, and changed for what comes after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quantdet.config import Config, load_config
from quantdet.data.contents import describe_contents, require_same
from quantdet.results.contents import Contents
from quantdet.runs import Run
from quantdet.stages.dataset import load_data


def update_config(
    run: Run,
    overrides: Sequence[str] = (),
    data: Path | str | None = None,
    splits: Sequence[str] | None = None,
    values: Mapping[str, object] | None = None,
) -> None:
    """Change sections of a run's configuration that later stages read, and save it.

    [data] may change, too, as long as it still describes the pictures and annotations that the
    float model was trained with.

    Args:
        run: after ``train``.
        overrides: ``section.key=value`` strings.
        data: where the data set is now; None: where it was.
        splits: those that have to be there; None: all of training.
        values: nested mapping that overrides everything else.

    Raises:
        ConfigError: the change would touch what the float model was trained with.
        DataError: the data differs; the message says in what.
    """
    moved = {} if data is None else {"data": {"root": data}}
    config = load_config(run.config_file, overrides=overrides, values={**(values or {}), **moved})
    contents = None
    if data is not None or config.data != run.load_config().data:
        contents = describe_contents(load_data(config, run, splits))
    save_config(run, config, contents)


def save_config(run: Run, config: Config, contents: Contents | None) -> Run:
    """Save a configuration; ``contents``, if known, have to be those of training."""
    same = contents is not None and run.pictures_file.exists() and run.float_dir.exists()
    if contents is not None and same:
        require_same(run, contents, config.data.root)
    return Run.create(run.root, config, same_data=same)
