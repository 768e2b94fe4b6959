"""The configuration of a run: given to training, and changed for what comes after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quantdet.config import Config, load_config
from quantdet.data.contents import describe_contents, require_same
from quantdet.results.contents import Contents
from quantdet.runs import Run
from quantdet.stages.dataset import load_data
from quantdet.system.folder_lock import exclusive


def changed_run(
    run: Run,
    overrides: Sequence[str] = (),
    data: Path | str | None = None,
    splits: Sequence[str] | None = None,
    values: Mapping[str, object] | None = None,
) -> Run:
    """Return a run with other settings of later stages; the stage that succeeds saves them.

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
    return with_config(run, config, contents)


def update_config(
    run: Run,
    overrides: Sequence[str] = (),
    data: Path | str | None = None,
    splits: Sequence[str] | None = None,
    values: Mapping[str, object] | None = None,
) -> None:
    """Change sections of a run's configuration that later stages read, and save it.

    Args and Raises are those of :func:`changed_run`.

    Raises:
        QuantdetError: another process is at work on the run.
    """
    with exclusive(run.root):
        changed_run(run, overrides, data, splits, values).save_config()


def with_config(run: Run, config: Config, contents: Contents | None) -> Run:
    """Return a run with a configuration; ``contents``, if known, have to be those of training."""
    same = contents is not None and run.pictures_file.exists() and run.float_dir.exists()
    if contents is not None and same:
        require_same(run, contents, config.data.root)
    return run.with_config(config, same_data=same)
