"""How a configuration wants its data sets to be read."""

from __future__ import annotations

from quantdet.config import DataConfig, ExtraSource
from quantdet.data.labels import read_label_file
from quantdet.data.records import Reading


def reading_of(config: DataConfig, extra: ExtraSource | None = None) -> Reading:
    """Return how the data set of [data] is read, or one of its ``[[data.extra]]``.

    Raises:
        DataError: the label file is not usable.
    """
    source = config if extra is None else extra
    # Labels that have only numbers count in the order of the label file.
    names = () if config.labels is None else read_label_file(config.labels)
    return Reading(source.images, source.annotations, names, config.clip, config.unlabelled)
