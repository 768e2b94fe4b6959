"""What the tests of the page share."""

import json

from PIL import Image

from quantdet import Detector
from quantdet.data.scenes.generate import render_scene
from quantdet.runtime.predict import predict_to_folder

SIZE_HW = (600, 800)
BOAT_AND_CAR = (0, 99)  # seed and number of a scene in which the shipped model finds both
SCENES = (BOAT_AND_CAR, (0, 126), (1, 61))


def scene(seed, index):
    return Image.fromarray(render_scene(seed, index, SIZE_HW)[0])


def open_page(context, url):
    page = context.new_page()
    page.goto(url)
    wait(page)
    return page


def wait(page):
    """Until nothing is left to do."""
    page.locator("#look[aria-busy=false]").wait_for()


def choose(page, files):
    page.set_input_files("#file", files)
    wait(page)


def saved(page, button=0):
    """Return what a button of the results saves."""
    with page.expect_download() as download:
        page.locator("#downloads button").nth(button).click()
    return json.loads(download.value.path().read_text("utf-8"))


def predicted(files, folder, **options):
    detector = Detector.pretrained(**options)
    return [item.to_dict() for item in predict_to_folder(detector, files, folder)]
