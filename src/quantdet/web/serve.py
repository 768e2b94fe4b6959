"""Run the server until Ctrl-C."""

from __future__ import annotations

import errno
import os
import socket
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType

from quantdet.errors import ConfigError, DependencyError
from quantdet.web.site import Files, Shown

# One more picture may be on its way when Ctrl-C comes.
_LAST_ANSWERS_S = 2
_WAITING_CONNECTIONS = 64


def serve(
    models: Sequence[Shown],
    files: Files,
    *,
    port: int,
    open_browser: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the page on 127.0.0.1 until Ctrl-C.

    Args:
        models: that api/detect runs.
        files: of the page.
        port: 0 takes a free one.
        open_browser: also open the page.
        announce: called with the page's address once it can be reached.

    Raises:
        ConfigError: the port is in use or not allowed.
        DependencyError: the web server's packages are not installed.
    """
    uvicorn = _load_uvicorn()
    from quantdet.web.server import HOST, make_app

    listener = _listen(HOST, port)
    url = f"http://{HOST}:{listener.getsockname()[1]}/"
    config = uvicorn.Config(
        make_app(models, files),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )
    # Connections wait at the socket until the server takes them.
    announce(url)
    if open_browser:
        webbrowser.open(url)
    with listener, suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    if os.name == "posix":
        # A server that was just stopped leaves its port waiting for a minute. (On Windows this
        # would take the port from a running one.)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_WAITING_CONNECTIONS)
    except OSError as error:
        listener.close()
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"fails ({error.strerror})"
        raise ConfigError(
            f"port {port} of {host} {reason}; give another with --port, or 0 for any free one"
        ) from None
    return listener


def _load_uvicorn() -> ModuleType:
    try:
        import starlette  # noqa: F401 - only whether it is there
        import uvicorn
    except ImportError:
        raise DependencyError(
            'the page needs a web server: pip install "quantdet[web]"; or write it as files with '
            "--static DIR"
        ) from None
    return uvicorn
