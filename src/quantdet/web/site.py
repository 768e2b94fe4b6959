"""The page as a list of files: what the server answers, and what ``--static`` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantdet import __version__
from quantdet.runtime.contract import Contract, contract_path
from quantdet.runtime.detector import Detector
from quantdet.runtime.draw import PALETTE
from quantdet.runtime.preprocess import MAX_PIXELS
from quantdet.web.litertjs import NOTICE, litertjs_files

CONFIG = "config.json"
MAX_BYTES = 32 * 2**20
"""Most bytes of a picture file, here and in the page."""

_LITERTJS = "litertjs/"
_STATIC = Path(__file__).parent / "static"
# All that LiteRT.js takes and gives of what a contract may name.
_BROWSER_TYPES = ("uint8", "float32")
# Those of static/decode.js.
_BROWSER_DECODERS = ("ssd", "grid", "single_box")

Content = Path | bytes
Files = Mapping[str, Content]
"""Relative URL → file, or content made here."""


@dataclass(frozen=True)
class Shown:
    """A model on the page.

    Attributes:
        name: shown to people.
        detector: the model, loaded and so checked.
    """

    name: str
    detector: Detector

    def browser_problem(self) -> str | None:
        """Return why the page cannot use it; None where it can as far as its contract tells."""
        return self.litertjs_problem() or _page_problem(self.detector.contract)

    def litertjs_problem(self) -> str | None:
        """Return why LiteRT.js cannot run it; None where it can as far as its contract tells."""
        contract = self.detector.contract
        if contract.decoder.kind == "post_processed":
            # Its outputs have no fixed size: with 2.5.3 the second picture fails.
            return "LiteRT.js fails on files with TFLite_Detection_PostProcess"
        if contract.input.color_order != "RGB":
            return "the page's scripts give RGB only"
        specs = (contract.input.tensor, contract.boxes, contract.scores)
        others = sorted({spec.dtype for spec in specs} - set(_BROWSER_TYPES))
        return f"LiteRT.js takes no {' or '.join(others)} tensors" if others else None


def _page_problem(contract: Contract) -> str | None:
    """Return what the scripts of the page lack for a model."""
    spec, decoder = contract.input, contract.decoder
    if decoder.kind not in _BROWSER_DECODERS or decoder.agnostic_nms:
        return f"the page has no decoder {decoder.kind!r} that does the same"
    if spec.letterbox is not None:
        return "the page puts pictures into no border"
    return None


def load_models(files: Sequence[Path]) -> list[Shown]:
    """Load and check the models; two with the same name are distinguished by their folders.

    Raises:
        ModelError: a file or contract is missing or corrupt, or they do not match.
    """
    detectors = [Detector(file) for file in files]
    names = [_name(detector.model_file) for detector in detectors]
    if len(set(names)) < len(names):
        names = [f"{name} ({letter})" for name, letter in zip(names, "AB", strict=False)]
    return [Shown(name, detector) for name, detector in zip(names, detectors, strict=True)]


def _name(model_file: Path) -> str:
    """Return the file's own name; that of its run for RUN/export/model.tflite and its like."""
    file = model_file.resolve()
    if file.parent.name != "export":
        return file.stem
    kind = file.stem.removeprefix("model").removeprefix("-")
    return " ".join(part for part in (file.parents[1].name, kind) if part)


def make_site(models: Sequence[Shown], litertjs: Path | None, *, server: bool) -> Files:
    """Return every file of the page.

    Args:
        models: one or two.
        litertjs: folder of :func:`quantdet.web.litertjs.litertjs_folder`; None where it cannot
            be had, and the server does everything.
        server: whether a server of ours is behind it, which can detect too.
    """
    files: dict[str, Content] = {
        path.name: path for path in sorted(_STATIC.iterdir()) if path.is_file()
    }
    if litertjs is not None:
        for path in litertjs_files(litertjs):
            files[f"{_LITERTJS}{path.relative_to(litertjs).as_posix()}"] = path
        files[f"{_LITERTJS}NOTICE.txt"] = NOTICE.encode()
    shown = []
    for index, model in enumerate(models):
        file = model.detector.model_file
        url = f"models/{index + 1}/{file.name}"
        files[url] = file
        # The whole of it, defaults too: the page need not know them.
        contract_url = f"models/{index + 1}/{contract_path(file).name}"
        files[contract_url] = (model.detector.contract.model_dump_json(indent=2) + "\n").encode()
        shown.append(_describe(model, url, contract_url))
    config = {
        "version": __version__,
        "server": server,
        "litertjs": None if litertjs is None else _LITERTJS,
        "max_bytes": MAX_BYTES,
        "max_pixels": MAX_PIXELS,
        "colors": list(PALETTE),
        "models": shown,
    }
    files[CONFIG] = json.dumps(config, indent=2).encode()
    return files


def _describe(model: Shown, url: str, contract_url: str) -> dict[str, object]:
    return {
        "name": model.name,
        "file": url,
        "contract": contract_url,
        "bytes": model.detector.model_file.stat().st_size,
        "browser_problem": model.browser_problem(),
    }
