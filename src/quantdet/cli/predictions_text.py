"""What ``quantdet predict`` prints."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import typer

from quantdet.cli.output import show
from quantdet.runtime.predictions import Prediction
from quantdet.system.shown import printable

_NAMED = 3


class Printer:
    """Prints predictions: all at the end, or each as it comes.

    Args:
        as_json: for programs; each as it comes is a line.
        at_once: each as it comes, because nothing is kept.
    """

    def __init__(self, *, as_json: bool, at_once: bool) -> None:
        self._as_json = as_json
        self._at_once = at_once

    def add(self, prediction: Prediction) -> None:
        """Take one as it comes."""
        if self._at_once:
            text = json.dumps(prediction.to_dict()) if self._as_json else _text(prediction)
            typer.echo(text)

    def end(self, results: Sequence[Prediction], skipped: Sequence[Path]) -> None:
        """Print what was not printed, and say on standard error what was left out."""
        if not self._at_once:
            records = [result.to_dict() for result in results]
            show(records, self._as_json, predictions_text(results))
        if skipped:
            names = ", ".join(printable(path.name) for path in skipped[:_NAMED])
            more = ", …" if len(skipped) > _NAMED else ""
            typer.echo(
                f"left out, because they are no files, or their names are not those of pictures: "
                f"{len(skipped)} ({names}{more})",
                err=True,
            )


def predictions_text(results: Sequence[Prediction]) -> str:
    """Return what ``quantdet predict`` found: a line per picture, many objects below it."""
    lines = [_text(result) for result in results]
    failed = sum(bool(result.error) for result in results)
    if failed and len(results) > 1:
        lines.append(f"{failed} of {len(results)} could not be read")
    return "\n".join([*lines, *_below(results)])


def _text(result: Prediction) -> str:
    where = printable(result.source)
    if result.frame is not None:
        where = f"{where} #{result.frame}"
    if result.error:
        return f"{where}: not read: {printable(result.error)}"
    found = result.to_record().detections
    width = max((len(item.label) for item in found), default=0)
    objects = [
        f"{item.label:<{width}} {100 * item.score:3.0f} % at {[*item.box_xyxy]}" for item in found
    ]
    time = f"({result.inference_ms:.1f} ms)"
    if len(objects) > 1:
        head = f"{where}: {len(objects)} objects {time}"
        return "\n".join([head, *(f"  {text}" for text in objects)])
    return f"{where}: {objects[0] if objects else _nothing(result)} {time}"


def _nothing(result: Prediction) -> str:
    if result.nearest is None:
        return "nothing found"
    return f"nothing found, at best {result.nearest.label} {100 * result.nearest.score:.3g} %"


def _below(results: Sequence[Prediction]) -> list[str]:
    """Return what to try where nothing reached the threshold."""
    empty = [item for item in results if not item.error and not len(item.detections)]
    scores = [item.nearest.score for item in empty if item.nearest is not None]
    if not scores:
        return []
    # Rounded down, so that the best one is shown.
    lower = math.floor(1000 * max(scores)) / 1000
    return [
        f"nothing reached the threshold in {len(empty)} of {len(results)}; the best score there "
        f"was {100 * max(scores):.3g} %, try --threshold {lower:.3g}"
    ]
