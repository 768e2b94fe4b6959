"""The command that shows models in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quantdet.errors import DependencyError

DEFAULT_PORT = 8766


def web(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Name of a model that comes with quantdet, run folder, or .tflite with its "
            "contract; without it voc-ssd300."
        ),
    ] = None,
    other: Annotated[
        str | None, typer.Argument(metavar="[MODEL2]", help="Another model, shown side by side.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="On 127.0.0.1; 0 picks a free one.")
    ] = DEFAULT_PORT,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-browser", help="Also open the page in the browser.")
    ] = False,
    static: Annotated[
        Path | None,
        typer.Option("--static", help="Write the page to this folder instead, for any web host."),
    ] = None,
) -> None:
    """Try a model in the browser: drop pictures, use the webcam, move the threshold.

    Example: quantdet web runs/voc
    """
    from quantdet.runtime.pretrained import DEFAULT_MODEL, find_model
    from quantdet.web.litertjs import litertjs_folder
    from quantdet.web.serve import serve
    from quantdet.web.site import load_models, make_site
    from quantdet.web.static_export import write_static

    names = [model or DEFAULT_MODEL, *([other] if other else [])]
    models = load_models([find_model(name) for name in names])
    if static is not None:
        write_static(models, make_site(models, litertjs_folder(), server=False), static)
        typer.echo(f"{static}\nserve it from any web host; it does not open as a file")
        return
    try:
        litertjs = litertjs_folder()
    except DependencyError as error:
        typer.echo(f"the server runs the models, because browsers cannot: {error}", err=True)
        litertjs = None
    serve(
        models,
        make_site(models, litertjs, server=True),
        port=port,
        open_browser=open_browser,
        announce=lambda url: typer.echo(f"{url}\npress Ctrl-C to stop"),
    )
