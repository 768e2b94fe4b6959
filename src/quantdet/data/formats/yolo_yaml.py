"""The .yaml file of a YOLO data set: class names, and where the pictures of each split are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from quantdet.data.formats.folders import (
    FileIndex,
    clean_name,
    common_prefix,
    is_file,
    read_tree,
    split_name,
)
from quantdet.data.formats.yolo_labels import MOST_CLASSES
from quantdet.data.labels import read_label_file
from quantdet.data.records import Problem, peek_text, read_text
from quantdet.errors import DataError, DependencyError
from quantdet.system.listing import shown_files

_SHOWN = 10
_MOST_KEYPOINTS = 10_000
YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
# Keys of the format, and of tools that write it, that are no split.
_OTHER_KEYS = (
    *("names", "nc", "path", "download", "roboflow", "kpt_shape", "flip_idx", "kpt_names"),
    *("channels", "task", "author", "date", "description", "license", "version", "url"),
)
_SPLIT_KEY = re.compile(r"^(train|val|valid|validation|test)\s*:", re.MULTILINE)
_NAMES_KEY = re.compile(r"^names\s*:", re.MULTILINE)


@dataclass
class YoloSet:
    """What describes a YOLO data set.

    Attributes:
        root: folder of the data set.
        splits: split → pictures, those that are missing, too.
        names: class names in the order of class ids; empty where there are none.
        keypoints: numbers of key points behind each box.
        not_labels: .txt files that are no labels.
        notes: what was passed over or guessed.
    """

    root: Path
    splits: dict[str, list[Path]]
    names: tuple[str, ...] = ()
    keypoints: int = 0
    not_labels: tuple[Path, ...] = ()
    notes: list[Problem] = field(default_factory=list)


def find_yaml(root: Path) -> Path | None:
    """Return the .yaml that describes the data set ``root``, or ``root`` if it is one itself.

    Raises:
        DataError: several do.
    """
    if is_file(root):
        return root if root.suffix.lower() in (".yaml", ".yml") else None
    if not root.is_dir():
        return None
    # What was unpacked may be in a folder of its own.
    folders = dict.fromkeys((root, root / common_prefix(read_tree(root).files)))
    return next(filter(None, map(_yaml_in, folders)), None)


def _yaml_in(folder: Path) -> Path | None:
    usual = next((folder / name for name in YAML_NAMES if is_file(folder / name)), None)
    if usual is not None:
        return usual
    files = [path for path in shown_files(folder) if path.suffix.lower() in (".yaml", ".yml")]
    found = [path for path in files if _describes(path)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(
            f"{folder}: {names} each describe a data set; give one of them as the data set"
        )
    return next(iter(found), None)


def _describes(path: Path) -> bool:
    text = peek_text(path)
    return bool(_NAMES_KEY.search(text) and _SPLIT_KEY.search(text))


def read_yaml(file: Path) -> YoloSet:
    """Read a .yaml file and list the pictures of its splits; it may name none.

    Raises:
        DataError: it is not usable; the message names file and field.
        DependencyError: PyYAML is not installed.
    """
    content = _parse(file)
    root = file.parent
    if content.get("path"):
        # Often the name that a download gives the folder; then the file's own folder is meant.
        named = (root / str(content["path"])).expanduser()
        root = named if named.is_dir() else root
    keypoints = _keypoints(file, content.get("kpt_shape"))
    _refuse_task(file, content.get("task"))
    found = YoloSet(root, {}, _names(file, content), keypoints)
    found.notes += _other_count(file, content.get("nc"), found.names)
    index: list[FileIndex] = []
    for key, value in content.items():
        if value and str(key) not in _OTHER_KEYS:
            _add_split(found, file, str(key), value, index)
    return found


def _parse(file: Path) -> dict[Any, Any]:
    yaml, text = load_yaml(), read_text(file, "data.yaml")
    try:
        content = yaml.load(text, _loader(yaml.SafeLoader, yaml))
        if isinstance(content, dict):
            # A class called "no", "null" or "007" is no truth value, nothing, or 7.
            spelled = yaml.load(text, _loader(yaml.BaseLoader, yaml)).get("names")
            content["names"] = _as_spelled(content.get("names"), spelled)
    except Exception as error:  # PyYAML raises about every kind on odd numbers and dates
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise DataError(f"{file}{line}: not valid YAML ({reason}); correct it") from None
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds no keys; expected names, train and val")
    return content


def _as_spelled(names: Any, spelled: Any) -> Any:
    """Return class names as the file spells them, with the numbers that YAML makes of keys."""
    if isinstance(names, dict):
        return dict(zip(names, spelled.values(), strict=True))
    return spelled if isinstance(names, list) else names


def _loader(base: Any, yaml: Any) -> Any:
    """Return a loader of PyYAML without aliases of lists and mappings, and without double keys.

    A few lines of aliases, each twice in the next, make a text without end.
    """

    class Loader(base):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = Counter(key.value for key, _ in node.value)
            twice = next((key for key, count in keys.items() if count > 1), None)
            if twice is not None:
                raise ValueError(f"{twice!r} is there twice; keep one of them")
            return super().construct_mapping(node, deep)

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            node = super().compose_node(parent, index)
            if isinstance(event, yaml.AliasEvent) and not isinstance(node, yaml.ScalarNode):
                raise ValueError(f"*{event.anchor} repeats a list or mapping; write it out")
            return node

    return Loader


def load_yaml() -> Any:
    """Return the module ``yaml``, which a device that only runs models does without.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise DependencyError(
            'data.yaml of YOLO data needs PyYAML: pip install "quantdet[evaluate]"'
        ) from None
    return yaml


