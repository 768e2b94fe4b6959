"""What is about to be trained, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from quantdet.config import Config
from quantdet.kinds import DETECTOR, find_family, find_kind

_NAMED_CLASSES = 6


def describe_training(config: Config, labels: Sequence[str]) -> str:
    """Return e.g. "Training a detector of all objects (ssdlite), 3 classes (a, b, c), …"."""
    model = config.model
    parts = [
        f"{_classes(labels)}, {model.input_size} px, from {model.weights} weights",
        _epochs(config),
    ]
    if find_family(model.name) == DETECTOR:
        what = f"Training a detector of all objects ({_architecture(config)})"
        other = "one object per picture: --preset recommended"
    else:
        what = f"Training a localizer, which finds one object per picture ({_learned(config)})"
        other = "all objects: --preset ssd"
    return f"{what}: {'; '.join([*parts, other])}"


def _learned(config: Config) -> str:
    if config.model.head == "grid":
        return "learns all, answers with the best"
    return f"the {config.target.choose} one is learned"


def _architecture(config: Config) -> str:
    layers = "SSDLite" if find_kind(config.model.name).separable else "SSD"
    return f"{layers}, {config.model.backbone}"


def _classes(labels: Sequence[str]) -> str:
    named = ", ".join(labels[:_NAMED_CLASSES]) + (", …" if len(labels) > _NAMED_CLASSES else "")
    return f"{len(labels)} class{'' if len(labels) == 1 else 'es'} ({named})"


def _epochs(config: Config) -> str:
    train = config.train
    head = [f"{train.epochs} epochs of the head"] if train.epochs else []
    whole = [f"{train.finetune_epochs} epochs of all layers"] if train.finetune_epochs else []
    bounds = [f"at least {train.min_steps} steps"] if train.min_steps else []
    return ", ".join([*head, *whole, *bounds]) or "no epoch"
