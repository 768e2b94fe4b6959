"""Virtual environments of the rivals: each pins its own versions, apart from ours.

python benchmarks/quantizers/environments.py FOLDER [RIVAL ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import venv
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pins:
    """What one rival needs.

    Attributes:
        packages: installed with everything that they ask for.
        alone: installed without: these ask for `tensorflow`; `tensorflow-cpu` takes its place.
    """

    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()


PINS = {
    "tfmot": Pins(
        packages=(
            "tensorflow-cpu==2.21.0",
            "numpy==2.4.6",
            "absl-py==1.4.0",  # tensorflow-model-optimization wants 1.x
            "dm-tree==0.1.10",
            "scipy==1.17.1",
            "six==1.17.0",
            "setuptools==80.9.0",  # for distutils, which tensorflow-model-optimization imports
        ),
        alone=("tf_keras==2.21.0", "tensorflow-model-optimization==0.8.1"),
    ),
    # ai-edge-quantizer is called litert-quantizer from release 0.11 on.
    "ai_edge": Pins(
        packages=("litert-quantizer==0.11.0", "ai-edge-litert==2.3.0", "numpy==2.4.6"),
    ),
}
COMPLETE = "pins.json"


def make_environment(rival: str, folder: Path) -> Path:
    """Make the environment of ``rival`` in ``folder``/``rival``; return its Python.

    Nothing is done when it is there with these very pins.

    Raises:
        RuntimeError: pip failed; its message is in the text.
    """
    target = folder.resolve() / rival
    python = target / "bin" / "python"
    pins = PINS[rival]
    wanted = json.dumps(asdict(pins), indent=2)
    complete = target / COMPLETE
    if complete.exists() and complete.read_text() == wanted:
        return python
    venv.create(target, clear=True, with_pip=True)
    _pip_install(python, pins.packages)
    if pins.alone:
        _pip_install(python, ("--no-deps", *pins.alone))
    # Written last: an environment without it was interrupted, and is made again.
    complete.write_text(wanted)
    return python


def _pip_install(python: Path, arguments: tuple[str, ...]) -> None:
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pip install {' '.join(arguments)} failed:\n{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("rivals", nargs="*", metavar="rival", help=f"of {', '.join(PINS)}")
    arguments = parser.parse_args()
    for rival in arguments.rivals or PINS:
        print(rival, make_environment(rival, arguments.folder), flush=True)


if __name__ == "__main__":
    main()
