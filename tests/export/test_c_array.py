"""The C pair compiles without a warning, says what file and contract say, and decodes as Python."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import quantdet.export
from quantdet import Detector
from quantdet.data.scenes import generate_scenes
from quantdet.export.c_array import c_name, c_sources
from quantdet.export.file_formats import export_file_formats
from quantdet.export.metadata import embed_contract
from quantdet.export.micro import CUSTOM, METHODS, MicroNeeds
from quantdet.export.source import ModelSource
from quantdet.runtime.contract import load_contract
from quantdet.runtime.decoders import decode
from quantdet.runtime.engine import Engine
from quantdet.runtime.preprocess import quantize_input, read_image, resize
from quantdet.runtime.pretrained import pretrained_file
from tests.runtime.helpers import make_contract, solid, tiny_model

EXAMPLES = Path(__file__).parents[2] / "examples" / "c"
SOURCES = Path(quantdet.export.__file__).parent / "c"
PROGRAMS = Path(__file__).parent / "c"
NEEDS = MicroNeeds(3, ("AddConv2D", "AddReshape"), (), None, "not tried")
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")
SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


def build(folder, prefix, *parts):
    """Compile the pair of ``prefix`` in ``folder`` with other sources; return the program."""
    program = folder / f"{prefix}-{parts[0].stem}"
    model = (f'-DMODEL_HEADER="{prefix}.h"', f"-DMODEL={prefix}_model")
    includes = ("-I", folder, "-I", EXAMPLES, "-I", SOURCES)
    command = ["gcc", *STRICT, *SANITIZED, *model, *includes, *parts, folder / f"{prefix}.c"]
    done = subprocess.run(
        [*command, "-lm", "-o", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return program


def output(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return [line.split(" ") for line in done.stdout.splitlines()]


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)


def near(*values):
    return [f"{np.float32(value):.9g}" for value in values]


@pytest.mark.parametrize("kind", ["ssd", "single"])
def test_pair_says_what_file_and_contract_say(tiny, kind, tmp_path):
    file = tiny[kind]
    labels = ('the "red" one??/', "blåbær")  # a quote, a trigraph, UTF-8
    embed_contract(file, load_contract(file).model_copy(update={"labels": labels}))
    export_file_formats(file, ["c-array"], tmp_path)
    lines = output(build(tmp_path, kind, PROGRAMS / "print_fields.c"))
    content, contract = file.read_bytes(), load_contract(file)
    checksum = 0
    for value in content:
        checksum = (checksum * 31 + value) & 0xFFFFFFFF
    decoder = contract.decoder
    expected = [
        ["size", str(len(content))],
        ["sum", str(checksum)],
        ["sha256", hashlib.sha256(content).hexdigest()],
        ["aligned", "1"],
        ["first", "TFL3"],
        ["input_size", "32", "32"],
        ["pixels", *near(contract.input.pixel_offset, contract.input.pixel_scale)],
        *(
            [
                part, spec.name, str(index), "0", str(int(np.prod(spec.shape))),
                *near(spec.scale), str(spec.zero_point),
            ]
            for part, spec, index in (
                ("input", contract.input.tensor, 0),
                ("boxes", contract.boxes, position(file, "boxes")),
                ("scores", contract.scores, position(file, "scores")),
            )
        ),
        ["kind", "0" if kind == "ssd" else "2"],
        ["background", "-1" if kind == "ssd" else "0"],
        *(["label", *label.split(" "), "0.5"] for label in labels),
        ["limits", *near(decoder.min_score, decoder.nms_iou), str(decoder.max_detections)],
        ["coder", "10", "10", "5", "5"],
        *([["shape", "4", "4", "0.25", "0.25"]] if kind == "ssd" else []),
        ["anchors", "16" if kind == "ssd" else "0"],
    ]  # fmt: skip
    assert lines == expected


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_headers_are_for_cplusplus_too(tiny, tmp_path):
    export_file_formats(tiny["ssd"], ["c-array"], tmp_path)
    source = tmp_path / "main.cc"
    source.write_text('#include "ssd.h"\n#include "quantdet_decode.h"\nint main() { return 0; }\n')
    strict = ("-std=c++11", *STRICT[1:], "-fsyntax-only")
    subprocess.run(["g++", *strict, "-I", tmp_path, source], check=True)


@pytest.mark.parametrize("header", ["ssd.h", "quantdet_decode.h"])
def test_types_of_another_version_do_not_compile(header, tiny, tmp_path):
    export_file_formats(tiny["ssd"], ["c-array"], tmp_path)
    types = tmp_path / "quantdet_model.h"
    types.write_text(types.read_text().replace("MODEL_VERSION 2", "MODEL_VERSION 1"))
    command = ["gcc", "-std=c99", "-fsyntax-only", "-x", "c", tmp_path / header]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "another version of quantdet: export the model again" in done.stderr


def test_files_say_which_model_they_are_of(tiny, tmp_path):
    source = replace(ModelSource.load(tiny["ssd"]), name="größe 1*\n")
    made = c_sources(source, NEEDS)
    assert set(made) == {
        *("gr__e_1__.h", "gr__e_1__.c", "gr__e_1___micro.h"),
        *("quantdet_model.h", "quantdet_decode.h", "quantdet_decode.c"),
    }
    first = made["gr__e_1__.h"].splitlines()[0].decode()
    assert first.startswith(
        r'/* Made by quantdet from "gr\303\266\303\237e 1*\012.tflite", sha256 '
    )


def test_needs_of_micro_are_in_the_headers(tiny):
    source = ModelSource.load(tiny["ssd"])
    unknown = c_sources(source, NEEDS)
    assert b"SSD_ARENA_BYTES was not measured: not tried." in unknown["ssd.h"]
    assert b"define SSD_ARENA_BYTES" not in unknown["ssd.h"]
    known = c_sources(source, replace(NEEDS, arena_bytes=204800, why_no_arena=""))
    assert b"#define SSD_ARENA_BYTES 230400u" in known["ssd.h"]
    assert b"#error" not in known["ssd_micro.h"]
    lacking = c_sources(source, replace(NEEDS, missing=("ERF",)))
    assert b'#error "TensorFlow Lite Micro has no kernel for ERF"' in lacking["ssd_micro.h"]


STUBS = {
    "micro/micro_mutable_op_resolver.h": """
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
namespace tflite {
template <unsigned int size> struct MicroMutableOpResolver {
  unsigned int added = 0;
  TfLiteStatus AddConv2D() { return ++added > size ? kTfLiteError : kTfLiteOk; }
  TfLiteStatus AddReshape() { return ++added > size ? kTfLiteError : kTfLiteOk; }
};
}
""",
    "micro/micro_interpreter.h": "#define TFLITE_SCHEMA_VERSION (3)\n",
    "schema/schema_generated.h": "",
}
"""What the generated resolver uses of TFLite-Micro; a slow test compiles it with the real one."""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_resolver_adds_every_operator(tiny, tmp_path):
    write(tmp_path, c_sources(ModelSource.load(tiny["ssd"]), NEEDS))
    for name, text in STUBS.items():
        stub = tmp_path / "tensorflow" / "lite" / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(text)
    (tmp_path / "main.cc").write_text(
        '#include "ssd_micro.h"\nint main() { ssd_resolver r; '
        "return ssd_add_operators(r) == kTfLiteOk && r.added == 2 ? 0 : 1; }\n"
    )
    strict = ("-std=c++17", *STRICT[1:])
    command = ["g++", *strict, "-I", tmp_path, tmp_path / "main.cc", "-o", tmp_path / "main"]
    subprocess.run(command, check=True)
    subprocess.run([tmp_path / "main"], check=True)


@pytest.fixture
def micro_tree():
    """TFLite-Micro's sources, as its create_tflm_tree.py puts them together."""
    if "QUANTDET_TFLITE_MICRO" not in os.environ:
        pytest.skip("needs TFLite-Micro's sources, path in QUANTDET_TFLITE_MICRO")
    return Path(os.environ["QUANTDET_TFLITE_MICRO"])


