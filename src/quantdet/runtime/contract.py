"""``contract.json``: all that a program needs to run a model file rightly.

It is stored next to every .tflite as ``NAME.contract.json``, and inside it. Quantization of a
tensor: ``real = (q - zero_point) * scale``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from quantdet.errors import ModelError
from quantdet.runtime.embedded import embedded_contract, model_sha256
from quantdet.runtime.flatbuffer import verify_model
from quantdet.runtime.pixels import PIXEL_OFFSET, PIXEL_SCALE
from quantdet.system.atomic import write_text

CONTRACT_VERSION = 1
MAX_ANCHORS = 1_000_000
"""Most anchors of a detector; they take 16 bytes each, and real ones have some thousands."""
_MOST_PROBLEMS = 3

Score = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(ge=1e-6, le=1e6)]
"""A factor or a size; beyond that, float32 overflows somewhere."""
Count = Annotated[int, Field(ge=1)]
Grey = Annotated[int, Field(ge=0, le=255)]
BoxUnit = Literal["fraction", "pixel", "cell"]


# With those that turn the direction of all text behind them (Unicode Standard Annex 9).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def is_one_line(name: str) -> bool:
    """Return whether a class name can stand in a line of text, on a terminal and in a file."""
    return not _CONTROL.search(name)


def label_fault(labels: Sequence[str]) -> str | None:
    """Return what is wrong with class names; None if they can be told apart, each in one line."""
    known: set[str] = set()
    for name in labels:
        if not is_one_line(name):
            return f"{name!r} has a line break or a control character"
        if name in known:
            return f"{name!r} stands twice; give each class a name of its own"
        known.add(name)
    return None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TensorSpec(_Part):
    """One input or output; scale is 0 for float tensors."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["uint8", "int8", "int16", "float32"]
    scale: float = 0.0
    zero_point: int = 0


class InputSpec(_Part):
    """The picture as the model expects it.

    A pixel p of 0–255 means ``real = (p - pixel_offset) / pixel_scale``. With scale
    1/pixel_scale and zero_point pixel_offset the raw uint8 pixels are the quantized input.

    ``letterbox``: the picture keeps its aspect ratio, in the middle of a border of this grey; None:
    it is stretched to ``size_hw``.
    """

    tensor: TensorSpec
    size_hw: tuple[int, int]
    color_order: Literal["RGB", "BGR"] = "RGB"
    resize: Literal["pillow-bilinear"] = "pillow-bilinear"
    pixel_offset: Annotated[float, Field(ge=-1e6, le=1e6)] = PIXEL_OFFSET
    pixel_scale: Positive = PIXEL_SCALE
    # Left out where it says nothing, so that earlier versions read the contracts of our files.
    letterbox: Grey | None = Field(None, exclude_if=lambda grey: grey is None)


class AnchorMap(_Part):
    """Anchors of one feature map of rows x cols cells.

    Each cell has one anchor per entry of ``shapes_hw``: height and width as fractions of the
    picture. Order: row, column, shape.
    """

    rows: Count
    cols: Count
    shapes_hw: tuple[tuple[Positive, Positive], ...]

    @property
    def count(self) -> int:
        """Number of anchors of the map."""
        return self.rows * self.cols * len(self.shapes_hw)


class DecoderSpec(_Part):
    """How outputs become boxes; ``kind`` is a key of ``runtime.decoders.DECODERS``.

    Attributes:
        kind: output layout.
        score_threshold: default confidence threshold.
        class_thresholds: label → its own threshold, which replaces ``score_threshold``.
        max_detections: most detections of one picture.
        min_score: lowest score that evaluation uses; anything lower is never decoded.
        nms_iou: if two boxes of a class overlap more, the lower-scoring one is dropped.
        anchors: of anchor-based detectors, map after map in the order of the outputs.
        box_coder: y, x, height, width factors of the encoded boxes.
        box_unit: of the decoders "yolo…": what centres and sizes are measured in: "fraction" of
            the input's sides, "pixel" of the input, or "cell" (steps of the grid, as YOLOX does).
        agnostic_nms: suppression compares boxes of all classes, not only those of one.
    """

    kind: str
    score_threshold: Score = 0.5
    class_thresholds: dict[str, Score] = {}
    max_detections: Count = 1
    min_score: Score = 0.01
    nms_iou: Score = 0.5
    anchors: tuple[AnchorMap, ...] = ()
    box_coder: tuple[Positive, Positive, Positive, Positive] = (10.0, 10.0, 5.0, 5.0)
    box_unit: BoxUnit = Field("fraction", exclude_if=lambda unit: unit == "fraction")
    agnostic_nms: bool = Field(False, exclude_if=lambda agnostic: not agnostic)

    @field_validator("anchors")
    @classmethod
    def _few(cls, anchors: tuple[AnchorMap, ...]) -> tuple[AnchorMap, ...]:
        count = sum(item.count for item in anchors)
        if count > MAX_ANCHORS:
            raise ValueError(f"{count:.3g} anchors are more than the {MAX_ANCHORS} that are made")
        return anchors


