"""What people do with the page, in headless Chromium, against `quantdet predict`."""

import base64
import io

import numpy as np
from PIL import Image

from quantdet.boxes import iou_matrix
from tests.web.conftest import STRICT_THRESHOLD, start, stop
from tests.web.helpers import (
    BOAT_AND_CAR,
    SIZE_HW,
    choose,
    open_page,
    predicted,
    saved,
    scene,
    wait,
)


def drop(page, name, content):
    """Let go of a file over the page."""
    transfer = file_transfer(page, name, content)
    page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    wait(page)


def paste(page, name, content):
    page.evaluate(
        "(clipboardData) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData }))",
        file_transfer(page, name, content),
    )
    wait(page)


def file_transfer(page, name, content):
    return page.evaluate_handle(
        """([name, text]) => {
          const transfer = new DataTransfer();
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          transfer.items.add(new File([bytes], name));
          return transfer;
        }""",
        [name, base64.b64encode(content).decode()],
    )


def test_dropped_picture_has_the_boxes_of_predict(page, pictures, tmp_path):
    """Identical: the same pixels, the same integers from XNNPACK, the same decoder."""
    drop(page, pictures[0].name, pictures[0].read_bytes())
    assert "2 objects" in page.locator("#status").inner_text()
    paste(page, pictures[1].name, pictures[1].read_bytes())
    choose(page, pictures[2:])
    got = saved(page)
    assert [item["source"] for item in got] == [path.name for path in pictures]
    for mine, theirs in zip(got, predicted(pictures, tmp_path), strict=True):
        assert mine["detections"] == theirs["detections"]
        assert mine["size_hw"] == theirs["size_hw"]
        assert set(mine) == set(theirs)
        assert mine["error"] is mine["drawn"] is mine["frame"] is None
        assert mine["inference_ms"] > 0
    # Not only what the threshold leaves: all that the decoder gives.
    page.locator("#threshold").fill("0.01")
    expected = predicted(pictures, tmp_path, threshold=0.01)
    assert min(len(item["detections"]) for item in expected) > 20
    assert [item["detections"] for item in saved(page)] == [i["detections"] for i in expected]


def test_jpegs_are_read_alike(used_page, tmp_path):
    """Also those that a camera turned. Chromium's and Pillow's decoders may round otherwise."""
    files = []
    for orientation, quality in ((1, 90), (6, 95), (8, 75), (3, 90)):
        image = scene(*BOAT_AND_CAR)
        exif = image.getexif()
        exif[0x0112] = orientation
        back = {1: 0, 6: 90, 8: 270, 3: 180}[orientation]
        files.append(tmp_path / f"turned-{orientation}.jpg")
        image.rotate(back, expand=True).save(files[-1], quality=quality, exif=exif)
    choose(used_page, files)
    results = zip(saved(used_page)[-4:], predicted(files, tmp_path / "out"), strict=True)
    for mine, theirs in results:
        assert mine["size_hw"] == theirs["size_hw"] == list(SIZE_HW)
        _assert_alike(mine["detections"], theirs["detections"])


def _assert_alike(mine, theirs):
    assert [item["label"] for item in mine] == [item["label"] for item in theirs]
    boxes = [np.array([item["box_xyxy"] for item in items], np.float32) for items in (mine, theirs)]
    assert np.diag(iou_matrix(*boxes)).min() > 0.97
    scores = [[item["score"] for item in items] for items in (mine, theirs)]
    np.testing.assert_allclose(*scores, atol=0.03)


def test_many_pictures_are_kept_by_file_only(page, tmp_path):
    """The page forgets what old pictures look like; a click brings one back."""
    files = [tmp_path / f"{number}.png" for number in range(27)]
    for file in files:
        Image.new("RGB", (40, 30), "red").save(file)
    choose(page, files)
    buttons = page.locator("#strip button")
    assert buttons.count() == 27
    buttons.nth(1).click()
    wait(page)
    shown = page.locator("#panels canvas").first
    assert shown.is_visible()
    assert shown.get_attribute("aria-label").startswith("1.png")
    assert len(saved(page)) == 27


