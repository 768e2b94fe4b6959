"""Write the page as a folder that any web host can serve."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from quantdet.errors import ModelError, QuantdetError
from quantdet.system.atomic import atomic_folder, write_json
from quantdet.web.site import Files, Shown

MANIFEST = "quantdet-web.json"
FORMAT = "quantdet-web-1"


def write_static(models: Sequence[Shown], files: Files, folder: Path) -> None:
    """Write all files of the page; nothing but an earlier page is replaced.

    Args:
        models: of the page.
        files: relative URL → content.
        folder: made if missing.

    Raises:
        ModelError: the browser cannot run a model, and there is no server to do it.
        QuantdetError: the folder holds other files, or cannot be written.
    """
    for model in models:
        problem = model.browser_problem()
        if problem is not None:
            raise ModelError(
                f"{model.detector.model_file}: {problem}, and a static page has no server to fall "
                "back on; export it with `quantdet export --format uint8`, or leave --static out"
            )
    with atomic_folder(folder, replace=_is_ours(folder)) as whole:
        for url, content in files.items():
            target = whole / url
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, target)
            else:
                target.write_bytes(content)
        write_json(whole / MANIFEST, {"format": FORMAT, "files": sorted(files)})


def _is_ours(folder: Path) -> bool:
    """Return whether the folder holds a page written by us and nothing else."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        known = {*manifest["files"], MANIFEST}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    if found <= known:
        return True
    foreign = ", ".join(sorted(found - known)[:3])
    raise QuantdetError(
        f"{folder}: holds files that are not part of the page ({foreign}); move them away or "
        "choose another folder"
    )