def _names(file: Path, content: Mapping[Any, Any]) -> tuple[str, ...]:
    names = content.get("names")
    if isinstance(names, str) and is_file(file.parent / names):
        return read_label_file(file.parent / names)
    count = content.get("nc")
    if names is None and type(count) is int and 0 < count <= MOST_CLASSES:
        names = [f"class_{number}" for number in range(count)]
    if isinstance(names, Mapping):
        numbered = {str(key).strip(): name for key, name in names.items()}
        gaps = set(numbered) != set(map(str, range(len(names))))
        # Numbers beside text are a merge by hand: nobody knows which of two orders was meant.
        if gaps or len(set(map(type, names))) > 1:
            raise DataError(f"{file}: names must be numbered 0, 1, 2, ... without gaps or quotes")
        names = [numbered[str(number)] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f'{file}: has no class names; add "names: [first, second]"')
    labels = tuple(str(name).strip() for name in names)
    if not all(labels):
        raise DataError(f"{file}: names has an empty name; give each class its own name")
    twice = sorted(name for name, count in Counter(labels).items() if count > 1)
    if twice:
        shown = ", ".join(repr(name)[1:-1] for name in twice[:_SHOWN])
        raise DataError(f"{file}: names has {shown} twice; give each class its own name")
    return labels


def _other_count(file: Path, count: Any, names: Sequence[str]) -> Iterator[Problem]:
    if count is not None and str(count) != str(len(names)):
        reason = f"nc is {count}, but names has {len(names)} classes; names count"
        yield Problem(file, "class_count", reason, "warning")


def _keypoints(file: Path, shape: Any) -> int:
    """Return the numbers that follow each box of a pose data set."""
    if shape is None:
        return 0
    known = isinstance(shape, list) and len(shape) == 2
    if not known or not all(type(n) is int and 0 <= n <= _MOST_KEYPOINTS for n in shape):
        raise DataError(f"{file}: kpt_shape is not [points, numbers of each]; write it as [17, 3]")
    return int(shape[0] * shape[1])


def _refuse_task(file: Path, task: Any) -> None:
    if str(task).lower() == "obb":
        raise DataError(
            f"{file}: task is obb (oriented boxes), but quantdet learns only upright ones; export "
            "the data as YOLO detection"
        )


def _add_split(found: YoloSet, file: Path, key: str, value: Any, index: list[FileIndex]) -> None:
    split = split_name(key)
    parts = [str(part) for part in (value if isinstance(value, list) else [value])]
    targets = [_target(found.root, part) for part in parts]
    missing = [part for part, target in zip(parts, targets, strict=True) if target is None]
    if missing and split in ("train", "val"):
        raise DataError(
            f"{file}: {key}: {missing[0]} is neither a folder nor a .txt list under {found.root}; "
            "correct the path, or remove the line"
        )
    if missing:
        why = "is neither a folder nor a .txt list" if split else "is unknown and names no split"
        reason = f"{key}: {missing[0]} {why}; it is ignored"
        found.notes.append(Problem(file, "yaml_key_not_used", reason, "warning"))
        return
    pictures = [p for target in targets if target for p in _pictures(found, target, index)]
    # A second name of a split, as valid beside val, is a split of its own.
    found.splits[key if split in found.splits else split or key] = pictures


def _target(root: Path, value: str) -> Path | None:
    """Return the folder or list that a split names, here or where it was written."""
    name = clean_name(value)
    tails = [name.removeprefix("../"), name]  # that within the data set is meant, if there is one
    parts = PurePosixPath(name).parts
    # The path of another machine; one folder alone may be any, unless it is called as a split.
    tails += ["/".join(parts[n:]) for n in range(1, len(parts) - 1)]
    tails += [part for part in parts[-1:] if split_name(PurePosixPath(part).stem)]
    for tail in tails:
        target = root / tail
        try:
            found = target.is_dir() or (target.suffix == ".txt" and target.is_file())
        except (OSError, ValueError):  # no name of a file at all
            return None
        if found:
            return target
    return None


def _pictures(found: YoloSet, target: Path, index: list[FileIndex]) -> Iterator[Path]:
    if target.is_dir():
        yield from pictures_in(target)
        return
    found.not_labels = (*found.not_labels, target)
    yield from listed_pictures(target, found.root, index)


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in a folder and those below it."""
    return [folder / name for name in read_tree(folder).pictures]


def listed_pictures(file: Path, root: Path, index: list[FileIndex]) -> Iterator[Path]:
    """Yield the pictures of a list; one that is not found is where the list says it is.

    Args:
        file: a path a line: relative to the list or the data set, or of another machine.
        root: of the data set.
        index: of its pictures; made and added when it is needed.
    """
    lines = (line.strip() for line in read_text(file, "list of pictures").splitlines())
    for line in filter(None, lines):
        path = file.parent / line
        if not is_file(path):
            if not index:
                index.append(FileIndex(root, read_tree(root).pictures))
            name = index[0].find(line)
            path = path if name is None else root / name
        if path.is_absolute() and not root.is_absolute():  # beside a relative one it is the same
            here = root.resolve()
            path = root / path.relative_to(here) if path.is_relative_to(here) else path
        yield path
