"""How much one client may have the server do; the application is asked directly."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from starlette.exceptions import HTTPException

from quantdet.runtime.pretrained import pretrained_file
from quantdet.web import clients as limits
from quantdet.web import server
from quantdet.web.clients import Clients, Upload
from quantdet.web.site import load_models

HOST = [(b"host", b"127.0.0.1")]


@pytest.fixture(scope="module")
def app():
    return server.make_app(load_models([pretrained_file()]), {})


@pytest.fixture(scope="module")
def picture():
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(stream, "PNG")
    return stream.getvalue()


def in_own_loop(coroutine):
    """Run it in another thread: Playwright's loop runs in this one once a browser was started."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


async def ask(app, receive, address="127.0.0.1"):
    """Return (status, headers) of one POST of a picture."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/detect",
        "query_string": b"model=1",
        "headers": HOST,
        "client": (address, 1),
    }
    sent = []

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])


def body(content):
    async def receive():
        return {"type": "http.request", "body": content}

    return receive


def hung(content, whole):
    """A client that sends some of its picture, and the rest when ``whole`` is set."""
    parts = iter([content[:20], content[20:]])

    async def receive():
        part = next(parts)
        if part == content[:20]:
            return {"type": "http.request", "body": part, "more_body": True}
        await whole.wait()
        return {"type": "http.request", "body": part}

    return receive


def test_one_client_waits_for_its_own_answers_only(app, picture, monkeypatch):
    monkeypatch.setattr(limits, "MOST_BYTES", len(picture) + 30)

    async def run():
        whole = asyncio.Event()
        slow = [asyncio.create_task(ask(app, hung(picture, whole))) for _ in range(2)]
        await asyncio.sleep(0)
        busy = await ask(app, body(picture))
        other = await ask(app, body(picture), "127.0.0.2")
        whole.set()
        later = await asyncio.gather(*slow)
        return busy, other, later, await ask(app, body(picture))

    busy, other, later, after = in_own_loop(run())
    assert busy[0] == 429
    assert busy[1][b"retry-after"] == b"1"
    assert other[0] == 200
    # What was refused is given back at once; one of two slow ones was too much, too.
    assert sorted(status for status, _ in later) == [200, 429]
    assert after[0] == 200


def test_pictures_that_wait_are_counted():
    clients = Clients()
    uploads = [Upload(clients, "a") for _ in range(limits.MOST_PICTURES + 1)]
    for upload in uploads:
        upload.add(b"picture")
    for upload in uploads[1:]:
        assert upload.whole() == b"picture"
    with pytest.raises(HTTPException) as refused:
        uploads[0].whole()
    assert refused.value.status_code == 429
    assert Upload(clients, "b").whole() == b""
    uploads[1].close()
    uploads[0].whole()
    for upload in (uploads[0], *uploads[2:]):
        upload.close()
    assert not clients.bytes
    assert clients.pictures == {"b": 1}


def test_upload_that_never_ends(app, picture, monkeypatch):
    monkeypatch.setattr(server, "UPLOAD_S", 0.05)

    async def run():
        return await ask(app, hung(picture, asyncio.Event()))

    assert in_own_loop(run())[0] == 408


def test_client_that_goes_away(app):
    async def receive():
        return {"type": "http.disconnect"}

    assert in_own_loop(ask(app, receive))[0] == 400  # which nobody hears
