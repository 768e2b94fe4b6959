"""What a configuration names, checked before the training and not after it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import keras

from quantdet.config import Config
from quantdet.data.sample import Dataset
from quantdet.errors import ConfigError, QuantizationError
from quantdet.evaluate.tasks import JUDGES
from quantdet.export.contract import DECODERS
from quantdet.kinds import find_family
from quantdet.models.backbones import BACKBONES
from quantdet.models.families import BUILDERS, STARTS, build_model
from quantdet.models.ssd_layout import LAYOUTS
from quantdet.quant.fold import fold_batch_norm
from quantdet.quant.layers import RANGES
from quantdet.quant.observers import OBSERVERS
from quantdet.quant.recipes import RECIPES, RecipeBook
from quantdet.quant.rounding import ROUNDINGS
from quantdet.quant.weighted import WEIGHTED
from quantdet.report.views import VIEWS
from quantdet.results.figures import FIGURES
from quantdet.results.metrics import METRICS
from quantdet.train.float_stage import TASKS, freeze_before
from quantdet.train.parallel import check_devices
from quantdet.train.qat_stage import check_features

FAMILY_TABLES: Mapping[str, Collection[str]] = {
    "models.families.BUILDERS": BUILDERS,
    "models.families.STARTS": STARTS,
    "train.float_stage.TASKS": TASKS,
    "export.contract.DECODERS": DECODERS,
    "evaluate.tasks.JUDGES": JUDGES,
    "results.metrics.METRICS": METRICS,
    "results.figures.FIGURES": FIGURES,
    "report.views.VIEWS": VIEWS,
}
"""Tables that have an entry for each family of models."""


def check_names(config: Config) -> None:
    """Refuse names that no table has, and devices that are not there, before any data is read.

    Raises:
        ConfigError: all that is wrong, each with the key and what there is to choose from.
    """
    problems = [*_missing_tables(config), *_unknown_names(config), *_devices(config)]
    if problems:
        raise ConfigError("; ".join(problems))


def check_config(config: Config, dataset: Dataset) -> None:
    """Refuse what a later stage could not use: names of layers and classes.

    The model is built once with random weights, so that names of layers are checked, too.

    Args:
        config: of the whole run.
        dataset: what [data] describes.

    Raises:
        ConfigError: all that is wrong, each with the key and what there is to choose from.
    """
    problems = [
        *_unknown_classes(config, dataset),
        *_unknown_layers(config, len(dataset.labels)),
    ]
    if problems:
        raise ConfigError("; ".join(problems))


def _missing_tables(config: Config) -> Iterator[str]:
    family = find_family(config.model.name)
    for table, entries in FAMILY_TABLES.items():
        if family not in entries:
            yield f"model.name: {config.model.name!r} is of family {family!r}, which {table} lacks"


def _unknown_names(config: Config) -> Iterator[str]:
    qat = config.qat
    recipes = [qat.recipe] if isinstance(qat.recipe, str) else [name for _, name in qat.recipe]
    names: list[tuple[str, str, Collection[str]]] = [
        ("model.anchors", config.model.anchors, LAYOUTS),
        ("model.backbone", config.model.backbone, BACKBONES),
        *(("qat.recipe", name, RECIPES) for name in recipes),
        ("qat.observer", qat.observer, OBSERVERS),
        ("qat.rounding", qat.rounding, ROUNDINGS),
        ("qat.ranges", qat.ranges, RANGES),
    ]
    for key, name, known in names:
        if name not in known:
            yield f"{key}: {name!r} is unknown; choose one of {', '.join(sorted(known))}"


def _devices(config: Config) -> Iterator[str]:
    for batch_size in {config.train.batch_size, config.qat.batch_size or config.train.batch_size}:
        try:
            check_devices(config.train.devices, batch_size)
        except ConfigError as error:
            yield str(error)
            return


def _unknown_classes(config: Config, dataset: Dataset) -> Iterator[str]:
    for label in config.predict.class_thresholds:
        if label not in dataset.labels:
            yield (
                f"predict.class_thresholds: {label!r} is not a class; choose one of "
                f"{', '.join(dataset.labels)}"
            )


def _unknown_layers(config: Config, classes: int) -> Iterator[str]:
    model = fold_batch_norm(build_model(config.model, classes), over_borders=True)
    try:
        freeze_before(model, config.train.finetune_from)
    except ConfigError as error:
        yield str(error)
    weighted = [layer.name for layer in model.layers if isinstance(layer, WEIGHTED)]
    try:
        RecipeBook(config.qat.recipe, weighted)
    except QuantizationError as error:
        yield f"qat.recipe: {error}"
        return
    try:
        check_features(config.qat)
    except ConfigError as error:
        yield str(error)
    names = [x.name for x in model.layers if not isinstance(x, keras.layers.InputLayer)]
    for feature in config.qat.distill_features:
        if feature not in names:
            yield f"qat.distill_features: no layer {feature!r}; choose one of {', '.join(names)}"
