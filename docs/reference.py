"""Write what follows from the code: configuration.md (its tables), cli.md, api.md, schemas/*.json,
and the ``__init__.pyi`` of packages whose names are loaded on first use.

    python docs/reference.py

A test fails when a page is not what this writes.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from quantdet import Config
from quantdet.cli import app
from quantdet.presets import preset_names, preset_text
from quantdet.results import (
    Analysis,
    DataFacts,
    Details,
    DetectionMetrics,
    Epochs,
    LocalizerMetrics,
    Manifest,
    Predictions,
    QatSummary,
    TrainSummary,
    Verification,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = Path(__file__).parent
SOURCE = DOCS.parent / "src"
# Where public names are; whatever docs, examples and benchmarks import is one of theirs.
FACES = (
    "quantdet",
    *("quantdet.data", "quantdet.models", "quantdet.train", "quantdet.quant", "quantdet.export"),
    *("quantdet.runtime", "quantdet.evaluate", "quantdet.results", "quantdet.boxes"),
    *("quantdet.errors", "quantdet.presets", "quantdet.cli"),
)
# Not public, but loaded on first use like them.
LAZY_ROOMS = ("quantdet.config",)
KEYS = re.compile(r"(<!-- keys: .*? -->\n).*?(<!-- end -->)", re.DOTALL)
SCHEMAS: dict[str, type[BaseModel]] = {
    "metrics-detector": DetectionMetrics,
    "metrics-localizer": LocalizerMetrics,
    "details": Details,
    "data": DataFacts,
    "analysis": Analysis,
    "verify": Verification,
    "history": Epochs,
    "train-summary": TrainSummary,
    "qat-summary": QatSummary,
    "manifest": Manifest,
    "predictions": Predictions,
}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, "utf-8")


def pages() -> dict[str, str]:
    """Return file name, seen from this folder → text."""
    configuration = (DOCS / "configuration.md").read_text("utf-8")
    keys = "\n".join(configuration_tables())
    return {
        "configuration.md": KEYS.sub(lambda found: f"{found[1]}{keys}\n{found[2]}", configuration),
        "cli.md": "\n".join(command_line()),
        "api.md": "\n".join(public_names()),
        **{f"schemas/{name}.json": _schema(kind) for name, kind in SCHEMAS.items()},
        **{f"../src/{name}": text for name, text in stubs().items()},
    }


def _schema(kind: type[BaseModel]) -> str:
    return json.dumps(kind.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def configuration_tables() -> Iterator[str]:
    """Yield the lines about every section: key, values, default, meaning, presets that set it."""
    presets = {name: tomllib.loads(preset_text(name)) for name in preset_names()}
    for section, field in Config.model_fields.items():
        kind: Any = field.annotation
        yield from ("", f"## [{section}]", "", _one_line(kind.__doc__), "")
        yield from (
            "| key | values | default | meaning | set by presets |",
            "|---|---|---|---|---|",
        )
        for key, info in kind.model_fields.items():
            setting = {
                name: values[section][key]
                for name, values in presets.items()
                if key in values.get(section, {})
            }
            by = ", ".join(f"{name}: {_toml(value)}" for name, value in setting.items())
            cells = (f"`{key}`", _values(info), _default(info), _one_line(info.description), by)
            yield f"| {' | '.join(cells)} |"


def _values(info: FieldInfo) -> str:
    return ", ".join([_type(info.annotation), *_bounds(info.metadata)])


def _bounds(metadata: Sequence[Any]) -> list[str]:
    return [
        f"{sign} {getattr(item, name):g}"
        for item in metadata
        for name, sign in _BOUNDS.items()
        if getattr(item, name, None) is not None
    ]


def _type(annotation: Any) -> str:
    arguments = [item for item in get_args(annotation) if item is not NoneType]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if get_origin(annotation) is Annotated:
        return ", ".join([_type(arguments[0]), *_bounds(arguments[1:])])
    if get_origin(annotation) in {Union, UnionType}:
        return " or ".join(map(_type, arguments))
    names = {str: "text", int: "integer", float: "number", bool: "`true`, `false`", Path: "path"}
    collections = {list: "list", tuple: "list", dict: "table"}
    return names.get(annotation) or collections[get_origin(annotation)]


def _default(info: FieldInfo) -> str:
    return "" if info.default in (None, "", [], {}, ()) else _toml(info.default)


def _toml(value: Any) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def command_line() -> Iterator[str]:
    """Yield the lines about every command, as its help has them."""
    yield from (
        "# Command line",
        "",
        "Written by `docs/reference.py` from `quantdet COMMAND --help`.",
    )
    yield from ("", "| command | |", "|---|---|")
    commands = dict(_commands(typer.main.get_command(app)))
    for name, command in commands.items():
        short = command.get_short_help_str(limit=200)
        yield f"| [`{name}`](#{name.replace(' ', '-')}) | {_one_line(short)} |"
    for name in commands:
        shown = CliRunner().invoke(
            app, [*name.split(), "--help"], prog_name="quantdet", env={"COLUMNS": "80"}
        )
        yield from ("", f"## {name}", "", "```text", shown.output.rstrip(), "```")
    yield ""


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} ")
        else:
            yield f"{prefix}{name}", command


def stubs() -> dict[str, str]:
    """Return file name, seen from the source folder → what type checkers read of a lazy package."""
    packages = {name: importlib.import_module(name) for name in (*FACES, *LAZY_ROOMS)}
    return {
        f"{name.replace('.', '/')}/__init__.pyi": _stub(package)
        for name, package in packages.items()
        if hasattr(package, "_PUBLIC")
    }


def _stub(package: ModuleType) -> str:
    modules: dict[str, list[str]] = {}
    for name in sorted(package._PUBLIC):
        modules.setdefault(package._PUBLIC[name], []).append(name)
    lines = ["# Written by docs/reference.py: the names of __init__.py, for type checkers."]
    for module, names in sorted(modules.items()):
        line = f"from {module} import {', '.join(names)}"
        lines += [line] if len(line) <= 100 else [f"from {module} import (", *_rows(names), ")"]
    lines += ["", *(["__version__: str"] if "__version__" in package.__all__ else [])]
    lines += ["__all__ = [", *(f'    "{name}",' for name in package.__all__), "]", ""]
    return "\n".join(lines)


def _rows(names: list[str]) -> list[str]:
    return [f"    {name}," for name in names]


def public_names() -> Iterator[str]:
    """Yield the lines about every public name: signature, docstring, and where it is used."""
    yield from ("# Python", "", "Written by `docs/reference.py` from `__all__` of the packages.")
    yield "Names are loaded on first use; `import quantdet` needs neither TensorFlow nor Keras."
    yield "[python.md](python.md) shows them at work; the tests run it."
    examples, first = _examples(), dict[int, str]()
    for face in FACES:
        package = importlib.import_module(face)
        yield from ("", f"# {face}")
        if face != "quantdet":
            yield from ("", _text(inspect.getdoc(package) or ""))
        for name in package.__all__:
            value = getattr(package, name)
            if id(value) in first:
                yield from ("", f"`{name}`: see [{first[id(value)]}](#{name.lower()}).")
            elif name != "__version__":
                first[id(value)] = face
                yield from (*_public_name(package, name), *_example(name, examples))
    yield ""


def _examples() -> dict[str, str]:
    """Return section of python.md → its code."""
    parts = re.split(r"^## (.*)$", (DOCS / "python.md").read_text("utf-8"), flags=re.MULTILINE)
    return {
        title: "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def _example(name: str, examples: Mapping[str, str]) -> Iterator[str]:
    for title, code in examples.items():
        if re.search(rf"\b{name}\b", code):
            yield from ("", f"Example: [{title}](python.md#{title.lower().replace(' ', '-')}).")
            return


def _text(docstring: str) -> str:
    """Return a docstring as Markdown, roles of Sphinx as code."""
    return re.sub(r":\w+:`([^`]*)`", r"`\1`", docstring).replace("``", "`")


def _public_name(package: Any, name: str) -> Iterator[str]:
    value = getattr(package, name)
    yield from ("", f"## {name}", "")
    if not inspect.isclass(value) and not inspect.isfunction(value):
        yield from _constant(package, name, value)
        return
    # "py", because a signature is no code that runs.
    yield from ("```py", _signature(name, value), "```", "")
    yield from ("```text", inspect.getdoc(value) or "", "```")
    if inspect.isclass(value) and not issubclass(value, Exception):
        yield from _methods(value)


def _constant(package: Any, name: str, value: Any) -> Iterator[str]:
    yield _text(_words_below(getattr(package, "_PUBLIC", {}).get(name, package.__name__), name))
    if isinstance(value, Mapping):
        yield from ("", f"Keys: {', '.join(f'`{_key(key)}`' for key in value)}.")
    elif isinstance(value, tuple):
        yield from ("", f"`{value}`")


def _words_below(module: str, name: str) -> str:
    """Return the string that stands below the assignment of a constant."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    for assigned, below in pairwise(tree.body):
        target = getattr(assigned, "target", None) or getattr(assigned, "targets", [None])[0]
        if getattr(target, "id", "") == name and isinstance(below, ast.Expr):
            return " ".join(ast.literal_eval(below.value).split())
    raise SystemExit(f"{module}.{name}: has no string below it that says what it is")


