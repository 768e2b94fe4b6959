"""Reports in a real browser: nothing from outside, nothing beside the page, usable by keyboard."""

from __future__ import annotations

from itertools import pairwise

import pytest

from quantdet.config import Config
from quantdet.report.compare import write_comparison
from quantdet.report.html import write_report
from quantdet.runs import Run
from tests.report.made_up_run import complete_detector, complete_run
from tests.report.test_analysis import made_up as made_up_analysis

WIDTHS = (390, 820, 1200, 1440)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Reports: whole, of a deep net, of an unfinished run, of a localizer; and a comparison."""
    root = tmp_path_factory.mktemp("reports")
    whole = complete_detector(root / "a-run-with-a-name-that-is-much-too-long-for-a-telephone")
    other = complete_detector(root / "other", after=0.9)
    # Charts of as many layers as a detector has are wider than a window.
    deep = complete_detector(root / "deep")
    made_up_analysis(112).save(deep.analysis_file)
    return {
        "deep": write_report(deep),
        "whole": write_report(whole),
        "unfinished": write_report(Run.create(root / "unfinished", Config())),
        "localizer": write_report(complete_run(root / "localizer")),
        "comparison": write_comparison([whole, other], root / "comparison.html"),
    }


@pytest.fixture
def opened(browser):
    """Open a file; what the browser complains of, or asks the network for, is in the list."""
    pages = []

    def open_file(path, width=1440, **settings):
        page = browser.new_page(viewport={"width": width, "height": 900}, **settings)
        pages.append(page)
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.complaints.append(request.url))
        page.goto(path.as_uri())
        page.complaints.remove(path.as_uri())
        page.complaints[:] = [text for text in page.complaints if not text.startswith("data:")]
        return page

    yield open_file
    for page in pages:
        page.close()


@pytest.mark.parametrize("name", ["whole", "deep", "unfinished", "localizer", "comparison"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_from_outside_and_nothing_beside_the_page(opened, files, name, scheme):
    page = opened(files[name], color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        widest = page.evaluate("document.documentElement.scrollWidth")
        assert widest <= width, (name, width)
    assert page.complaints == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("name", ["whole", "unfinished", "localizer", "comparison"])
def test_structure(opened, files, name):
    page = opened(files[name])
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later <= level + 1 for level, later in pairwise(levels))
    wanted = page.evaluate("[...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))")
    assert wanted
    assert page.evaluate("ids => ids.every(id => document.getElementById(id))", wanted)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("[...document.images].every(i => i.alt && i.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title().endswith(("report", "comparison"))
    twice = page.evaluate(
        "(ids => ids.filter((id, i) => ids.indexOf(id) !== i))"
        "([...document.querySelectorAll('[id]')].map(e => e.id))"
    )
    assert twice == []


def test_charts_have_the_colours_of_the_scheme(opened, files):
    def colours(scheme):
        page = opened(files["whole"], color_scheme=scheme)
        return page.evaluate(
            "[...document.querySelectorAll('.plot text')].map(t => getComputedStyle(t).fill)"
        )

    light, dark = colours("light"), colours("dark")
    assert light
    assert not set(light) & set(dark)
    assert "rgb(0, 0, 0)" not in (*light, *dark)


def _active(page):
    return page.evaluate("document.activeElement.textContent.trim()")


def test_keyboard_on_a_wide_screen(opened, files):
    page = opened(files["whole"], width=1440)
    page.keyboard.press("Tab")
    assert _active(page) == "Skip to the content"
    page.keyboard.press("Tab")
    assert _active(page) == "Summary"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#checks"
    page.goto(page.url.partition("#")[0])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_keyboard_on_a_narrow_screen(opened, files):
    page = opened(files["whole"], width=390)
    link = page.locator("nav a").first
    assert not link.is_visible()
    for _ in range(2):
        page.keyboard.press("Tab")
    assert _active(page) == "Contents"
    page.keyboard.press("Enter")
    assert link.is_visible()
    fold = page.locator("details.fold:not([open]) > summary").first
    fold.focus()
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.parentElement.open")


@pytest.mark.parametrize("name", ["whole", "deep", "localizer"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_the_first_screen_says_what_it_is_and_what_to_do(opened, files, name, width, height):
    page = opened(files[name], width=width)
    page.set_viewport_size({"width": width, "height": height})
    step = page.locator(".steps li").first.bounding_box()
    assert page.locator("#verdict").bounding_box()["y"] < step["y"]
    assert page.locator(".tiles").bounding_box()["y"] < step["y"]
    # Its first line, below a name of three lines.
    assert step["y"] + 24 <= height
    assert page.evaluate("document.documentElement.scrollHeight") < 2.5 * height


def test_a_link_opens_its_section(opened, files):
    page = opened(files["whole"])
    table = page.locator("#checks table")
    assert not table.is_visible()
    page.locator("#verdict a").click()
    assert table.is_visible()
    page.locator("nav a[href='#layers']").click()
    assert page.locator("#layers .plot").first.is_visible()


@pytest.mark.parametrize("name", ["whole", "localizer"])
def test_every_column_of_the_checks_is_on_a_telephone(opened, files, name):
    page = opened(files[name], width=390)
    page.locator("#checks").evaluate("body => body.parentElement.open = true")
    cells = page.locator("#checks tbody tr > *")
    boxes = [cell.bounding_box() for cell in cells.all()]
    assert len(boxes) % 4 == 0
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    assert page.locator("#checks .scroll").evaluate("e => e.scrollWidth <= e.clientWidth")
    shown = page.locator("#checks tbody tr").first.inner_text()
    assert shown.splitlines()[1] == "Test objects"
    before = "e => getComputedStyle(e, '::before').content"
    assert page.locator("#checks td[data-title=wanted]").first.evaluate(before) == '"wanted: "'


def test_layers_of_a_deep_net_can_be_read(opened, files):
    for width in (390, 1440):
        page = opened(files["deep"], width=width)
        page.locator("#layers").evaluate("body => body.parentElement.open = true")
        drawn = page.locator("#layers .plot").first
        names = drawn.locator("text").filter(has_text="layer_")
        boxes = [name.bounding_box() for name in names.all()]
        assert len(boxes) == 20
        assert min(box["height"] for box in boxes) >= 9
        assert all(b["y"] - a["y"] >= a["height"] for a, b in pairwise(boxes))


def test_contents_stay_beside_the_page(opened, files):
    page = opened(files["whole"], width=1440)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.evaluate("window.scrollTo(0, 3000)")
    box = page.locator("nav a").first.bounding_box()
    assert 0 <= box["y"] < 200


def test_printing_shows_what_is_folded(opened, files):
    page = opened(files["whole"])
    folded = page.locator("details.fold:not([open]) table").first
    assert not folded.is_visible()
    page.emulate_media(media="print")
    assert folded.is_visible()
    assert not page.locator("nav").is_visible()
