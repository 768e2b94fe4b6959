"""Can the figures be believed? Training learned something, and it was not the test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from quantdet.report.verdict import EVALUATE_AGAIN, Check
from quantdet.results.history import Epochs
from quantdet.results.metrics import DataState
from quantdet.results.numbers import percent, plain

LEARNED = 0.01
"""Share of the first epoch's validation loss, or of mAP, that must be gained."""
_MORE = "Train longer (train.finetune_epochs), or with another learning rate."


def training_checks(histories: Mapping[str, Epochs]) -> Iterator[Check]:
    """Yield whether float training learned: from its first epoch to the one that was kept."""
    phases = [histories[name] for name in ("float/frozen", "float/finetune") if name in histories]
    first, last = (phases[0].rows[0], _kept(phases[-1])) if phases else ({}, {})
    several = sum(len(phase.rows) for phase in phases) > 1
    measured = [text for key in _watched(last) for text in _gain_text(key, first, last)]
    yield Check(
        "Training learned, first → kept epoch",
        f"validation loss falls by at least {percent(LEARNED, 0)} %, or mAP rises as much",
        "; ".join(measured) if several and measured else "one epoch cannot tell",
        any(_gain(key, first, last) >= LEARNED for key in _watched(last)),
        _MORE,
    )


def _kept(epochs: Epochs) -> Mapping[str, float]:
    return epochs.rows[min(max(epochs.best_epoch, 1), len(epochs.rows)) - 1]


def _watched(row: Mapping[str, float]) -> list[str]:
    """Return the figures of held-out pictures; those of training without any."""
    maps = [key for key in row if key.startswith("val_") and "map" in key.lower()]
    loss = next((key for key in ("val_loss", "loss") if key in row), None)
    return [*([loss] if loss else []), *maps]


def _gain(key: str, first: Mapping[str, float], last: Mapping[str, float]) -> float:
    """Return what was gained: a share of a loss, or a difference of shares; −1 if not known."""
    before, after = first.get(key), last.get(key)
    if before is None or after is None:
        return -1.0
    if "loss" not in key:
        return after - before
    if before <= 0 or not math.isfinite(after):
        return -1.0
    # Rounded: 1.5 → 1.485 is a hundredth.
    return round((before - after) / before, 6)


def _gain_text(key: str, first: Mapping[str, float], last: Mapping[str, float]) -> Iterator[str]:
    if key in first and key in last:
        name = key.replace("val_", "validation ").replace("_", " ")
        yield f"{name} {plain(first[key], 4)} → {plain(last[key], 4)}"


def data_checks(data: DataState) -> Iterator[Check]:
    """Yield whether the test is a fair one."""
    unknown = f"not known: {data.reason}" if data.reason else "not known"
    yield Check(
        "Data since training",
        "the same pictures and annotations",
        {True: "the same", False: "changed", None: unknown}[data.unchanged],
        data.unchanged is True,
        "Train on the data as they are now: `quantdet train` again."
        if data.unchanged is False
        else EVALUATE_AGAIN,
    )
    same = f" ({', '.join(data.examples)})" if data.in_training and data.examples else ""
    if data.in_validation:
        same += f"; {data.in_validation:,} chose the epoch and the threshold, which flatters"
    yield Check(
        "Test pictures that are in training, too",
        "none",
        f"{data.in_training:,}{same}" if data.in_training is not None else unknown,
        data.in_training == 0,
        "Take them out of one of the two splits." if data.in_training else EVALUATE_AGAIN,
    )