@pytest.mark.slow
def test_resolver_compiles_with_tflite_micro(tiny, micro_tree, tmp_path):
    export_file_formats(tiny["ssd"], ["c-array"], tmp_path)
    header = tmp_path / "ssd_micro.h"
    third_party = micro_tree / "third_party"
    places = [micro_tree, third_party / "flatbuffers" / "include", third_party / "gemmlowp"]
    system = [word for place in places for word in ("-isystem", place)]
    (tmp_path / "main.cc").write_text(
        f'#include "{header.name}"\n'
        "ssd_resolver resolver;\nint main() { return ssd_add_operators(resolver); }\n"
    )
    strict = ("-std=c++17", *STRICT[1:], "-fsyntax-only", "-DTF_LITE_STATIC_MEMORY")
    subprocess.run(["g++", *strict, "-I", tmp_path, *system, tmp_path / "main.cc"], check=True)


@pytest.mark.slow
def test_every_method_is_one_of_tflite_micro(micro_tree):
    header = micro_tree / "tensorflow" / "lite" / "micro" / "micro_mutable_op_resolver.h"
    text = header.read_text()
    methods = {*METHODS.values(), *CUSTOM.values()}
    assert len(methods) > 90
    assert not [method for method in methods if f"TfLiteStatus Add{method}(" not in text]


