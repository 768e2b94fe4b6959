"""LiteRT.js, which runs a .tflite in a browser: fetched once from npm and kept.

    FOLDER/litert.js            entry: ``import("FOLDER/litert.js")``
    FOLDER/core/                WebAssembly: ``loadLiteRt("FOLDER/core/", {threads})``
    FOLDER/wasm-utils/index.js  what the entry imports

It takes and gives uint8, int32 and float32 tensors by name; int8 and int16 it refuses. Threads need
a page that is cross-origin isolated (headers COOP and COEP) and a browser with relaxed SIMD.
"""

from __future__ import annotations

import os
from pathlib import Path

from quantdet.errors import DependencyError
from quantdet.system.atomic import write_text
from quantdet.system.npm import NpmFiles
from quantdet.system.user_cache import user_cache_dir

FOLDER_VARIABLE = "QUANTDET_LITERTJS"
"""Environment variable: a folder with LiteRT.js, for machines without npm or network."""

VERSION = "2.5.3"
ENTRY = "litert.js"

_REMEDY = (
    f"set {FOLDER_VARIABLE} to a copy of ~/.cache/quantdet/litertjs-{VERSION} from a machine "
    "that has it (`quantdet web` creates it there)"
)
_BUILDS = ("", "compat_", "threaded_")
CORE = NpmFiles(
    f"@litertjs/core@{VERSION}",
    (
        "package/dist/index.js",
        *(
            f"package/wasm/litert_wasm_{build}internal.{suffix}"
            for build in _BUILDS
            for suffix in ("js", "wasm")
        ),
    ),
    "63faa5f9e3bf9d7fbb9b844b63f336f5f0b493693877c46d36200b35d858d976",
    _REMEDY,
)
WASM_UTILS = NpmFiles(
    f"@litertjs/wasm-utils@{VERSION}",
    ("package/dist/index.js",),
    "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2",
    _REMEDY,
)
NOTICE = f"""LiteRT.js {VERSION} (npm {CORE.package}, {WASM_UTILS.package})
Copyright Google LLC, Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0
"""
_CHANGED = f"// LiteRT.js {VERSION} of Google LLC, Apache-2.0; quantdet changed one import.\n"
_PARTS = {"core": CORE, "wasm-utils": WASM_UTILS}


def litertjs_folder(folder: Path | None = None) -> Path:
    """Return a folder with LiteRT.js, laid out as above; fetch it if it is not kept yet.

    Args:
        folder: that has it; None takes the one that :data:`FOLDER_VARIABLE` names, else the
            user's cache.

    Raises:
        DependencyError: the folder given lacks it, or npm is missing or cannot fetch it.
    """
    given = folder or os.environ.get(FOLDER_VARIABLE)
    root = Path(given) if given else user_cache_dir() / f"litertjs-{VERSION}"
    for name, part in _PARTS.items():
        if not given:
            part.fetch(root / name)
        elif not part.is_in(root / name):
            raise DependencyError(
                f"{root / name}: does not hold the files of npm {part.package}; "
                f"copy all of ~/.cache/quantdet/litertjs-{VERSION} of a machine that has it"
            )
    _write_entry(root)
    return root


def _write_entry(root: Path) -> None:
    """Write the entry: npm's, but importing a file, because a worker resolves no package name."""
    text = (root / "core" / "index.js").read_text("utf-8")
    entry = text.replace('"@litertjs/wasm-utils"', '"./wasm-utils/index.js"')
    entry = _CHANGED + entry.replace("//# sourceMappingURL=index.js.map", "")
    path = root / ENTRY
    if not path.is_file() or path.read_text("utf-8") != entry:
        write_text(path, entry)


def litertjs_files(root: Path) -> list[Path]:
    """Return every file that a browser may ask for, in a folder of :func:`litertjs_folder`."""
    core = [path for path in CORE.paths(root / "core") if path.name != "index.js"]
    return [root / ENTRY, *WASM_UTILS.paths(root / "wasm-utils"), *core]
