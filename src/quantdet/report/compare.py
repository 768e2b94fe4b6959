"""Two or more runs in one report, the uint8 file of each beside the first one's."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from quantdet.report import compare_tables
from quantdet.report.charts import Chart
from quantdet.report.classes import class_section
from quantdet.report.compared import Compared, read_compared
from quantdet.report.html import missing_stages
from quantdet.report.page import require_libraries, write_page
from quantdet.report.plots import overlaid_losses
from quantdet.report.sections import Missing, Section, ordered
from quantdet.report.tables import Table
from quantdet.results.metrics import DetectionVariant
from quantdet.runs import Run


def write_comparison(runs: Sequence[Run], out: Path) -> Path:
    """Write one report about several runs.

    Args:
        runs: two or more, of one kind of model; the others are compared with the first.
        out: the file.

    Raises:
        ConfigError: fewer than two runs, the same one twice, or runs of different kinds.
        DependencyError: jinja2 or matplotlib is not installed.
        QuantdetError: a run cannot be read, or the file not be written.
    """
    require_libraries()
    compared = read_compared(runs)
    sections = [item for make in _SECTIONS for item in make(compared)]
    notes = [note for item in compared for note in item.results.notes]
    values = {
        "names": [item.name for item in compared],
        "headline": compare_tables.headline_table(compared),
        "sections": sections,
        "missing": [missing for item in compared for missing in _missing(item)],
        "notes": notes,
    }
    write_page("compare.html.j2", values, out)
    return out


def _missing(item: Compared) -> Iterator[Missing]:
    for missing in missing_stages(item.run, item.results):
        yield Missing(f"{item.name}: {missing.what}", missing.command)
    if item.metrics is not None and item.results.details is None:
        command = f"quantdet evaluate {shlex.quote(str(item.run.root))}"
        yield Missing(f"{item.name}: errors and draws were not measured", command)


def _plain(
    place: tuple[str, str],
    text: str,
    table: Table | None,
    key: Sequence[str] = (),
    charts: Sequence[Chart] = (),
) -> Section:
    """Return a section of the simplest form: text, then a table, then charts with one key."""
    data = {"text": text, "table": table, "key": key, "charts": charts}
    return Section(*place, data, template="plain")


def _differences(compared: Sequence[Compared]) -> Iterator[Section]:
    table = compare_tables.difference_table(compared)
    if table is not None:
        text = (
            f"uint8 files against that of {compared[0].name}. Runs that were measured on the same "
            "pictures with the same annotations are compared picture by picture (paired "
            "bootstrap): an interval that holds 0 means that these pictures cannot tell them apart."
        )
        yield _plain(("differences", "Differences"), text, table)


def _classes(compared: Sequence[Compared]) -> Iterator[Section]:
    models = [
        (item.name, item.uint8)
        for item in compared
        if isinstance(item.uint8, DetectionVariant) and item.uint8.per_class
    ]
    if models:
        table = compare_tables.class_table(models)
        yield Section("classes", "Classes", class_section(models, table))


def _errors(compared: Sequence[Compared]) -> Iterator[Section]:
    table = compare_tables.error_table(compared)
    if table is not None:
        text = (
            "Errors of the uint8 files at the score that people see; each run's own report says "
            "what the kinds are."
        )
        yield _plain(("errors", "Where boxes go wrong"), text, table)


def _latency(compared: Sequence[Compared]) -> Iterator[Section]:
    table = compare_tables.latency_table(compared)
    if table is not None:
        hosts = {item.metrics.host.cpu for item in compared if item.metrics}
        text = "Median of one inference, uint8 files."
        if len(hosts) > 1:
            text += " Measured on different processors, so they say little of the models."
        yield _plain(("latency", "Latency"), text, table)


def _training(compared: Sequence[Compared]) -> Iterator[Section]:
    charts = []
    for folder, title in ordered({name for item in compared for name in item.results.histories}):
        found = [(item.name, item.results.histories.get(folder)) for item in compared]
        chart = overlaid_losses(title, found)
        charts += [chart] if chart else []
    if charts:
        text = "Losses have one scale only where data, classes and distillation are the same."
        names = [item.name for item in compared]
        yield _plain(("training", "Training"), text, None, names, charts)


def _settings(compared: Sequence[Compared]) -> Iterator[Section]:
    table = compare_tables.settings_table(compared)
    text = "Settings that are not the same in all runs." if table else "All settings are the same."
    yield _plain(("settings", "Settings"), text, table)


_SECTIONS: tuple[Callable[[Sequence[Compared]], Iterator[Section]], ...] = (
    _differences,
    _classes,
    _errors,
    _latency,
    _training,
    _settings,
)
"""In the order of the page."""
