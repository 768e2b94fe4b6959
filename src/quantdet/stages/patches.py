"""Patch-wise files of a run or of a lone .tflite, with what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from quantdet.errors import DependencyError
from quantdet.evaluate.latency import benchmark
from quantdet.export.file_formats import export_file_formats, write_made
from quantdet.export.patches import Wish, patch_source
from quantdet.export.source import ModelSource
from quantdet.progress import Progress, silent
from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.litert.micro import smallest_arena
from quantdet.quant.patches.choose import Candidate, file_macs
from quantdet.runs import Run
from quantdet.stages.export import (
    FORMATS,
    check_file_formats,
    check_formats,
    export_model,
    run_export,
)
from quantdet.system.folder_lock import exclusive


@dataclass(frozen=True)
class FileCost:
    """What a file costs on a device.

    Attributes:
        arena_bytes: smallest arena of TFLite-Micro on this machine; None without
            ``tflite-micro``.
        bytes: size of the file.
        operators: how many.
        macs: multiplications for one picture.
        latency_ms: median on this machine, XNNPACK with one thread.
    """

    arena_bytes: int | None
    bytes: int
    operators: int
    macs: int
    latency_ms: float


@dataclass(frozen=True)
class PatchedExport:
    """A patch-wise file beside the ordinary one.

    Attributes:
        paths: files written.
        candidate: how it was cut.
        ordinary: cost of the ordinary file.
        patched: cost of the new one.
    """

    paths: tuple[Path, ...]
    candidate: Candidate
    ordinary: FileCost
    patched: FileCost


def patch_run(
    run: Run, wish: Wish, formats: Sequence[str] = ("uint8",), progress: Progress = silent
) -> PatchedExport:
    """Write the run's uint8 file in patches into its export folder.

    Args:
        run: after ``qat``; after ``export``, if ``formats`` have no model in them.
        wish: as of :func:`patch_model`.
        formats: those of ``stages.export.FORMATS`` are exported first; the others are made from
            the new file.
        progress: called with (phase, done, total).
    """
    check_formats(formats)
    models = [name for name in formats if name in FORMATS]
    paths = run_export(run, models, progress) if models else []
    with exclusive(run.root):
        new = _write(run.model_file, wish, run.export_dir, progress, over=True)
        others = [name for name in formats if name not in FORMATS]
        made = export_file_formats(new.paths[0], others, run.export_dir, replace=True)
    return replace(new, paths=(*paths, *new.paths, *chain(*made.values())))


def patch_model(
    model: Path,
    wish: Wish,
    formats: Sequence[str] = (),
    out: Path | None = None,
    progress: Progress = silent,
) -> PatchedExport:
    """Write a .tflite in patches.

    Args:
        model: the file, with its contract.
        wish: the patches, or the arena to fit into.
        formats: out of ``export.file_formats.FILE_FORMATS``, made from the new file.
        out: folder for the files; None takes that of the model. Other files there stay.
        progress: called with (phase, done, total).

    Raises:
        ModelError: file or contract missing or corrupt.
        ExportError: the file cannot be computed in patches, none fit, or a file is in the way.
        ConfigError: a format is not made from a .tflite.
        DependencyError: ``tflite-micro`` is not installed, and an arena was asked for.
    """
    check_file_formats(formats)
    new = _write(model, wish, out or model.parent, progress)
    return replace(new, paths=(*new.paths, *export_model(new.paths[0], formats, out)))


def _write(
    model: Path, wish: Wish, out: Path, progress: Progress, *, over: bool = False
) -> PatchedExport:
    source = ModelSource.load(model)
    candidate = wish.choose(source.content, lambda done, total: progress("patches", done, total))
    paths = write_made(patch_source(source, candidate), out, replace=over)
    return PatchedExport(tuple(paths), candidate, file_cost(model), file_cost(paths[0]))


def file_cost(model: Path) -> FileCost:
    """Return what a file costs, measured here."""
    content = model.read_bytes()
    file = EditableFile(content)
    xnnpack, _ = benchmark(model, threads=(1,), warmup=2, runs=20)
    try:
        arena = smallest_arena(content)
    except DependencyError:
        arena = None
    return FileCost(arena, len(content), len(file.operators), file_macs(file), xnnpack.median_ms)
