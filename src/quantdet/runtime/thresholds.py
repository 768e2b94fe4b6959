"""Which detections people see: one threshold for each class."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ConfigError
from quantdet.runtime.contract import Contract


def check_threshold(value: float, name: str = "threshold") -> float:
    """Return ``value`` if it is a score.

    Raises:
        ConfigError: no number from 0 to 1.
    """
    try:
        if 0 <= value <= 1:
            return float(value)
    except (TypeError, ValueError):
        pass  # A text, a list, an array.
    raise ConfigError(f"{name} is {value!r}; give a score from 0 to 1")


def label_thresholds(
    contract: Contract,
    threshold: float | None = None,
    class_thresholds: Mapping[str, float] | None = None,
    classes: Collection[str] | None = None,
) -> NDArray[np.float64]:
    """Return the lowest score of each label, shape (labels,); infinite where it is not wanted.

    The first of these that says something decides: ``class_thresholds``, ``threshold``, the
    contract's ``class_thresholds``, its ``score_threshold``.

    Args:
        contract: of the model.
        threshold: of all classes, 0 to 1.
        class_thresholds: label → its own.
        classes: labels wanted; None or none wants all.

    Raises:
        ConfigError: a value is out of range, or a label unknown.
    """
    _check_forms(class_thresholds, classes)
    own = dict(class_thresholds or {})
    if threshold is None:
        threshold = contract.decoder.score_threshold
        own = {**contract.decoder.class_thresholds, **own}
    lowest = np.full(len(contract.labels), check_threshold(threshold))
    for label, value in own.items():
        lowest[_index(label, contract)] = check_threshold(value, f"threshold of {label!r}")
    if classes:
        wanted = [_index(label, contract) for label in classes]
        lowest[np.setdiff1d(np.arange(len(lowest)), wanted)] = math.inf
    return lowest


def _check_forms(class_thresholds: object, classes: object) -> None:
    """Refuse what would be taken apart into letters, or is no mapping."""
    if class_thresholds and not isinstance(class_thresholds, Mapping):
        raise ConfigError(
            f"class_thresholds is a {type(class_thresholds).__name__}; give a dict, e.g. "
            "{'car': 0.6}"
        )
    if isinstance(classes, str):
        raise ConfigError(f"classes is the text {classes!r}; give a list, e.g. [{classes!r}]")


def parse_class_thresholds(items: Iterable[str]) -> dict[str, float]:
    """Return label → score of texts LABEL=SCORE, as the command line takes them.

    Raises:
        ConfigError: a text has another form.
    """
    found = {}
    for item in items:
        label, _, number = item.rpartition("=")
        try:
            found[label.strip()] = float(number)
        except ValueError:
            label = ""
        if not label:
            raise ConfigError(f"--class-threshold {item}: expected LABEL=SCORE, e.g. car=0.6")
    return found


def _index(label: str, contract: Contract) -> int:
    if label in contract.labels:
        return contract.labels.index(label)
    from difflib import get_close_matches

    near = get_close_matches(str(label), contract.labels, n=1)
    remedy = f"did you mean {near[0]!r}? It knows" if near else "it knows"
    raise ConfigError(
        f"class {label!r} is not one of the model's; {remedy} {', '.join(contract.labels)}"
    )
