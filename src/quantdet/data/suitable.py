"""Whether a model can learn anything from a data set."""

from __future__ import annotations

from collections.abc import Iterator

from quantdet.config import Config
from quantdet.data.findings import Finding
from quantdet.data.judging import Judged
from quantdet.data.selection import select_objects
from quantdet.kinds import LOCALIZER, find_family


def nothing_chosen(judged: Judged, config: Config) -> Iterator[Finding]:
    """Yield the splits in which [target] leaves a model of one object a picture nothing."""
    if find_family(config.model.name) != LOCALIZER or config.model.head != "global":
        return
    target = config.target
    for split in (judged.use.learn, judged.use.hold_out):
        samples = [sample for sample in judged.splits.get(split, ()) if sample.annotated]
        chosen = (
            select_objects(
                sample, skip_difficult=target.skip_difficult, skip_truncated=target.skip_truncated
            )
            for sample in samples
        )
        if samples and not any(chosen):
            message = (
                f"split {split!r}: [target] leaves no object in any of {len(samples)} pictures"
            )
            remedy = "set target.skip_difficult or target.skip_truncated to false"
            yield Finding("error", "nothing_chosen", str(judged.root), message, remedy)
