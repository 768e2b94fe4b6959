"""Merge VOC trees as they are published into one ``VOCdevkit/VOC2012``.

The Kaggle zip holds ``VOC2012_train_val/VOC2012_train_val`` and ``VOC2012_test/VOC2012_test``,
the official tars hold a ``VOCdevkit`` each. Nothing is written before every name is known to
fit, and nothing of the source is removed before every file is known to have arrived.
"""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from quantdet.data.digest import map_threads
from quantdet.data.formats.folders import FileIndex
from quantdet.data.formats.lists import find_entry
from quantdet.data.images import IMAGE_SUFFIXES
from quantdet.data.links import place_file
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.system.listing import shown_files

_KINDS = {
    Path("Annotations"): (".xml",),
    Path("ImageSets/Main"): (".txt",),
    Path("JPEGImages"): IMAGE_SUFFIXES,
}
_DEPTH = 3
_SHOWN_CONFLICTS = 5


@dataclass(frozen=True)
class PrepareResult:
    """What was done.

    Attributes:
        root: the merged data set, e.g. VOCdevkit/VOC2012.
        trees: the source trees found.
        pictures: pictures in it now, as verified.
        annotations: XML files in it now.
        lists: split lists in it now.
        linked: files brought by hard link.
        copied: files brought by copy.
        already: files that were there before.
        removed: source files removed.
        listed_without_picture: ids in the lists for which there is no picture.
    """

    root: Path
    trees: tuple[Path, ...]
    pictures: int = 0
    annotations: int = 0
    lists: int = 0
    linked: int = 0
    copied: int = 0
    already: int = 0
    removed: int = 0
    listed_without_picture: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-ready record."""
        return asdict(self) | {"root": str(self.root), "trees": [str(t) for t in self.trees]}


def prepare_voc(
    source: Path | str,
    target_devkit: Path | str,
    *,
    link: bool = True,
    remove_source: bool = False,
    progress: Tick = no_tick,
) -> PrepareResult:
    """Merge every VOC tree under ``source`` into ``target_devkit/VOC<year>``.

    It can be run again: files that are there already with the same content are left alone.
    Only Annotations, ImageSets/Main and JPEGImages are merged; other folders (segmentation,
    actions) stay in the source, also with ``remove_source``.

    Args:
        source: folder with one or more trees, at most three levels deep.
        target_devkit: the VOCdevkit folder to create or add to.
        link: hard links instead of copies where the disk allows.
        remove_source: remove the source files after everything is verified, and the folders
            that are empty then.
        progress: called with (files done, all files).

    Raises:
        DataError: no tree found, several years, files with the same name but different content
            (nothing is written then), or an incomplete copy (nothing is removed then).
    """
    source = Path(source)
    target_devkit = Path(target_devkit)
    trees = _find_trees(source, target_devkit)
    if not trees:
        return _done_before(source, target_devkit, remove_source=remove_source)
    root = target_devkit / _name(source, trees)
    trees = [tree for tree in trees if tree.resolve() != root.resolve()]
    if not trees:
        return _count(PrepareResult(root, ()))
    plan = _plan(trees, root)
    if not plan:
        return _all_removed(trees, root, source, remove_source=remove_source)
    _refuse_conflicts(plan)
    counts = _place(plan, link, progress)
    _verify(plan, compare_content=remove_source)
    removed = _remove(plan, trees, source) if remove_source else 0
    return _count(PrepareResult(root, tuple(trees), removed=removed, **counts))


def _find_trees(source: Path, target_devkit: Path) -> list[Path]:
    if source.is_file():
        raise DataError(
            f"{source}: is no folder; unpack an archive with "
            "`quantdet data download voc2012 --from ARCHIVE` first"
        )
    return list(_walk(source, target_devkit.resolve(), _DEPTH)) if source.is_dir() else []


def _done_before(source: Path, target_devkit: Path, *, remove_source: bool) -> PrepareResult:
    """Return what an earlier call with ``remove_source`` made, if this is its repetition."""
    made = _find_trees(target_devkit, Path()) if remove_source else []
    if len(made) == 1:
        return _count(PrepareResult(made[0], ()))
    if not source.is_dir():
        raise DataError(
            f"{source}: no such folder; get the data with `quantdet data download voc2012`"
        )
    raise DataError(
        f"{source}: no VOC tree here (a folder with JPEGImages, at most {_DEPTH} levels "
        "deep); check that the download is complete"
    )


def _all_removed(
    trees: list[Path], root: Path, source: Path, *, remove_source: bool
) -> PrepareResult:
    """Remove the folders that an earlier call has emptied."""
    if not (remove_source and root.is_dir()):
        raise DataError(f"{trees[0]}: holds no picture, annotation or list; download it again")
    for tree in trees:
        _remove_empty(tree, source)
    return _count(PrepareResult(root, ()))


def _walk(folder: Path, target: Path, depth: int) -> Iterator[Path]:
    if any((folder / kind).is_dir() for kind in _KINDS):
        yield folder
        return
    if depth == 0:
        return
    for child in sorted(folder.iterdir()):
        # What an earlier run made inside the source folder is no source.
        if child.is_dir() and child.resolve() != target and not child.name.startswith("."):
            yield from _walk(child, target, depth - 1)


def _name(source: Path, trees: list[Path]) -> str:
    """Return the folder name for the merged tree: VOC and the year that the paths name."""
    years = set()
    for tree in trees:
        below = str(Path(source.name) / tree.relative_to(source))
        years.update(re.findall(r"VOC(?:19|20)\d\d", below)[-1:])
    if len(years) > 1:
        raise DataError(
            f"{source}: holds {' and '.join(sorted(years))}; prepare them one at a time, give "
            "the folder of one"
        )
    return next(iter(years), trees[0].name)


def _plan(trees: list[Path], root: Path) -> dict[Path, list[Path]]:
    """Return target file → source files of that name."""
    plan: dict[Path, list[Path]] = {}
    for tree in trees:
        for kind, suffixes in _KINDS.items():
            folder = tree / kind
            for path in shown_files(folder):
                if path.suffix.lower() in suffixes:
                    plan.setdefault(root / kind / path.name, []).append(path)
    return plan


def _refuse_conflicts(plan: Mapping[Path, list[Path]]) -> None:
    pairs = []
    for target, sources in plan.items():
        present = [target, *sources] if target.exists() else sources
        pairs += [(present[0], other) for other in present[1:]]
    alike = map_threads(_same_content, pairs)
    conflicts = [pair for pair, same in zip(pairs, alike, strict=True) if not same]
    if conflicts:
        shown = "; ".join(f"{a} and {b}" for a, b in conflicts[:_SHOWN_CONFLICTS])
        raise DataError(
            f"{len(conflicts)} files have the same name but different content, nothing was "
            f"changed: {shown}; rename or remove one of each, or choose another target"
        )


def _same_content(pair: tuple[Path, Path]) -> bool:
    a, b = pair
    try:
        return a.samefile(b) or filecmp.cmp(a, b, shallow=False)
    except OSError as error:
        raise DataError(f"{error.filename}: not readable ({error.strerror}); restore it") from None


def _place(plan: Mapping[Path, list[Path]], link: bool, progress: Tick) -> dict[str, int]:
    counts = {"linked": 0, "copied": 0, "already": 0}
    for done, (target, sources) in enumerate(plan.items(), start=1):
        try:
            if target.exists():
                counts["already"] += 1
            elif place_file(sources[0], target, link=link):
                counts["linked"] += 1
            else:
                counts["copied"] += 1
        except OSError as error:
            raise DataError(
                f"{target}: cannot be written ({error}); check permissions and space, then run "
                "the same command again to resume"
            ) from None
        progress(done, len(plan))
    return counts


def _verify(plan: Mapping[Path, list[Path]], *, compare_content: bool) -> None:
    for target, sources in plan.items():
        if not target.is_file() or target.stat().st_size != sources[0].stat().st_size:
            raise DataError(
                f"{target}: was not copied completely from {sources[0]}, nothing was removed; "
                "remove it and run the same command again"
            )
    if compare_content:
        _refuse_conflicts(plan)


def _remove(plan: Mapping[Path, list[Path]], trees: list[Path], source: Path) -> int:
    removed = 0
    for target, sources in plan.items():
        for path in sources:
            # A link inside the source may lead to the target itself.
            if path.resolve() != target.resolve() or path.is_symlink():
                path.unlink()
                removed += 1
    for tree in trees:
        _remove_empty(tree, source)
    return removed


def _remove_empty(tree: Path, source: Path) -> None:
    for folder, _, _ in os.walk(tree, topdown=False):
        if not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    for parent in tree.parents:
        if not parent.is_relative_to(source) or any(parent.iterdir()):
            return
        parent.rmdir()


def _count(result: PrepareResult) -> PrepareResult:
    root = result.root
    files = {kind: _files(root / kind, suffixes) for kind, suffixes in _KINDS.items()}
    index = FileIndex(root, [path.name for path in files[Path("JPEGImages")]])
    listed = {
        line.strip()
        for path in files[Path("ImageSets/Main")]
        for line in path.read_text("utf-8-sig", errors="replace").splitlines()
        if line.strip()
    }
    return replace(
        result,
        pictures=len(files[Path("JPEGImages")]),
        annotations=len(files[Path("Annotations")]),
        lists=len(files[Path("ImageSets/Main")]),
        listed_without_picture=sum(find_entry(index, line) is None for line in listed),
    )


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [path for path in shown_files(folder) if path.suffix.lower() in suffixes]
