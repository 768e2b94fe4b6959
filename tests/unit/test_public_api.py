"""The public names load lazily and are what they say; docs and benchmarks need no others."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import quantdet

ROOT = Path(__file__).parents[2]
FACES = tuple(
    f"quantdet.{name}" if name else "quantdet"
    for name in (
        *("", "data", "models", "train", "quant", "export", "runtime", "evaluate", "results"),
        *("boxes", "errors", "presets", "cli"),
    )
)
LAZY = [
    face
    for face in (*FACES, "quantdet.config")
    if hasattr(importlib.import_module(face), "_PUBLIC")
]
# Records that readers fill in.
RECORDS = ("Dataset", "Sample")


def public(face):
    module = importlib.import_module(face)
    return {name: getattr(module, name) for name in module.__all__ if name != "__version__"}


@pytest.mark.parametrize("face", FACES)
def test_names_are_there_and_no_files(face):
    """Importing a file would put the module in the place of the name."""
    for name, value in public(face).items():
        assert not inspect.ismodule(value), name
        is_package = hasattr(importlib.import_module(face), "__path__")
        assert not is_package or importlib.util.find_spec(f"{face}.{name}") is None, name


@pytest.mark.parametrize("face", LAZY)
def test_unknown_name(face):
    with pytest.raises(AttributeError, match=f"'{face}' has no attribute 'nothing'"):
        _ = importlib.import_module(face).nothing
    module = importlib.import_module(face)
    assert set(dir(module)) >= set(module._PUBLIC)


def test_faces_are_light():
    code = (
        f"import sys, {', '.join(LAZY)}\n"
        "heavy = ('numpy', 'pydantic', 'PIL', 'tensorflow', 'keras', 'typer', 'rich')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_device_side_imports_no_training_package():
    code = (
        "import sys, quantdet; quantdet.Detector; quantdet.predict_to_folder\n"
        "print([m for m in ('tensorflow', 'keras', 'cv2', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def paths_only(value):
    """Yield the parameters that take a Path and no string."""
    functions = [value]
    if inspect.isclass(value):
        members = (getattr(m, "__func__", m) for m in vars(value).values())
        functions += [m for m in members if inspect.isfunction(m) and m.__name__[0] != "_"]
    for function in functions:
        for parameter in inspect.signature(function).parameters.values():
            annotation = str(parameter.annotation)
            if "Path" in annotation and "str" not in annotation:
                yield f"{function.__qualname__}: {parameter}"


@pytest.mark.parametrize("face", FACES)
def test_a_path_may_be_a_string(face):
    for name, value in public(face).items():
        is_error = inspect.isclass(value) and issubclass(value, BaseException)
        if name not in RECORDS and (inspect.isfunction(value) or inspect.isclass(value)):
            assert is_error or not list(paths_only(value))


def test_a_path_alone_is_noticed():
    class Taker:
        def take(self, file: Path | None, other: Path | str) -> None: ...

    assert len(list(paths_only(Taker))) == 1


def test_strings_name_folders_and_files(tmp_path):
    root = quantdet.generate_scenes(str(tmp_path / "scenes"), count=6, size_hw=(80, 90))
    assert quantdet.check_dataset(str(root)).ok
    sample = quantdet.load_dataset(str(root)).splits["train"][0]
    quantdet.contact_sheet([sample], ("car",), str(tmp_path / "sheet.png"))
    assert (tmp_path / "sheet.png").is_file()
    config = quantdet.load_config(preset="note")
    config.save(str(tmp_path / "config.toml"))
    assert quantdet.load_config(str(tmp_path / "config.toml")) == config
    folder = quantdet.Detector.pretrained().model_file.parent
    detector = quantdet.Detector.pretrained(folder=str(folder))
    quantdet.predict_to_folder(detector, [str(sample.image_path)], str(tmp_path / "found"))
    assert quantdet.benchmark(str(detector.model_file), threads=(1,), warmup=0, runs=1)
    run = quantdet.Run.create(str(tmp_path / "run"), config)
    assert run == quantdet.Run(str(tmp_path / "run")) == quantdet.Run(tmp_path / "run")


def imports_of(code):
    """Yield the modules and names of quantdet that Python code imports, also in functions."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from ((item.name, "") for item in node.names if item.name.startswith("quantdet"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("quantdet"):
            yield from ((node.module, item.name) for item in node.names)


def deep_imports(text, is_python):
    """Return what is imported that is no public name of a face, from code or from a page."""
    blocks = [text] if is_python else re.findall(r"^( *)```python\n(.*?)```", text, re.M | re.S)
    codes = [item if isinstance(item, str) else textwrap.dedent(item[1]) for item in blocks]
    found = [
        f"{module}: {name}"
        for code in codes
        for module, name in imports_of(code)
        if module not in FACES or (name and name not in importlib.import_module(module).__all__)
    ]
    # Also where no code is: in a sentence, or in what a script hands to another Python.
    return found + re.findall(r"\b(?:from|import) quantdet\.\w+\.[\w.]+", text)


PAGES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "docs/**/*.py", "examples/**/*", "benchmarks/**/*.py")
    for path in sorted(ROOT.glob(pattern))
    if path.suffix in (".md", ".py")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_public_names_are_imported(page):
    assert deep_imports(page.read_text("utf-8"), page.suffix == ".py") == []


@pytest.mark.parametrize(
    ("text", "is_python"),
    [
        ("def f():\n    from quantdet.quant.graph import Node", True),
        ("import quantdet.quant.layers", True),
        ("from quantdet.quant import (\n    prepare_qat,\n    simplify,\n)", True),
        ("from quantdet import pipeline", True),
        ("from quantdet.stages.train import run_train", True),
        ("# Page\n\n  ```python\n  from quantdet.runs import Run\n  ```\n", False),
        ("`python -c 'from quantdet.data.cache import build_cache'`", False),
        ("CODE = 'from quantdet.data.cache import build_cache'", True),
    ],
)
def test_a_deep_import_is_noticed(text, is_python):
    assert deep_imports(text, is_python)


def test_public_imports_pass():
    code = "import quantdet.quant\nfrom quantdet import Detector\nfrom quantdet.quant import Rule\n"
    assert deep_imports(code, True) == deep_imports(f"```python\n{code}```", False) == []
