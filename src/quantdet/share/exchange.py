"""Give a model away, and get one: its file, its contract and its card."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from quantdet.errors import ConfigError, ModelError
from quantdet.manifest import EvaluateRecord
from quantdet.progress import Tick, no_tick
from quantdet.results.folder import Results, read_results
from quantdet.results.metrics import AnyMetrics
from quantdet.results.stages import outdated
from quantdet.runs import Run
from quantdet.runtime.contract import contract_path, file_sha256
from quantdet.runtime.detector import Detector
from quantdet.runtime.pretrained import find_model
from quantdet.share.card import Described, model_card
from quantdet.system.atomic import write_bytes
from quantdet.system.fetch import fetch
from quantdet.system.hub import is_hub_address, parse_address, upload
from quantdet.system.listing import shown_files

CARD = "README.md"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def push(
    model: Path | str,
    target: str,
    *,
    private: bool = False,
    license_id: str = "",
    overwrite: bool = False,
) -> str:
    """Send a model with its contract and a model card to the hub, or into a folder.

    A card that is there already stays as it is: people write in it.

    Args:
        model: a run folder, a .tflite with its contract, or the name of a model of the package.
        target: ``hf://USER/NAME``, made where it is missing; or a folder.
        private: whether a new repository is private.
        license_id: for the card, as the hub writes it, e.g. ``apache-2.0``; "" for none.
        overwrite: replace another model of that name in a folder; the hub keeps every version.

    Returns:
        Where it is now: the address of the commit in a browser, or the folder.

    Raises:
        ConfigError: the license is no identifier, or the folder has another model of that name.
        ModelError: no such model; its figures are of an earlier file; the hub refuses it.
        DependencyError: a package is not installed.

    Example:
        >>> push("runs/voc", "hf://me/voc-detector", license_id="apache-2.0")  # doctest: +SKIP
    """
    if license_id and not _LICENSE.fullmatch(license_id):
        raise ConfigError(
            f"license {license_id!r} is no identifier; write it as the hub does, e.g. apache-2.0"
        )
    with tempfile.TemporaryDirectory(prefix="quantdet-") as temporary:
        folder = Path(temporary)
        _write_model(model, target, folder, license_id)
        if is_hub_address(target):
            (file,) = shown_files(folder, "*.tflite")
            message = f"Upload {file.name} with quantdet"
            return upload(folder, parse_address(target), message, private=private)
        out = Path(target).expanduser()
        if (out / CARD).exists():
            (folder / CARD).unlink()
        return str(_copy(shown_files(folder), out, overwrite=overwrite))


def pull(
    source: str, out: Path | str | None = None, *, overwrite: bool = False, progress: Tick = no_tick
) -> Path:
    """Get a model, and check that it is whole.

    Args:
        source: ``hf://USER/NAME[@REVISION][/FILE.tflite]``, the http address of a .tflite that has
            its contract inside, a run folder or a .tflite.
        out: folder for it; None for one with the name of the model.
        overwrite: replace files of the same names.
        progress: of a file from an http address: (bytes, all bytes).

    Returns:
        The .tflite.

    Raises:
        ConfigError: the folder has other files of those names.
        DataError: an http address that cannot be fetched.
        ModelError: no such model, or not whole.
        DependencyError: a package is not installed.

    Example:
        >>> pull("hf://me/voc-detector", "detector")  # doctest: +SKIP
        PosixPath('detector/model.tflite')
    """
    with tempfile.TemporaryDirectory(prefix="quantdet-") as temporary:
        if source.startswith(("http://", "https://")):
            file = fetch(source, Path(temporary), progress)
        else:
            file = find_model(source)
        file = Detector(file).model_file
        folder = Path(out) if out is not None else Path(_name(source, file))
        _copy(_belonging(file, is_hub_address(source)), folder, overwrite=overwrite)
    return folder / file.name


def _write_model(model: Path | str, target: str, folder: Path, license_id: str) -> None:
    """Write what :func:`push` sends."""
    path = find_model(model)
    detector = Detector(path)
    file, contract = detector.model_file, detector.contract
    on_hub = is_hub_address(target)
    described = Described(
        title=parse_address(target).name if on_hub else Path(target).name,
        address=target if on_hub else file.name,
        file=file.name,
        size=file.stat().st_size,
        contract=contract,
        metrics=_metrics(Run(path)) if path.is_dir() else None,
        license_id=license_id,
    )
    write_bytes(folder / file.name, file.read_bytes())
    # A contract that was inside the file alone does not know the file's digest.
    whole = contract.model_copy(update={"sha256": file_sha256(file)})
    whole.save(contract_path(folder / file.name))
    write_bytes(folder / CARD, model_card(described).encode())


def _metrics(run: Run) -> AnyMetrics | None:
    """Return the figures of a run, which must be those of its file."""
    measured = run.recorded(EvaluateRecord).sha256
    results = read_results(run)
    # An earlier quantdet noted no digest, only when each stage ran.
    other = measured != file_sha256(run.model_file) if measured else _ran_since(results)
    if other:
        raise ModelError(
            f"{run.root}: was exported again since it was measured, so its figures are those of "
            f"another file; run `quantdet evaluate {run.root}` first"
        )
    return results.metrics


def _ran_since(results: Results) -> bool:
    return "evaluate" in dict(outdated(results.stages))


def _belonging(file: Path, on_hub: bool) -> Iterator[Path]:
    """Yield a model's files; its folder may have others, but a repository is the model's own."""
    texts = [path for pattern in (CARD, "LICENSE*") for path in shown_files(file.parent, pattern)]
    for path in (file, contract_path(file), *(texts if on_hub else ())):
        if path.is_file():
            yield path


def _copy(files: Iterable[Path], folder: Path, *, overwrite: bool) -> Path:
    """Copy files into a folder, nothing if one of them would replace another content."""
    contents = {folder / file.name: file.read_bytes() for file in files}
    for target, content in contents.items():
        if target.exists() and not overwrite and target.read_bytes() != content:
            raise ConfigError(
                f"{target}: is there already, with other content; choose another folder, or "
                "replace it with --overwrite (overwrite=True)"
            )
    for target, content in contents.items():
        write_bytes(target, content)
    return folder


def _name(source: str, file: Path) -> str:
    return parse_address(source).name if is_hub_address(source) else file.stem
