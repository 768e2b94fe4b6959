"""One self-contained HTML file about a run. Reads result files only, never models."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from quantdet.config import Config
from quantdet.report import tables
from quantdet.report.fairness import data_checks, training_checks
from quantdet.report.page import require_libraries, write_page
from quantdet.report.sections import Missing, Section, Source, make_sections
from quantdet.report.targets import target_checks
from quantdet.report.verdict import Check, Decision, Verdict, decide
from quantdet.report.views import View, find_view
from quantdet.results.folder import Results, read_results
from quantdet.results.stages import STAGES, outdated, unfinished
from quantdet.runs import Run

# Variant that evaluation leaves out if its file is missing → how to make the file.
_BASELINES = {
    "float_tflite": ("float .tflite", "float32"),
    "ptq_tflite": ("converter's own quantization (PTQ)", "int8-ptq"),
    "uint8_tflite": ("uint8 .tflite", "uint8"),
}


def write_report(run: Run, out: Path | None = None) -> Path:
    """Write the report of a run; what is missing is said in it.

    Args:
        run: the run.
        out: the file; None: ``report.html`` in the run folder.

    Returns:
        Path of the report.

    Raises:
        DependencyError: jinja2 or matplotlib is not installed.
        QuantdetError: config.toml or manifest.json cannot be read, or the file not be written.
    """
    require_libraries()
    target = out or run.report_file
    write_page("report.html.j2", collect(run), target)
    return target


def run_name(run: Run) -> str:
    """Return the last two folders of the run's path."""
    return "/".join(run.root.resolve().parts[-2:])


def collect(run: Run) -> dict[str, object]:
    """Return everything that the template shows.

    Raises:
        QuantdetError: config.toml or manifest.json cannot be read.
    """
    config, results = run.load_config(), read_results(run)
    folder = shlex.quote(str(run.root))
    view, metrics = find_view(config.model.name), results.metrics
    measured = view if metrics is None else find_view(metrics.task)
    checks = all_checks(measured, results)
    verdict = measured.verdict(metrics) if metrics else None
    stale = list(_stale(results, folder))
    source = Source(run, folder, config, results, measured, checks)
    sections = [*make_sections(source), _again(config, results)]
    decision = _decide(verdict, source, stale)
    return {
        "name": run_name(run),
        "date": max((stage.written for stage in results.stages.values()), default="")[:10],
        "run": folder,
        "config": config,
        "labels": results.train.identity.labels if results.train else (),
        "architecture": view.architecture(config),
        "verdict": verdict,
        "decision": decision,
        "steps": list(_steps(run, folder, results, decision)),
        "tiles": measured.tiles(metrics) if metrics else [],
        "missing": _missing(run, results, folder),
        "notes": results.notes,
        "stale": stale,
        "sections": sections,
    }


def all_checks(view: View, results: Results) -> list[Check]:
    """Return what must hold before the model of a run is shipped.

    Args:
        view: of what was measured.
        results: of the run.
    """
    metrics = results.metrics
    found = [*target_checks(results.verified)]
    if metrics is None:
        return found
    fair = [*training_checks(results.histories), *data_checks(metrics.data)]
    return [*view.checks(metrics), *fair, *found]


def _decide(verdict: Verdict | None, source: Source, stale: list[Missing]) -> Decision | None:
    if verdict is None:
        return None
    return decide(verdict, source.checks, [f"{item.what}." for item in stale])


def _steps(run: Run, folder: str, results: Results, decision: Decision | None) -> Iterator[Missing]:
    """Yield what to do next: what remedies a failed check, or how the file is used."""
    if decision is None:
        return
    if not decision.ship:
        yield from (Missing(text, "") for text in decision.remedies)
        return
    if results.verified is None:
        yield Missing("Run the file on the targets of this machine:", f"quantdet verify {folder}")
    yield Missing("Look at pictures of your own:", f"quantdet predict {folder} PICTURE…")
    model = shlex.quote(str(run.model_file))
    yield Missing("Use the file in a program; its contract is in it and next to it:", model)


def missing_stages(run: Run, results: Results) -> Iterator[Missing]:
    """Yield the stages that every run needs and this one has not finished."""
    folder, config = shlex.quote(str(run.root)), shlex.quote(str(run.config_file))
    for name in unfinished(results.stages):
        command = STAGES[name].command.format(run=folder, config=config)
        yield Missing(f"Stage “{name}” is not finished", command)


def _missing(run: Run, results: Results, folder: str) -> list[Missing]:
    """Return stages that were not finished, then files that evaluation did not find."""
    missing = list(missing_stages(run, results))
    if missing or results.metrics is None:
        return missing
    for variant, (what, name) in _BASELINES.items():
        if results.metrics.variant(variant) is None:
            again = f"quantdet export {folder} --format {name} && quantdet evaluate {folder}"
            missing.append(Missing(f"Not measured: {what}", again))
    if results.metrics.parity is None:
        missing.append(Missing("Parity was not checked", f"quantdet evaluate {folder}"))
    return missing


def _stale(results: Results, folder: str) -> Iterator[Missing]:
    """Yield the results that may be of earlier files."""
    for name, later in outdated(results.stages):
        what = f"{', '.join(later)} ran after the {STAGES[name].result}, so its figures may be "
        yield Missing(f"{what}those of earlier files", STAGES[name].command.format(run=folder))
    model = results.contracts.get("model.tflite")
    verified = results.verified
    if verified and verified.sha256 and model and model.sha256 not in ("", verified.sha256):
        what = "The targets were given another model.tflite than the one that is here now"
        yield Missing(what, f"quantdet verify {folder}")


def _again(config: Config, results: Results) -> Section:
    stages = results.stages
    known = any(stage.versions for stage in stages.values())
    data = {
        "install": _install(results),
        "commands": [
            stage.command.format(run="runs/again", config="config.toml")
            for stage in STAGES.values()
        ],
        "toml": config.to_toml(),
        "stages": tables.stage_table(stages) if stages else None,
        "versions": tables.version_table(results) if known else None,
    }
    return Section("again", "Doing it again", data)


def _install(results: Results) -> str:
    """Return the command that installs the version that trained."""
    version = next(
        (
            stage.versions["quantdet"]
            for stage in results.stages.values()
            if "quantdet" in stage.versions
        ),
        None,
    )
    pin = f"=={version}" if version else ""
    return f'pip install "quantdet[train]{pin}"'
