"""The page as people get it: `quantdet web` in a process of its own, and headless Chromium."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from quantdet.errors import DependencyError
from quantdet.runtime.contract import contract_path, load_contract
from quantdet.runtime.pretrained import pretrained_file
from quantdet.web.litertjs import litertjs_folder
from tests.web.helpers import SCENES, open_page, scene

STRICT_THRESHOLD = 0.8
WAIT_MS = 120_000


@pytest.fixture(scope="session")
def litertjs():
    try:
        return litertjs_folder()
    except DependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def strict_model(tmp_path_factory):
    """The shipped model once more, with a contract that shows less."""
    source = pretrained_file()
    file = tmp_path_factory.mktemp("strict") / "strict.tflite"
    shutil.copyfile(source, file)
    contract = load_contract(source)
    decoder = contract.decoder.model_copy(
        update={"score_threshold": STRICT_THRESHOLD, "class_thresholds": {}}
    )
    contract.model_copy(update={"decoder": decoder}).save(contract_path(file))
    return file


def start(*arguments, **environment):
    """Start `quantdet web`; return the process and the page's address."""
    command = [sys.executable, "-m", "quantdet", "web", *arguments, "--port", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:"), process.communicate(timeout=20)
    return process, url


def stop(process):
    process.send_signal(signal.SIGINT)
    return process.wait(timeout=20)


@pytest.fixture(scope="session")
def address(litertjs, strict_model):
    """Of a page with the shipped model and the strict one."""
    process, url = start("voc-ssd300", str(strict_model))
    yield url
    assert stop(process) == 0


@pytest.fixture
def context(browser):
    """A browser profile of its own."""
    with profile(browser) as context:
        yield context


@pytest.fixture(scope="module")
def shared_context(browser):
    with profile(browser) as context:
        yield context


@contextmanager
def profile(browser):
    """A browser profile that may ask this machine only, and raises what a page throws."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    hosts, errors = set(), []
    context.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.close()
    assert hosts <= {"127.0.0.1", None}, "the page asked another machine"
    assert not errors


@pytest.fixture
def page(shared_context, address):
    page = open_page(shared_context, address)
    yield page
    page.close()


@pytest.fixture(scope="module")
def used_page(shared_context, address):
    """For tests that do not mind what others left on it; a new page takes seconds."""
    return open_page(shared_context, address)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """PNG, so that every decoder reads the same pixels; also a grey one, and a tall one."""
    folder = tmp_path_factory.mktemp("pictures")
    images = {f"scene-{index}": scene(seed, index) for seed, index in SCENES}
    images["grey"] = images["scene-99"].convert("L")
    images["tall"] = images["scene-99"].crop((80, 40, 330, 560))
    for name, image in images.items():
        image.save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in images]
