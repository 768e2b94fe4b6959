"""Models given away and got: hub, folder and web address, with a stand-in for the hub."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from quantdet.errors import ConfigError, ModelError
from quantdet.export.metadata import embed_contract
from quantdet.runtime.contract import contract_path, load_contract
from quantdet.runtime.detector import Detector
from quantdet.share.card import Described, model_card
from quantdet.share.exchange import pull, push
from quantdet.system.hub import HubAddress, parse_address
from tests.runtime.helpers import solid
from tests.runtime.hub_stand_in import hub

pytest.importorskip("huggingface_hub")


@pytest.fixture
def server():
    with hub() as server:
        yield server


@pytest.fixture
def python(server, tmp_path):
    """Run Python in a process that knows the stand-in as the hub, with a cache of its own."""

    def run(*arguments, **changed):
        surroundings = {
            **os.environ,
            "HF_ENDPOINT": server.address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": "hf_right",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **changed,
        }
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=surroundings, cwd=tmp_path
        )

    return run


@pytest.fixture
def quantdet(python):
    def run(*arguments, code=0, **changed):
        done = python("-m", "quantdet", *arguments, **changed)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def red_file(tmp_path):
    file = tmp_path / "red.png"
    Image.fromarray(solid((255, 0, 0), (40, 80))).save(file)
    return file


def test_a_model_goes_to_the_hub_and_every_command_takes_it_from_there(
    quantdet, python, server, own_model, red_file
):
    done = quantdet("push", own_model, "hf://me/cells", "--license", "apache-2.0", "--private")
    assert f"shared: {server.address}/me/cells/commit/" in done.stdout
    assert server.repos["me/cells"].keys() == {"model.tflite", "model.contract.json", "README.md"}
    assert server.repos["me/cells"]["model.tflite"] == own_model.read_bytes()
    assert server.private == {"me/cells"}
    assert server.messages == ["Upload model.tflite with quantdet"]
    local = json.loads(json.dumps(Detector(own_model).predict(red_file).to_list()))
    for given in ((red_file, "--model", "hf://me/cells"), ("hf://me/cells", red_file)):
        found = quantdet("predict", *given, "--json")
        assert json.loads(found.stdout)[0]["detections"] == local
    script = "from quantdet import Detector; print(Detector('hf://me/cells').labels)"
    assert python("-c", script).stdout.strip() == "('red', 'blue')"


def test_a_card_that_people_wrote_stays_and_a_new_model_replaces_the_old(
    quantdet, server, own_model, models
):
    quantdet("push", own_model, "hf://me/cells")
    server.repos["me/cells"]["README.md"] = b"# Mine"
    other = own_model.with_name("other.tflite")
    other.write_bytes(models["grid-uint8"].read_bytes())
    contract_path(other).write_bytes(contract_path(models["grid-uint8"]).read_bytes())
    quantdet("push", other, "hf://me/cells")
    assert server.repos["me/cells"]["README.md"] == b"# Mine"
    assert "other.tflite" in server.repos["me/cells"]
    # model.tflite is meant, and any other by its name.
    quantdet("pull", "hf://me/cells", "--out", "first")
    done = quantdet("pull", "hf://me/cells/other.tflite", "--out", "second", "--json")
    assert json.loads(done.stdout)["file"].endswith("other.tflite")


def test_pull_brings_file_contract_and_card_and_replaces_nothing(
    quantdet, server, own_model, tmp_path
):
    quantdet("push", own_model, "hf://me/cells")
    quantdet("pull", "hf://me/cells")
    got = tmp_path / "cells"
    assert {path.name for path in got.iterdir()} == set(server.repos["me/cells"])
    Detector(got / "model.tflite")
    quantdet("pull", "hf://me/cells")  # the same again
    (got / "README.md").write_text("notes")
    done = quantdet("pull", "hf://me/cells", code=2)
    assert "README.md: is there already, with other content" in done.stderr
    assert (got / "README.md").read_text() == "notes"
    quantdet("pull", "hf://me/cells", "--overwrite")
    assert (got / "README.md").read_text() != "notes"


def test_what_the_hub_refuses_is_said_in_a_sentence(quantdet, server, own_model):
    done = quantdet("pull", "hf://me/nothing", code=2)
    assert "hf://me/nothing: no such repository" in done.stderr
    assert "hf auth login" in done.stderr
    done = quantdet("push", own_model, "hf://me/cells", code=2, HF_TOKEN="hf_wrong")
    assert "hf://me/cells: the hub did not do it" in done.stderr
    assert not server.repos
    server.repos["me/empty"] = {"notes.txt": b""}
    done = quantdet("pull", "hf://me/empty", code=2)
    assert "hf://me/empty: has no .tflite; give one as" in done.stderr
    done = quantdet("pull", "hf://me/empty/other.tflite", code=2)
    assert "other.tflite: no such .tflite; the repository has no .tflite" in done.stderr
    done = quantdet("pull", "hf://me/empty@v9", code=2)
    assert "no revision 'v9'" in done.stderr
    done = quantdet("predict", "red.png", "--model", "hf://me", code=2)
    assert "hf://me: not an address on the hub; write hf://USER/NAME" in done.stderr


def test_without_a_connection_the_cache_answers(quantdet, server, own_model, red_file):
    quantdet("push", own_model, "hf://me/cells")
    quantdet("predict", red_file, "--model", "hf://me/cells")
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    quantdet("predict", red_file, "--model", "hf://me/cells", **nowhere)
    done = quantdet("predict", red_file, "--model", "hf://me/other", code=2, **nowhere)
    assert "hf://me/other: no connection to the hub, and not in its cache" in done.stderr
    done = quantdet("push", own_model, "hf://me/other", code=2, **nowhere)
    assert "hf://me/other: the hub did not do it" in done.stderr


def test_a_spoilt_download_is_refused(quantdet, server, own_model):
    quantdet("push", own_model, "hf://me/cells")
    content = bytearray(server.repos["me/cells"]["model.tflite"])
    content[-1] ^= 1
    server.repos["me/cells"]["model.tflite"] = bytes(content)
    done = quantdet("pull", "hf://me/cells", code=2)
    assert "sha256" in done.stderr


def test_a_folder_works_the_same_way(own_model, tmp_path):
    out = tmp_path / "shared"
    assert push(own_model, str(out)) == str(out)
    assert {path.name for path in out.iterdir()} == {
        "model.tflite", "model.contract.json", "README.md",
    }  # fmt: skip
    (out / "README.md").write_text("# Mine")
    push(own_model, str(out))
    assert (out / "README.md").read_text() == "# Mine"
    assert pull(str(out / "model.tflite"), tmp_path / "again") == tmp_path / "again/model.tflite"
    # Somebody's notes beside a file are not the model's.
    assert not (tmp_path / "again/README.md").exists()
    (out / "model.tflite").write_bytes(b"another")
    with pytest.raises(ConfigError, match=r"model\.tflite: is there already"):
        push(own_model, str(out))
    assert (out / "model.tflite").read_bytes() == b"another"


def test_a_file_from_the_web_needs_its_contract_inside(server, own_model, tmp_path):
    address = f"{server.address}/me/cells/resolve/main/model.tflite"
    server.repos["me/cells"] = {"model.tflite": own_model.read_bytes()}
    with pytest.raises(ModelError, match="contract"):
        pull(address, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    embed_contract(own_model, load_contract(own_model))
    server.repos["me/cells"]["model.tflite"] = own_model.read_bytes()
    file = pull(address, tmp_path / "out")
    assert Detector(file).labels == ("red", "blue")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://me/cells", HubAddress("me/cells")),
        ("hf://me/cells@v1.0", HubAddress("me/cells", "v1.0")),
        ("hf://me/cells/a/b.tflite", HubAddress("me/cells", None, "a/b.tflite")),
        ("hf://me/cells@main/b.tflite", HubAddress("me/cells", "main", "b.tflite")),
    ],
)
def test_addresses(text, address):
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["hf://", "hf://me", "hf://me/", "hf://me/a/../../b", "hf://m e/a"]
)
def test_what_is_no_address(text):
    with pytest.raises(ModelError, match="write hf://USER/NAME"):
        parse_address(text)


def test_a_license_is_an_identifier(own_model, tmp_path):
    with pytest.raises(ConfigError, match=r"license 'MIT\\ntags: x'"):
        push(own_model, str(tmp_path / "out"), license_id="MIT\ntags: x")


def test_hostile_names_are_text_on_the_card(own_model):
    labels = ("<script>alert(1)</script>", "a|b\n# c `d` *e* [f](http://g)")
    contract = load_contract(own_model).model_copy(update={"labels": labels})
    card = model_card(Described("x\n---\nlicense: y", "hf://a/b", "m.tflite", 1, contract))
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "object-detection"
    assert "license" not in yaml.safe_load(head)
    assert "<script>" not in body
    line = next(line for line in body.splitlines() if "script" in line)
    assert line.endswith(r"a\|b \# c \`d\` \*e\* \[f\]\(http://g\)")
    assert "Not measured." in body
