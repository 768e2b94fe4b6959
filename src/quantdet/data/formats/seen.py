"""What is in a folder that is no data set, and which layout is nearest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath

from quantdet.data.formats.folders import Tree, read_tree
from quantdet.data.formats.voc_xml import safe_xml
from quantdet.data.images import IMAGE_SUFFIXES
from quantdet.data.records import FaultError, decode_json, peek_text, read_text
from quantdet.errors import DataError

_SHOWN = 6
_LOOKED_AT = 5
_PEEKED = 4096
_LINE = 120
_LAYOUTS = (
    "VOC (a .xml for each picture, next to it or in a folder such as Annotations), COCO (.json "
    "with images and annotations) or YOLO (data.yaml, or a .txt for each picture)"
)
_NEAREST = (
    (
        (".xml",),
        "VOC: but no .xml file holds a VOC <annotation>, or no picture has its name; say where "
        "both are with data.images and data.annotations",
    ),
    (
        (".json", ".csv", ".labels"),
        "COCO, or the export of a tool: but no file has the keys of one; export COCO JSON",
    ),
    (
        (".txt",),
        'YOLO: but no .txt file has the name of a picture and lines "class cx cy width height"; '
        "say where both are with data.images and data.annotations",
    ),
)


def describe_folder(root: Path) -> str:
    """Return what there is, what is nearest, and what is expected, for an error message."""
    if root.is_file():
        return f"the file is neither a YOLO .yaml nor annotations; expected {_LAYOUTS}"
    tree = read_tree(root)
    if not tree.files:
        return f"the folder is empty; expected {_LAYOUTS}"
    return f"found {_contents(tree)}; {_nearest(tree)}; expected {_LAYOUTS}"


def _contents(tree: Tree) -> str:
    paths = [PurePosixPath(file) for file in tree.files]
    counts = Counter((path.suffix.lower() or "no suffix", str(path.parent)) for path in paths)
    shown = [
        f"{count} {suffix} in {'the folder itself' if folder == '.' else f'{folder}/'}"
        for (suffix, folder), count in counts.most_common(_SHOWN)
    ]
    more = [f"{len(counts) - _SHOWN} more kinds and folders"] if len(counts) > _SHOWN else []
    return ", ".join((*shown, *more))


def _nearest(tree: Tree) -> str:
    if not tree.pictures:
        return f"no picture ({', '.join(IMAGE_SUFFIXES)}) is among them"
    said = _broken(tree) or _columns(tree)
    if said:
        return said
    for suffixes, remark in _NEAREST:
        if tree.with_suffix(*suffixes):
            return f"nearest is {remark}"
    return "there are pictures, but no annotations for them"


def _broken(tree: Tree) -> str:
    """Return which of the first annotation files cannot be read at all, and why."""
    for file in tree.with_suffix(".xml", ".json", ".labels")[:_LOOKED_AT]:
        try:
            if file.lower().endswith(".xml"):
                safe_xml(tree.root / file)
            else:
                decode_json(tree.root / file, read_text(tree.root / file, "annotations"))
        except FaultError as fault:
            return f"{file} is {fault.args[1]}"
        except DataError as error:
            return str(error)
    return ""


def _columns(tree: Tree) -> str:
    """Return the columns of the first table, which are not those that are understood."""
    file = next(iter(tree.with_suffix(".csv")), None)
    lines = peek_text(tree.root / file, _PEEKED).splitlines() if file else []
    if not lines:
        return ""
    return (
        f'nearest is a table, but the first line of {file} is "{lines[0]:.{_LINE}}"; name its '
        "columns filename, class, xmin, ymin, xmax, ymax (pixels)"
    )