def _key(key: Any) -> str:
    return key.__name__ if inspect.isclass(key) else str(key)


def _methods(kind: type) -> Iterator[str]:
    yield from ("", "| | |", "|---|---|")
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        function = getattr(member, "__func__", getattr(member, "fget", member))
        text = inspect.getdoc(function)
        if text and callable(function):
            shown = name if isinstance(member, property) else _signature(name, function, 999)
            yield f"| `{_one_line(shown)}` | {_one_line(text.partition(chr(10) * 2)[0])} |"


class _AsWritten:
    """An annotation that is shown as the code has it, without quotes."""

    def __init__(self, annotation: Any) -> None:
        self._text = (
            annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        )

    def __repr__(self) -> str:
        return self._text


def _signature(name: str, value: Any, width: int = 90) -> str:
    if inspect.isclass(value) and issubclass(value, Exception):
        return f"{name}(message: str)"
    signature = inspect.signature(value)
    own = [item for item in signature.parameters.values() if item.name not in ("self", "cls")]
    result: Any = signature.return_annotation
    if not inspect.isclass(value) and result is not signature.empty:
        result = _AsWritten(result)
    else:
        result = signature.empty
    text = str(signature.replace(parameters=list(map(_parameter, own)), return_annotation=result))
    if len(name + text) > width:
        inside, _, behind = text.rpartition(")")
        inside = re.sub(r", (?=\*,|\w+:|\*\*\w+)", ",\n    ", inside.removeprefix("("))
        text = f"(\n    {inside},\n){behind}"
    return name + text


def _parameter(item: inspect.Parameter) -> inspect.Parameter:
    default = _AsWritten(item.default.__name__) if callable(item.default) else item.default
    if item.default is item.empty:
        default = item.empty
    annotation = item.annotation if item.annotation is item.empty else _AsWritten(item.annotation)
    return item.replace(annotation=annotation, default=default)


if __name__ == "__main__":
    main()
