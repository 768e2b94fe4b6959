"""Public names of a package that are loaded when they are first used.

Type checkers cannot follow them: ``docs/reference.py`` writes an ``__init__.pyi`` beside each such
package, where they find the names with their types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_names(
    package: str, places: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Args:
        package: its ``__name__``.
        places: public name → module that has it.
    """

    def load(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found: object = getattr(import_module(places[name]), name)
        return found

    return load, lambda: sorted(places)