def position(file, name):
    """Return where LiteRT's interpreter, which knows no names here, gives an output."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    index = interpreter.get_signature_runner().get_output_details()[name]["index"]
    return [item["index"] for item in interpreter.get_output_details()].index(index)


@pytest.mark.parametrize(
    ("stem", "name"), [("model", "model"), ("voc-ssd 300", "voc_ssd_300"), ("3b", "m_3b"),
                       ("_x", "m__x"), ("größe", "gr__e")],
)  # fmt: skip
def test_names(stem, name):
    assert c_name(stem) == name


@pytest.mark.parametrize(("dtype", "number"), [("int8", "1"), ("float32", "3")])
def test_other_types(dtype, number, tmp_path):
    file = tmp_path / "other.tflite"
    file.write_bytes(tiny_model("ssd", dtype))
    embed_contract(file, make_contract(file, "ssd"))
    export_file_formats(file, ["c-array"], tmp_path)
    lines = output(build(tmp_path, "other", PROGRAMS / "print_fields.c"))
    assert [line[3] for line in lines if line[0] in ("input", "boxes", "scores")] == [number] * 3
    assert check_decoding(tmp_path, file, [solid((255, 0, 0), (32, 32))], "other") == 16


def check_decoding(folder, file, pictures, prefix, room=2000, **changes):
    """Compare the C decoder with ours on a model's outputs for pictures; return the boxes seen."""
    program = build(folder, prefix, PROGRAMS / "print_boxes.c", folder / "quantdet_decode.c")
    contract = load_contract(file).model_copy(update=changes)
    engine = Engine(file)
    seen = 0
    for picture in pictures:
        pixels = resize(picture, contract.input.size_hw)[None]
        raw = engine.run(quantize_input(pixels, contract.input))
        for part in ("boxes", "scores"):
            (folder / part).write_bytes(raw[part].tobytes())
        lines = output(program, folder / "boxes", folder / "scores", room)
        found = np.float32(lines).reshape(-1, 6)
        expected = decode(raw, contract, (1, 1))
        np.testing.assert_array_equal(found[:, 0], expected.class_ids)
        np.testing.assert_allclose(found[:, 1], expected.scores, atol=1e-6)
        np.testing.assert_allclose(found[:, 2:], expected.boxes_xyxy, atol=1e-6)
        seen += len(found)
    return seen


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = generate_scenes(tmp_path_factory.mktemp("scenes"), count=12, size_hw=(300, 400))
    return [read_image(path) for path in sorted((root / "JPEGImages").glob("*.jpg"))]


def test_decoder_in_c(pictures, tmp_path):
    source = ModelSource.load(pretrained_file())
    # The weights are not needed here, and take gcc some seconds.
    write(tmp_path, c_sources(replace(source, content=b"no weights"), NEEDS))
    seen = check_decoding(tmp_path, pretrained_file(), pictures, "voc_ssd300")
    assert seen > 200


