"""What the server answers, and what it refuses; no browser needed."""

import http.client
import io
import json
import socket
from urllib.parse import urlsplit

import pytest
from PIL import Image

from quantdet import Detector
from quantdet.data.scenes.generate import render_scene
from quantdet.web.site import MAX_BYTES
from tests.web.conftest import start, stop

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


def ask(address, path, *, method="GET", body=None, headers=()):
    """Send a request exactly as given: no client library mends the path."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    given = {"Host": urlsplit(address).netloc, **dict(headers)}
    if body is not None:
        given.setdefault("Content-Length", str(len(body)))
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    return response, response.read()


def post(address, body, headers=(), model=1):
    response, content = ask(
        address, f"/api/detect?model={model}", method="POST", body=body, headers=headers
    )
    return response.status, json.loads(content)


def png(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_picture_is_answered_with_what_the_detector_finds(address):
    pixels, _ = render_scene(0, 99, (300, 400))
    status, answer = post(address, png(Image.fromarray(pixels)))
    assert status == 200
    assert answer["size_hw"] == [300, 400]
    assert set(answer["times_ms"]) == {"preprocess", "inference", "decode"}
    detector = Detector.pretrained()
    found = detector.predict(pixels, threshold=0.0)
    assert len(found) > 2
    assert [item["class_id"] for item in answer["detections"]] == found.class_ids.tolist()
    assert [item["score"] for item in answer["detections"]] == found.scores.tolist()
    assert [item["box_xyxy"] for item in answer["detections"]] == found.boxes_xyxy.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SVG, "not a picture that can be read"),
        (b"", "not a picture that can be read"),
        (png(Image.new("RGB", (64, 64), "red"))[:60], "truncated or damaged"),
    ],
    ids=["svg named .jpg", "nothing", "truncated"],
)
def test_bad_pictures_are_refused_by_content(address, content, message):
    # A name or type that promises something else changes nothing.
    status, answer = post(address, content, {"Content-Type": "image/jpeg"})
    assert status == 422
    assert message in answer["error"]


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 10_000)])
def test_too_many_pixels(address, size):
    status, answer = post(address, png(Image.new("1", size)))
    assert status == 413
    assert "too many pixels, " in answer["error"]
    assert "make it smaller, at most 89 megapixels" in answer["error"]


def test_formats_that_browsers_do_not_show_are_refused(address):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "TIFF")
    assert post(address, stream.getvalue())[0] == 422


def test_large_upload_is_cut_off(address):
    status, answer = post(address, bytes(MAX_BYTES + 1))
    assert status == 413
    assert "more than 32 MiB; make it smaller" in answer["error"]


def test_upload_without_a_length_is_cut_off_too(address):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    chunks = (bytes(2**20) for _ in range(40))
    connection.request("POST", "/api/detect?model=1", body=chunks, encode_chunked=True)
    assert connection.getresponse().status == 413


@pytest.mark.parametrize("model", ["0", "3", "", "-1"])
def test_unknown_model(address, model):
    assert post(address, SVG, model=model)[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/../pyproject.toml", "/models/1/../../config.json/..", "/..%2f..%2fetc/passwd"),
        *(
            "/%2e%2e/%2e%2e/etc/passwd",
            "//etc/passwd",
            "/static/index.html",
            "/models/",
            "/\\..\\x",
        ),
    ],
)
def test_only_files_of_the_page_are_served(address, path):
    assert ask(address, path)[0].status == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7:80"])
@pytest.mark.parametrize("path", ["/", "/config.json", "/models/1/voc-ssd300.tflite"])
def test_foreign_host_is_refused(address, host, path):
    """A web site whose name is made to mean 127.0.0.1 (DNS rebinding)."""
    assert ask(address, path, headers={"Host": host})[0].status == 400


def test_localhost_is_this_machine(address):
    host = f"localhost:{urlsplit(address).port}"
    assert ask(address, "/", headers={"Host": host})[0].status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_foreign_origin_is_refused(address, origin):
    status, answer = post(address, SVG, {"Origin": origin})
    assert status == 403
    assert origin in answer["error"]
    assert post(address, SVG, {"Origin": address.rstrip("/")})[0] == 422


def test_headers_of_every_answer(address):
    paths = ("/", "/config.json", "/models/1/voc-ssd300.tflite", "/nothing")
    for path in paths:
        headers = ask(address, path)[0].headers
        assert "access-control-allow-origin" not in headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy


def test_media_types(address):
    def media_type(path):
        return ask(address, path)[0].headers["content-type"].split(";")[0]

    assert media_type("/") == "text/html"
    assert media_type("/app.js") == "text/javascript"
    assert media_type("/litertjs/core/litert_wasm_internal.wasm") == "application/wasm"


def test_no_other_machine_can_connect(address):
    """It listens on the loopback address only."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; asks for the outward address
        except OSError:
            pytest.skip("this machine has no other address")
        outward = probe.getsockname()[0]
    if outward.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError):
        socket.create_connection((outward, urlsplit(address).port), timeout=2)


def begin(address, sent, promised=100_000):
    """Begin an upload, and leave it there."""
    place = urlsplit(address)
    connection = socket.create_connection((place.hostname, place.port), timeout=30)
    head = f"POST /api/detect?model=1 HTTP/1.1\r\nHost: {place.netloc}\r\n"
    connection.sendall(f"{head}Content-Length: {promised}\r\n\r\n".encode() + sent)
    return connection


def test_client_that_goes_away_is_not_told_of(litertjs):
    process, address = start("voc-ssd300")
    try:
        picture = png(Image.new("RGB", (64, 64), "red"))
        for sent in (b"", picture[:50], picture, bytes(300_000)):
            # With all of it, or before it is whole; with answers unread, too.
            begin(address, sent).close()
            begin(address, sent, promised=len(sent)).close()
        assert post(address, picture)[0] == 200
    finally:
        assert stop(process) == 0
    assert process.communicate(timeout=20) == ("", "")


def test_slow_clients_keep_nobody_waiting(address):
    picture = png(Image.new("RGB", (64, 64), "red"))
    slow = [begin(address, picture[:30]) for _ in range(200)]
    assert [post(address, picture)[0] for _ in range(5)] == [200] * 5
    for connection in slow:
        connection.close()
