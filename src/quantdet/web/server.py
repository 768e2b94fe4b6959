"""The server behind the page: its files, and detection for browsers that cannot do it.

It answers the machine it runs on and nobody else: bound to 127.0.0.1, only to requests that name
this machine (else a foreign web site could reach it by DNS rebinding), and to no other origin.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from anyio import fail_after
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quantdet.detections import Detections
from quantdet.errors import QuantdetError
from quantdet.runtime.detector import Detector
from quantdet.runtime.preprocess import TooManyPixelsError, decode_image, fit_picture
from quantdet.web.clients import Clients, Upload
from quantdet.web.site import Files, Shown

HOST = "127.0.0.1"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""Of Pillow, tried on uploads; what browsers show too. The content decides, never a name."""
UPLOAD_S = 60
"""Longest time that a picture may take to arrive; it comes from this machine."""

_HEADERS = {
    # WebAssembly, nothing inline, and nothing from elsewhere.
    "content-security-policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
        "connect-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    # These two make the page cross-origin isolated, without which WebAssembly has no threads.
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    # Another model may be served from this address tomorrow.
    "cache-control": "no-cache",
}
_MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
}


def make_app(models: Sequence[Shown], files: Files) -> Starlette:
    """Return the application: GET a file of ``files``, POST api/detect?model=1 a picture."""
    lock = threading.Lock()
    clients = Clients()

    def answer(model: Shown, content: bytes) -> dict[str, object]:
        # One decoded picture at a time is what bounds the memory.
        with lock:
            return detect(model.detector, content)

    async def post(request: Request) -> Response:
        _refuse_foreign(request)
        number = request.query_params.get("model", "")
        chosen = {str(index + 1): model for index, model in enumerate(models)}.get(number)
        if chosen is None:
            raise HTTPException(404, f"there is no model {number!r}")
        with closing(Upload(clients, request.client.host if request.client else "")) as upload:
            content = await _receive(request, upload)
            try:
                return JSONResponse(await run_in_threadpool(answer, chosen, content))
            except TooManyPixelsError as error:
                raise HTTPException(413, str(error)) from None
            except QuantdetError as error:
                raise HTTPException(422, str(error)) from None

    async def get(request: Request) -> Response:
        content = files.get(request.path_params["path"] or "index.html")
        if content is None:
            raise HTTPException(404, "there is no such file")
        media_type = _media_type(request.path_params["path"] or "index.html")
        if isinstance(content, Path):
            return FileResponse(content, media_type=media_type)
        return Response(content, media_type=media_type)

    return Starlette(
        routes=[Route("/api/detect", post, methods=["POST"]), Route("/{path:path}", get)],
        middleware=[
            Middleware(_Headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
        ],
        exception_handlers={HTTPException: _explain},
    )


def detect(detector: Detector, content: bytes) -> dict[str, object]:
    """Return what is in a picture file, JSON-ready; all that evaluation would see.

    Returns:
        ``size_hw`` of the upright picture, ``times_ms`` of its parts, and ``detections`` with
        class_id, score and box_xyxy, best first.

    Raises:
        DataError: not a picture, damaged, or too large.
    """
    start = time.perf_counter()
    pixels = decode_image(io.BytesIO(content), "the picture", FORMATS)
    resized = fit_picture(pixels, detector.contract.input)
    read = time.perf_counter()
    size_hw = (pixels.shape[0], pixels.shape[1])
    found = detector.detect_pixels(resized, size_hw)
    total_ms = 1000 * (time.perf_counter() - read)
    inference_ms = detector.last_inference_ms
    return {
        "size_hw": size_hw,
        "times_ms": {
            "preprocess": 1000 * (read - start),
            "inference": inference_ms,
            "decode": total_ms - inference_ms,
        },
        "detections": _records(found),
    }


def _records(found: Detections) -> list[dict[str, object]]:
    """Return detections not rounded, so that the page's threshold cuts as ours does."""
    rows = zip(
        found.class_ids.tolist(), found.scores.tolist(), found.boxes_xyxy.tolist(), strict=True
    )
    return [
        {"class_id": class_id, "score": score, "box_xyxy": box} for class_id, score, box in rows
    ]


async def _receive(request: Request, upload: Upload) -> bytes:
    """Return what was sent; it is not read further than allowed, whatever its header promises."""
    try:
        with fail_after(UPLOAD_S):
            async for chunk in request.stream():
                upload.add(chunk)
    except TimeoutError:
        raise HTTPException(408, f"the picture did not arrive within {UPLOAD_S} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the picture is not whole") from None  # nobody hears it
    return upload.whole()


def _refuse_foreign(request: Request) -> None:
    """Answer no page of another origin; browsers name theirs in every POST."""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{request.headers['host']}":
        raise HTTPException(403, f"requests from {origin} are not answered")


async def _explain(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # it is registered for nothing else
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _media_type(path: str) -> str:
    return _MEDIA_TYPES.get(Path(path).suffix, "application/octet-stream")


class _Headers:
    """Middleware that puts ``_HEADERS`` on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
