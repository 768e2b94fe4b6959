"""Run the notebooks from top to bottom, and keep what they show.

    pip install ".[train,notebooks]"
    python examples/notebooks/execute.py                # all: ten minutes on two cores
    python examples/notebooks/execute.py --only quick_start

They run in one new folder, in the order of a reader: the last one reads the run of the second.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
NOTEBOOKS = ("quick_start", "train_your_own", "quantize_a_classifier", "read_the_report")


def execute(name: str, folder: str | Path) -> Any:
    """Return a notebook with the outputs of a new run in a folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the message has its traceback.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    notebook = nbformat.read(HERE / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        timeout=None,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )
    client.execute()
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [part for part in cell.outputs if _is_shown(part)]
    return notebook


def _is_shown(output: Any) -> bool:
    """Tell apart warnings of libraries, with paths of this machine, and Keras's empty lines."""
    is_empty = output.get("data", {}).get("text/plain") == ""
    return not is_empty and output.get("name") != "stderr"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NOTEBOOKS, default=NOTEBOOKS)
    names = parser.parse_args().only
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            notebook = execute(name, folder)
            nbformat.write(notebook, HERE / f"{name}.ipynb")
            print(name)


if __name__ == "__main__":
    main()