class Contract(_Part):
    """The whole agreement; docs/contract.md describes every field.

    Outputs are found by name, never by position: by their name in ``signature``, or by the name
    of the tensor where a file made elsewhere has no signature ("").
    """

    version: Literal[1] = 1
    task: str
    signature: str = "serving_default"
    input: InputSpec
    boxes: TensorSpec
    scores: TensorSpec
    classes: TensorSpec | None = None
    count: TensorSpec | None = None
    decoder: DecoderSpec
    labels: tuple[str, ...]
    background_index: Annotated[int, Field(ge=0)] | None = 0
    sha256: str = ""
    data_fingerprint: str = ""
    metrics: dict[str, object] = {}

    @field_validator("labels")
    @classmethod
    def _plain(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        fault = label_fault(labels)
        if fault:
            raise ValueError(fault)
        return labels

    @property
    def column_labels(self) -> tuple[str, ...]:
        """Names of the columns of ``scores``: the labels, and "background" if there is one."""
        if self.background_index is None:
            return self.labels
        at = self.background_index
        return (*self.labels[:at], "background", *self.labels[at:])

    def save(self, path: Path | str) -> None:
        """Write the contract as JSON in one step."""
        write_text(Path(path), self.model_dump_json(indent=2) + "\n")


def contract_path(model_file: Path | str) -> Path:
    """Return the path of the contract of ``model_file``: NAME.contract.json next to it."""
    return Path(model_file).with_suffix(".contract.json")


def has_contract(model_file: Path) -> bool:
    """Return whether there is a contract next to a file or in it."""
    return contract_path(model_file).is_file() or embedded_contract(model_file) is not None


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_contract(model_file: Path | str) -> Contract:
    """Read the contract of ``model_file`` and check that it belongs to it.

    The contract next to the file takes precedence over the one inside it. A file whose contract
    has no sha256 is checked for offsets that lead out of it, which would crash LiteRT.

    Raises:
        ModelError: contract missing, malformed, or made for another file; file damaged.
    """
    model_file = Path(model_file)
    path = contract_path(model_file)
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return _load_embedded(model_file)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None
    contract = _parse(text, str(path))
    if not model_file.is_file():
        raise ModelError(f"{model_file}: no such model file, though its contract is there")
    if not contract.sha256:
        verify_model(model_file)
    elif contract.sha256 != file_sha256(model_file):
        raise ModelError(
            f"{model_file}: is damaged or not the file that {path.name} was made for (sha256 "
            "differs); copy model and contract together, or export again"
        )
    return contract


def _load_embedded(model_file: Path) -> Contract:
    text = embedded_contract(model_file)
    if text is None:
        raise ModelError(
            f"{contract_path(model_file)}: not found; a model runs only with its contract (and "
            "there is none inside the file, either). For a model made elsewhere, "
            f"`quantdet describe {model_file.name}` writes it; of one of quantdet, copy it from "
            "the run's export folder or export again"
        )
    contract = _parse(text, f"{model_file}, the contract inside")
    if not contract.sha256:
        verify_model(model_file)
    elif contract.sha256 != model_sha256(model_file):
        raise ModelError(
            f"{model_file}: is damaged (sha256 differs from that of the contract inside); copy "
            "it again, or export again"
        )
    return contract


def _parse(text: str, where: str) -> Contract:
    try:
        return Contract.model_validate_json(text)
    except ValidationError as error:
        raise ModelError(
            f"{where}: not a valid contract ({_explain(error)}); export the model again, update "
            "quantdet if a newer version wrote it, or fix what was written by hand"
        ) from None


def _explain(error: ValidationError) -> str:
    items = [(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
    parts = [f"{key}: {message}" if key else message for key, message in items[:_MOST_PROBLEMS]]
    return "; ".join([*parts, "…"] if len(items) > _MOST_PROBLEMS else parts)
