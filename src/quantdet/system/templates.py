"""Templates of plain text: C sources, Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantdet.errors import DependencyError

if TYPE_CHECKING:
    from jinja2 import Environment


def text_templates(package: str, needed_by: str, extra: str) -> Environment:
    """Return jinja2's environment for a package's ``templates`` that are no HTML.

    Args:
        package: e.g. ``quantdet.export``.
        needed_by: what the message names where jinja2 is missing.
        extra: of quantdet, which installs it.

    Raises:
        DependencyError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise DependencyError(
            f'{needed_by} needs jinja2: pip install "quantdet[{extra}]"'
        ) from None
    return Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
