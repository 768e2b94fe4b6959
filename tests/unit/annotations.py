"""What annotations of the package say, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "quantdet"


@dataclass(frozen=True)
class Annotation:
    """One annotation.

    Attributes:
        place: "file:line" within the package.
        owner: dotted name of the function or class that it stands in.
        whole: what is annotated; ``free`` are the names in it that stand for Any.
    """

    place: str
    owner: str
    whole: ast.expr
    free: frozenset[str]

    @property
    def is_free(self) -> bool:
        """Whether some part of it is Any."""
        return not self.free.isdisjoint(_names(self.whole))

    @property
    def has_free_mapping(self) -> bool:
        """Whether some part of it is a mapping from names to Any."""
        return any(_is_free_mapping(node, self.free) for node in _parts(self.whole))


def read_package(named: Collection[str] = ()) -> list[Annotation]:
    """Return all annotations of arguments, results and variables.

    Args:
        named: aliases of Any that say what they are; they do not count as Any.
    """
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    return read_modules(
        {path.relative_to(PACKAGE).as_posix(): tree for path, tree in trees.items()}, named
    )


def read_modules(modules: dict[str, ast.Module], named: Collection[str] = ()) -> list[Annotation]:
    """Return the annotations of modules, file → its content; other arguments as above."""
    free = {file: _aliases(tree, {"Any"}) - set(named) for file, tree in modules.items()}
    found = []
    for file, tree in modules.items():
        imported = {
            alias.asname or alias.name
            for node in _statements(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
            if alias.name in free.get(_file_of(node.module), ())
        }
        known = frozenset(_aliases(tree, free[file] | imported) - set(named))
        found += [
            Annotation(f"{file}:{whole.lineno}", owner, whole, known)
            for owner, whole in _annotations(tree, "")
        ]
    return found


def is_public(owner: str) -> bool:
    """Tell whether other rooms may call it."""
    return not any(part.startswith("_") and part != "__init__" for part in owner.split("."))


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield what stands at the top, and below ``if TYPE_CHECKING``."""
    for node in tree.body:
        yield node
        yield from node.body if isinstance(node, ast.If) else ()


def _annotations(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.expr]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue  # has none inside
        inside = owner
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{owner}.{child.name}".lstrip(".")
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = f"{owner}._{child.name}"  # nobody else can call it
        for field in ("annotation", "returns"):
            found = getattr(child, field, None)
            if isinstance(found, ast.expr):
                yield (_variable(child, node, owner) or inside), found
        yield from _annotations(child, inside)


def _variable(child: ast.AST, node: ast.AST, owner: str) -> str | None:
    """Return the dotted name of a variable; a local one counts as private."""
    match child:
        case ast.AnnAssign(target=ast.Name(id=name)):
            local = not isinstance(node, ast.Module | ast.ClassDef)
            return f"{owner}.{'_' if local else ''}{name}".lstrip(".")
    return None


def _aliases(tree: ast.Module, free: set[str]) -> set[str]:
    """Return ``free``, and the names at the top of a module that stand for something with it."""
    found = set(free)
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value):
                pass
            case ast.AnnAssign(
                target=ast.Name(id=name),
                annotation=ast.Name(id="TypeAlias"),
                value=ast.expr() as value,
            ):
                pass
            case _:
                continue
        # A call or a table is a value, not a type.
        if not isinstance(value, ast.Call | ast.Dict) and not found.isdisjoint(_names(value)):
            found.add(name)
    return found


def _parts(whole: ast.expr) -> Iterator[ast.AST]:
    for node in ast.walk(whole):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                yield from _parts(ast.parse(node.value, mode="eval").body)
            except SyntaxError:  # of Literal or Annotated
                continue
        yield node


def _names(whole: ast.expr) -> set[str]:
    return {node.id for node in _parts(whole) if isinstance(node, ast.Name)}


def _is_free_mapping(node: ast.AST, free: Collection[str]) -> bool:
    match node:
        case ast.Subscript(
            value=ast.Name(id="dict" | "Mapping"),
            slice=ast.Tuple(elts=[_, ast.Name(id=name)]),
        ):
            return name in free
    return False


def _file_of(module: str) -> str:
    path = module.removeprefix("quantdet").lstrip(".").replace(".", "/")
    return f"{path}.py" if (PACKAGE / f"{path}.py").is_file() else f"{path}/__init__.py".lstrip("/")
