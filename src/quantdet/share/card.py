"""The model card: what a model is, how good it is and on what, and how to run it.

Front matter: https://huggingface.co/docs/hub/model-cards (Mitchell et al. 2019, arXiv:1810.03993).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from quantdet import __version__
from quantdet.kinds import find_family
from quantdet.results.figures import F1, FIGURES, Figure
from quantdet.results.metrics import AnyMetrics
from quantdet.results.numbers import megabytes
from quantdet.runtime.contract import Contract
from quantdet.system.result_file import Part
from quantdet.system.templates import text_templates

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~&$])")


@dataclass(frozen=True)
class Described:
    """What a card tells of.

    Attributes:
        title: heading of the card.
        address: what ``Detector`` and ``--model`` take, once the model is where it belongs.
        file: name of the .tflite.
        size: of it in bytes.
        contract: of it.
        metrics: measured on it; None where that is not known.
        license_id: SPDX identifier as the hub writes it; "" for none.
    """

    title: str
    address: str
    file: str
    size: int
    contract: Contract
    metrics: AnyMetrics | None = None
    license_id: str = ""


def model_card(model: Described) -> str:
    """Return the card as Markdown with front matter.

    Raises:
        DependencyError: jinja2 is not installed.
    """
    contract = model.contract
    height, width = contract.input.size_hw
    return (
        text_templates("quantdet.share", "a model card", "hub")
        .get_template("card.md.j2")
        .render(
            version=__version__,
            title=_plain(model.title),
            address=model.address,
            license_id=model.license_id,
            file=model.file,
            megabytes=megabytes(model.size),
            dtype=contract.input.tensor.dtype,
            height=height,
            width=width,
            labels=[_plain(label) for label in contract.labels],
            threshold=contract.decoder.score_threshold,
            sha256=contract.sha256,
            measured=_measured(model.metrics),
        )
    )


@dataclass(frozen=True)
class _Measured:
    """The table of figures; a row has a cell for each column."""

    split: str
    pictures: int
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def _measured(metrics: AnyMetrics | None) -> _Measured | None:
    if metrics is None:
        return None
    figures = (*FIGURES[find_family(metrics.task)].headline, F1)
    return _Measured(
        split=_plain(metrics.split),
        pictures=metrics.variants[0].pictures,
        columns=("model", *(figure.header for figure in figures), "MB"),
        rows=[
            (_plain(row.name), *(_with_interval(figure, row) for figure in figures),
             megabytes(row.bytes))
            for row in metrics.variants
        ],
    )  # fmt: skip


def _with_interval(figure: Figure, row: Part) -> str:
    text = figure.text(row)
    return f"{text} ({figure.between(row)})" if figure.interval(row) else text


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