def test_decoder_in_c_with_background(pictures, tmp_path):
    source = ModelSource.load(pretrained_file())
    labels = source.contract.labels
    changes = {"labels": labels[:8] + labels[9:], "background_index": 8}
    contract = source.contract.model_copy(update=changes)
    write(tmp_path, c_sources(replace(source, content=b"no weights", contract=contract), NEEDS))
    assert check_decoding(tmp_path, pretrained_file(), pictures, "voc_ssd300", **changes)


def test_decoder_in_c_keeps_the_best_where_room_is_short(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("quantdet.runtime.decode_ssd.MAX_CANDIDATES", 50)
    source = ModelSource.load(pretrained_file())
    write(tmp_path, c_sources(replace(source, content=b"no weights"), NEEDS))
    assert check_decoding(tmp_path, pretrained_file(), pictures, "voc_ssd300", room=50)


def test_decoder_in_c_refuses_other_kinds(tiny, tmp_path):
    export_file_formats(tiny["single"], ["c-array"], tmp_path)
    assert not (tmp_path / "quantdet_decode.c").exists()
    parts = (PROGRAMS / "print_boxes.c", SOURCES / "quantdet_decode.c")
    program = build(tmp_path, "single", *parts)
    for part in ("boxes", "scores"):
        (tmp_path / part).write_bytes(bytes(64))
    done = subprocess.run([program, tmp_path / "boxes", tmp_path / "scores"], check=False)
    assert done.returncode == 3


@pytest.fixture(scope="module")
def litert_library():
    spec = importlib.util.find_spec("ai_edge_litert")
    library = Path(spec.origin).parent / "libLiteRt.so"
    if not library.is_file():
        pytest.skip(f"this ai-edge-litert has no {library.name} to link with")
    return library


def check_example(folder, file, pictures, library):
    export_file_formats(file, ["c-array"], folder)
    link = (folder / "quantdet_decode.c", library, f"-Wl,-rpath,{library.parent}")
    program = build(folder, c_name(file.stem), EXAMPLES / "detect_litert.c", *link)
    detector = Detector(file)
    height, width = detector.contract.input.size_hw
    seen = 0
    for picture in pictures:
        pixels = resize(picture, (height, width))
        (folder / "p.rgb").write_bytes(pixels.tobytes())
        lines = output(program, folder / "p.rgb")
        expected = detector.predict(pixels)
        assert [line[0] for line in lines] == expected.names()
        values = np.float32([line[1:] for line in lines]).reshape(-1, 5)
        np.testing.assert_allclose(values[:, 0], expected.scores, atol=2e-6)
        scale = np.float32([width, height, width, height])
        np.testing.assert_allclose(values[:, 1:], expected.boxes_xyxy / scale, atol=2e-6)
        seen += len(lines)
    return program, seen


def test_example_runs_with_litert(tiny, tmp_path, litert_library):
    picture = solid((255, 0, 0), (32, 32))
    picture[:16, :8] = (0, 0, 255)
    program, seen = check_example(tmp_path, tiny["ssd"], [picture], litert_library)
    assert seen == 16
    (tmp_path / "p.rgb").write_bytes(b"short")
    done = subprocess.run([program, tmp_path / "p.rgb"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"p.rgb: wanted are 3072 bytes of RGB" in done.stderr


@pytest.mark.voc
def test_decoder_in_c_on_real_pictures(tmp_path):
    root = Path(os.environ["QUANTDET_VOC"])
    names = (root / "ImageSets/Main/test.txt").read_text().split()
    real = (read_image(root / f"JPEGImages/{name}.jpg") for name in names)
    source = ModelSource.load(pretrained_file())
    write(tmp_path, c_sources(replace(source, content=b"no weights"), NEEDS))
    assert check_decoding(tmp_path, pretrained_file(), real, "voc_ssd300") > 10 * len(names)


@pytest.mark.slow  # gcc takes long over 4 MB
def test_example_runs_the_shipped_model(pictures, tmp_path, litert_library):
    _, seen = check_example(tmp_path, pretrained_file(), pictures, litert_library)
    assert seen