def test_threshold_and_classes_need_no_inference(page, pictures):
    choose(page, pictures[:1])
    count = page.locator("#panels figcaption span").first
    assert count.inner_text().startswith("2 objects")
    timed = page.locator("#speed").inner_text()
    page.locator("#threshold").focus()
    for _ in range(31):
        page.keyboard.press("ArrowRight")
    page.locator("#status", has_text="1 object: 1 boat").wait_for()
    assert "1 object: 1 boat" in page.locator("#panels canvas").first.get_attribute("aria-label")
    assert page.locator("#threshold-value").inner_text() == "0.71"
    page.locator("#threshold-own").click()
    assert count.inner_text().startswith("2 objects")
    page.get_by_role("checkbox", name="boat").uncheck()
    page.locator("#tables").get_by_text("car").first.wait_for()
    assert count.inner_text().startswith("1 object ")
    assert [item["label"] for item in saved(page)[0]["detections"]] == ["car"]
    page.get_by_role("button", name="None").click()
    assert count.inner_text().startswith("no objects")
    page.get_by_role("button", name="All", exact=True).click()
    assert count.inner_text().startswith("2 objects")
    assert page.locator("#speed").inner_text() == timed


def test_boxes_are_drawn_where_they_are(page, pictures):
    """Pixels on the line of the first box have its colour, up to the picture beneath."""
    choose(page, pictures[:1])
    box = saved(page)[0]["detections"][0]["box_xyxy"]
    colors = page.evaluate(
        """([x1, y1, x2, y2]) => {
          const canvas = document.querySelector("#panels canvas");
          const scale = canvas.width / 800;
          const middle = (y1 + y2) / 2;
          const points = [[x1, middle], [x2, middle], [(x1 + x2) / 2, y2], [x1 + 20, middle]];
          const context = canvas.getContext("2d");
          return points.map(([x, y]) =>
            [...context.getImageData(Math.round(x * scale), Math.round(y * scale), 1, 1).data]);
        }""",
        box,
    )
    yellow = [0xF0, 0xE4, 0x42, 255]  # boat, class 3 of the palette
    assert [color == yellow for color in colors] == [True, True, True, False]


def test_two_models_side_by_side(page, pictures):
    choose(page, pictures[:1])
    first, second = page.locator("#panels figcaption span").all_inner_texts()
    assert first.startswith("2 objects")
    assert second.startswith("1 object ")
    rows = page.locator("#tables table").first.locator("tbody tr").all_inner_texts()
    assert "1 difference" in page.locator("#tables caption").first.inner_text()
    assert [row.split("\t")[:2] for row in rows] == [["car", "only voc-ssd300"], ["boat", "both"]]
    assert all(item["score"] > STRICT_THRESHOLD for item in saved(page, 1)[0]["detections"])


def test_speed_is_a_median_of_each_model(page, pictures):
    choose(page, pictures[:2])
    assert "median of 2" in page.locator("#speed").inner_text()
    page.get_by_role("button", name="Measure 20 times").click()
    wait(page)
    assert "median of 20" in page.locator("#speed").inner_text()
    cells = page.locator("#speed td").all_inner_texts()
    assert len(cells) == 8
    assert all(float(cell) >= 0 for cell in cells)


def test_server_gives_the_same_boxes(page, pictures, tmp_path):
    choose(page, pictures[:2])
    here = saved(page)
    with page.expect_response("**/api/detect?model=2") as answered:
        page.get_by_role("radio", name="server").check()
    assert answered.value.ok
    wait(page)
    there = saved(page)
    assert [item["detections"] for item in there] == [item["detections"] for item in here]


def test_server_steps_in_where_webassembly_fails(context, address, pictures):
    context.route("**/*.wasm", lambda route: route.abort())
    page = open_page(context, address)
    assert "the server runs it" in page.locator("#where-note").inner_text()
    assert page.get_by_role("radio", name="this browser").is_disabled()
    choose(page, pictures[:1])
    assert page.locator("#status").inner_text().count("objects") >= 1


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def bad_files():
    """Name → content and what is said of it."""
    return {
        "drawing.jpg": (SVG, "an SVG drawing, not a picture that can be shown; use JPEG, PNG"),
        "text.png": (b"not a picture", "not a picture that can be shown"),
        "empty.jpg": (b"", "not a picture that can be shown"),
        "huge.png": (
            encoded(Image.new("1", (10_000, 10_000)), "PNG"),
            "too many pixels, 10000 x 10000; make it smaller, at most 89 megapixels",
        ),
        "huge.jpg": (
            b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03" + bytes(99),
            "too many pixels, 65535 x 65535",
        ),
        "half.jpg": (
            encoded(Image.new("RGB", (640, 480), "red"), "JPEG")[:400],
            "truncated or damaged",
        ),
        "heavy.png": (b"\x89PNG" + bytes(33 * 2**20), "more than 32 MiB; make it smaller"),
    }


