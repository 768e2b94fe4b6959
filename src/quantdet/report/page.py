"""Templates into one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quantdet.errors import DependencyError
from quantdet.system.atomic import write_text


def require_libraries() -> None:
    """Check that everything a report needs is installed.

    Raises:
        DependencyError: jinja2 or matplotlib is not.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f'the report needs {error.name}: pip install "quantdet[train]"'
        ) from None


def write_page(template: str, values: Mapping[str, object], path: Path) -> None:
    """Write a page in one step.

    Args:
        template: name in ``templates/``.
        values: what it shows.
        path: of the file.

    Raises:
        QuantdetError: the folder cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("quantdet.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(path, environment.get_template(template).render(**values))
