"""`export --format firmware`: whole, refused where it would not work, and equal to `predict`."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantdet import Detector
from quantdet.data.scenes import generate_scenes
from quantdet.errors import ExportError
from quantdet.export.file_formats import export_file_formats
from quantdet.export.firmware import firmware_files
from quantdet.export.metadata import embed_contract
from quantdet.export.micro import MicroNeeds
from quantdet.export.source import ModelSource
from quantdet.runtime.preprocess import read_image, resize
from quantdet.runtime.pretrained import pretrained_file
from tests.export.test_c_array import STRICT, STUBS, micro_tree
from tests.runtime.helpers import make_contract, tiny_model

START = Path(__file__).parent / "c" / "cortex_m7_start.c"
CORTEX_M7 = "-Os -mcpu=cortex-m7 -mthumb -mfpu=fpv5-d16 -mfloat-abi=hard"
TOOLS = (("CC", "CXX", "AR"), ("gcc", "g++", "ar"))
# Code and data in the board's 16 MB, vectors at 0; files and arguments come from the emulator.
PLACES = "-Wl,-u,vectors -Wl,--section-start=.vectors=0 -Wl,-Ttext=0x60000000"
EMULATED = f"--specs=rdimon.specs {PLACES}"
NEEDS = MicroNeeds(3, ("AddConv2D", "AddReshape"), (), 200 * 1024, "")
needs_gcc = pytest.mark.skipif(shutil.which("g++") is None, reason="needs gcc and g++")
__all__ = ["micro_tree"]

INTERPRETER = """
#define TFLITE_SCHEMA_VERSION (3)
#include <cstddef>
#include <cstdint>
struct TfLiteTensor { size_t bytes; union { uint8_t *uint8; int8_t *int8; void *raw; } data; };
namespace tflite {
struct Model {};
inline const Model *GetModel(const void *) { return nullptr; }
struct MicroInterpreter {
  template <class Resolver> MicroInterpreter(const Model *, const Resolver &, uint8_t *, size_t) {}
  TfLiteStatus AllocateTensors() { return kTfLiteOk; }
  TfLiteStatus Invoke() { return kTfLiteOk; }
  size_t arena_used_bytes() const { return 0; }
  TfLiteTensor *input(size_t) { return nullptr; }
  TfLiteTensor *output(size_t) { return nullptr; }
};
}
"""


def written(folder, source, needs=NEEDS):
    for name, content in firmware_files(source, needs).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return folder / f"{source.name}-firmware"


@needs_gcc
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_sources_have_no_warning(dtype, tmp_path):
    """Against stubs of TFLite-Micro; a slow test builds and runs it with the real one."""
    file = tmp_path / "tiny.tflite"
    file.write_bytes(tiny_model("ssd", dtype))
    embed_contract(file, make_contract(file, "ssd"))
    folder = written(tmp_path, ModelSource.load(file))
    status = "enum TfLiteStatus { kTfLiteOk, kTfLiteError };\n"
    stubs = {
        **{name: text.replace(status, "") for name, text in STUBS.items()},
        "micro/micro_interpreter.h": f"#pragma once\n{status}{INTERPRETER}",
    }
    for name, text in stubs.items():
        stub = tmp_path / "stubs" / "tensorflow" / "lite" / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(text)
    include = ("-I", tmp_path / "stubs", "-fsyntax-only")
    cplusplus = ("g++", "-std=c++17", *STRICT[1:], *include, folder / "detector.cc")
    subprocess.run(cplusplus, check=True)
    for name in ("main.c", "tiny.c", "quantdet_decode.c"):
        subprocess.run(("gcc", *STRICT, "-fsyntax-only", folder / name), check=True)


def test_says_what_it_is_of(tiny, tmp_path):
    folder = written(tmp_path, ModelSource.load(tiny["ssd"]))
    text = (folder / "README.md").read_text()
    assert "# ssd.tflite as a program" in text
    assert "230400 bytes for the arena (`SSD_ARENA_BYTES`" in text
    assert "of 32 rows and 32 columns" in text
    for path in folder.iterdir():
        assert path.name in text or path.stem in (
            "quantdet_model",
            "quantdet_decode",
            "Makefile",
            "README",
        )


def test_models_that_it_is_not_for(tiny, tmp_path):
    with pytest.raises(ExportError, match=r"detectors with anchors .* decoder 'single_box'"):
        firmware_files(ModelSource.load(tiny["single"]), NEEDS)
    source = ModelSource.load(tiny["ssd"])
    unknown = replace(NEEDS, arena_bytes=None, why_no_arena="TFLite-Micro is not installed")
    with pytest.raises(ExportError, match="arena is not known: TFLite-Micro is not installed"):
        firmware_files(source, unknown)
    tensor = source.contract.input.tensor.model_copy(update={"dtype": "float32"})
    contract = source.contract.model_copy(
        update={"input": source.contract.input.model_copy(update={"tensor": tensor})}
    )
    with pytest.raises(ExportError, match="for 8 bit models, this one takes float32"):
        firmware_files(replace(source, contract=contract), NEEDS)


@pytest.mark.slow
@needs_gcc
def test_program_finds_what_predict_does(micro_tree, tmp_path):
    """On TFLite-Micro's kernels; the reference kernels of LiteRT are the same arithmetic."""
    file = pretrained_file()
    folder = export_file_formats(file, ["firmware"], tmp_path)["firmware"][0].parent
    subprocess.run(["make", "-j2", f"TFLM={micro_tree}"], cwd=folder, check=True)
    scenes = generate_scenes(tmp_path / "scenes", count=20, size_hw=(300, 300))
    pictures = sorted((scenes / "JPEGImages").glob("*.jpg"))
    expected = saved(Detector(file, kernels="reference"), pictures, folder)
    assert len(expected) > 20
    names = [f"{path.stem}.rgb" for path in pictures]
    check(printed(["./detect", *names], folder), expected)


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-g++") and shutil.which("qemu-system-arm")),
    reason="needs arm-none-eabi-g++ and qemu-system-arm",
)
def test_program_on_a_cortex_m7(micro_tree, tmp_path):
    """An emulated board with 16 MB; CMSIS-NN's kernels are not part of it."""
    file = tmp_path / "tiny.tflite"
    file.write_bytes(tiny_model("ssd", "uint8"))
    embed_contract(file, make_contract(file, "ssd"))
    folder = export_file_formats(file, ["firmware"], tmp_path)["firmware"][0].parent
    shutil.copy(START, folder)
    tools = [f"{name}=arm-none-eabi-{tool}" for name, tool in zip(*TOOLS, strict=True)]
    flags = [f"CFLAGS={CORTEX_M7}", f"CXXFLAGS={CORTEX_M7}", f"LDFLAGS={EMULATED}"]
    make = ["make", "-j2", f"TFLM={micro_tree}", *tools, *flags]
    subprocess.run(make, cwd=folder, check=True)
    scenes = generate_scenes(tmp_path / "scenes", count=3, size_hw=(64, 64))
    pictures = sorted((scenes / "JPEGImages").glob("*.jpg"))
    expected = saved(Detector(file, kernels="reference"), pictures, folder)
    assert expected
    words = ",".join(
        f"arg={word}" for word in ("detect", *(f"{path.stem}.rgb" for path in pictures))
    )
    board = ["qemu-system-arm", "-M", "mps2-an500", "-display", "none"]
    files = ["-semihosting-config", f"enable=on,target=native,{words}", "-kernel", "detect"]
    check(printed([*board, *files], folder), expected)


def saved(detector, pictures, folder):
    """Write pictures for the program; return what it has to print."""
    height, width = detector.contract.input.size_hw
    expected = []
    for path in pictures:
        pixels = resize(read_image(path), (height, width))
        (folder / f"{path.stem}.rgb").write_bytes(pixels.tobytes())
        found = detector.predict(pixels)
        corners = found.boxes_xyxy / (width, height, width, height)
        rows = zip(found.names(), found.scores, corners, strict=True)
        expected += [(f"{path.stem}.rgb", name, score, *box) for name, score, box in rows]
    return expected


def printed(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def check(lines, expected):
    assert [line[:2] for line in lines] == [list(row[:2]) for row in expected]
    np.testing.assert_allclose(
        np.float32([line[2:] for line in lines]),
        np.float32([row[2:] for row in expected]),
        atol=2e-6,
    )
