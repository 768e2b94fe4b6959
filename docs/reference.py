"""Write what follows from the code: configuration.md (its tables), cli.md, api.md, schemas/*.json.

    python docs/reference.py

A test fails when a page is not what this writes.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

import quantdet
import quantdet.quant
import quantdet.runtime
from quantdet.cli import app
from quantdet.config import Config
from quantdet.presets import preset_names, preset_text
from quantdet.results.analysis import Analysis
from quantdet.results.data import DataFacts
from quantdet.results.details import Details
from quantdet.results.history import Epochs
from quantdet.results.metrics import DetectionMetrics, LocalizerMetrics
from quantdet.results.part import Part
from quantdet.results.verification import Verification

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = Path(__file__).parent
KEYS = re.compile(r"(<!-- keys: .*? -->\n).*?(<!-- end -->)", re.DOTALL)
SCHEMAS: dict[str, type[Part]] = {
    "metrics-detector": DetectionMetrics,
    "metrics-localizer": LocalizerMetrics,
    "details": Details,
    "data": DataFacts,
    "analysis": Analysis,
    "verify": Verification,
    "history": Epochs,
}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, "utf-8")


def pages() -> dict[str, str]:
    """Return file name → text."""
    configuration = (DOCS / "configuration.md").read_text("utf-8")
    keys = "\n".join(configuration_tables())
    return {
        "configuration.md": KEYS.sub(lambda found: f"{found[1]}{keys}\n{found[2]}", configuration),
        "cli.md": "\n".join(command_line()),
        "api.md": "\n".join(public_names()),
        **{f"schemas/{name}.json": _schema(kind) for name, kind in SCHEMAS.items()},
    }


def _schema(kind: type[Part]) -> str:
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
    bounds = [
        f"{sign} {getattr(item, name):g}"
        for item in info.metadata
        for name, sign in _BOUNDS.items()
        if getattr(item, name, None) is not None
    ]
    return ", ".join([_type(info.annotation), *bounds])


def _type(annotation: Any) -> str:
    arguments = [item for item in get_args(annotation) if item is not NoneType]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if get_origin(annotation) is UnionType:
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


def public_names() -> Iterator[str]:
    """Yield the lines about every public name: signature and docstring."""
    yield from ("# Python", "", "Written by `docs/reference.py` from `__all__` of the packages.")
    yield "Names are loaded on first use; `import quantdet` needs neither TensorFlow nor Keras."
    for package in (quantdet, quantdet.quant, quantdet.runtime):
        yield from ("", f"# {package.__name__}")
        if package is not quantdet:
            yield from ("", inspect.getdoc(package) or "")
        for name in package.__all__:
            yield from _public_name(package, name)
    yield ""


def _public_name(package: Any, name: str) -> Iterator[str]:
    value = getattr(package, name)
    if isinstance(value, str):
        return
    yield from ("", f"## {name}", "")
    if isinstance(value, Mapping):
        yield f"Table: {', '.join(f'`{_key(key)}`' for key in value)}."
        return
    yield from ("```python", _signature(name, value), "```", "")
    yield from ("```text", inspect.getdoc(value) or "", "```")
    if inspect.isclass(value) and not issubclass(value, Exception):
        yield from _methods(value)


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