def test_bad_files_are_named_and_nothing_else_stops(page, pictures, tmp_path):
    bad = bad_files()
    for name, (content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
    choose(page, [pictures[0], *(tmp_path / name for name in bad)])
    assert page.locator("#status").inner_text() == "7 of 8 could not be shown"
    said = page.get_by_role("alert").inner_text().splitlines()
    records = saved(page)
    assert len(records[0]["detections"]) == 2
    for (name, (_, message)), line, record in zip(bad.items(), said, records[1:], strict=True):
        assert line.startswith(f"{name}: {message}")
        assert message in record["error"]
        assert record["detections"] == []
    choose(page, pictures[1:2])
    assert not page.get_by_role("alert").is_visible()


def test_other_formats(used_page, tmp_path):
    files = [tmp_path / f"scene.{suffix}" for suffix in ("webp", "gif", "bmp")]
    for file in files:
        scene(*BOAT_AND_CAR).save(file)
    choose(used_page, files)
    for record in saved(used_page)[-3:]:
        assert "boat" in [item["label"] for item in record["detections"]]


def test_transparent_parts_show_white(used_page, tmp_path):
    """As `predict` does; a rounding of one step where a pixel is half transparent."""
    image = scene(*BOAT_AND_CAR)
    image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    path = tmp_path / "fading.png"
    image.save(path)
    choose(used_page, [path])
    expected = predicted([path], tmp_path / "out")
    assert expected[0]["detections"]
    _assert_alike(saved(used_page)[-1]["detections"], expected[0]["detections"])


def test_webcam(page):
    page.get_by_role("button", name="Start webcam").click()
    stop_button = page.get_by_role("button", name="Stop webcam")
    stop_button.wait_for()
    page.locator("#speed", has_text="median of 5").wait_for()
    stop_button.click()
    page.get_by_role("button", name="Start webcam").wait_for()
    records = saved(page)
    assert records[0]["source"] == "camera:0"
    assert records[0]["frame"] >= 4
    assert min(records[0]["size_hw"]) > 100


def test_webcam_that_may_not_be_used(browser, address):
    context = browser.new_context()
    context.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => "
        "Promise.reject(new DOMException('', 'NotAllowedError'));"
    )
    page = open_page(context, address)
    page.get_by_role("button", name="Start webcam").click()
    page.get_by_role("alert").get_by_text(
        "the browser was not allowed to use the webcam"
    ).wait_for()
    context.close()


def test_keyboard_and_names(page):
    """Everything that can be used has a name, and the keyboard reaches it in reading order."""
    controls = page.locator("button, input, [role=img]")
    for index in range(controls.count()):
        control = controls.nth(index)
        if not control.is_visible():
            continue
        name = control.evaluate(
            "(e) => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || e.title"
        )
        assert name.strip(), control.evaluate("(e) => e.outerHTML")
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert reached == ["choose", "camera", "example", "threshold", "where", "all-classes"]
    # A browser opens its dialog only within seconds of the key, which a busy machine may need.
    page.evaluate("""() => document.getElementById("file").addEventListener("click", (event) => {
        event.preventDefault();
        self.asked = event.target.multiple;
    })""")
    page.locator("#choose").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("self.asked === true")
    page.locator("#example").focus()
    page.keyboard.press("Enter")
    page.locator("#status", has_text="example.jpg: ").wait_for()


def test_nothing_is_wider_than_the_window(used_page, pictures):
    choose(used_page, pictures)
    for width in (320, 390, 820, 1440):
        used_page.set_viewport_size({"width": width, "height": 800})
        assert used_page.evaluate("document.documentElement.scrollWidth") <= width


def test_model_that_the_browser_cannot_run(context, litertjs, tmp_path):
    """Without LiteRT.js at all the server does everything, and says so."""
    process, url = start(QUANTDET_LITERTJS=str(tmp_path))
    try:
        page = open_page(context, url)
        assert "the server runs it" in page.locator("#where-note").inner_text()
        page.locator("#example").click()
        page.locator("#status", has_text="1 boat").wait_for()
    finally:
        assert stop(process) == 0
    assert "the server runs the models" in process.stderr.read()
