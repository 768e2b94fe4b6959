"""Make the finished run that end-to-end tests take from QUANTDET_KEPT_RUN instead of their own.

python -m tests.e2e.kept_run FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from quantdet.data.scenes import generate_scenes
from tests.e2e.conftest import make_run


def kept_run(folder: Path) -> Path:
    """Return a finished run in a folder, made unless it is there."""
    run = folder / "run"
    if not (run / "report.html").exists():
        scenes = generate_scenes(folder / "scenes", count=30, size_hw=(90, 120))
        make_run(scenes, run, "global", real=False)
    return run


if __name__ == "__main__":
    print(kept_run(Path(sys.argv[1]).resolve()))
