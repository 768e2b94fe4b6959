"""Metadata inside a .tflite: what MediaPipe, Android's model binding and Netron read.

The standard form: a FlatBuffer ``ModelMetadata`` under the name TFLITE_METADATA, and files in an
uncompressed zip archive after the model. Detectors with raw outputs also carry DETECTOR_METADATA,
the anchors and the box coder as MediaPipe's ObjectDetector reads them. One of the files is the
contract, so that the single file is enough for quantdet (docs/deploy.md).

Tensors, operators and their order stay as they are.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantdet.export.metadata_schema import (
    CONTENT_TYPES,
    DETECTOR_IDENTIFIER,
    FILE_TYPES,
    MODEL_IDENTIFIER,
    OPTION_TYPES,
    table,
)
from quantdet.export.source import output_parts
from quantdet.quant.litert.flatbuffer import Table, pack_model, pack_table, read_model
from quantdet.runtime.contract import Contract, contract_path
from quantdet.runtime.decode_ssd import contract_anchors
from quantdet.runtime.embedded import CONTRACT_NAME
from quantdet.runtime.engine import Engine
from quantdet.runtime.fit import check_fit
from quantdet.system.atomic import write_bytes

LABELS_NAME = "labels.txt"
_FIELD = "TFLITE_METADATA"
_VERSIONS = {"raw": "1.5.0", "grouped": "1.2.0", "plain": "1.0.0"}
"""Least version of the schema that knows custom metadata, groups of tensors, and the rest."""

# MediaPipe finds outputs by these names; "location" must be called boundaries of a box, in the
# order of left, top, right, bottom, even where the tensor holds offsets from anchors.
_NAMES = {
    "boxes": "location",
    "scores": "score",
    "classes": "category",
    "count": "number of detections",
}
_BOXES = {
    "ssd": "Offsets ty, tx, th, tw of each box from its anchor; see DETECTOR_METADATA.",
    "post_processed": "Boxes ymin, xmin, ymax, xmax as fractions of the picture.",
    "single_box": "One box ymin, xmin, ymax, xmax as fractions of the picture.",
    "grid": "Distances left, top, right, bottom of the box from the centre of each cell.",
}
_SCORES = {
    "ssd": "Logit of each anchor and class; its sigmoid is the score.",
    "post_processed": "Score of each box.",
    "single_box": "Probability of each class.",
    "grid": "Logit of each cell and class; its sigmoid is the score.",
}


def embed_contract(model_file: Path | str, contract: Contract) -> Contract:
    """Put metadata and contract into a .tflite, and the contract next to it.

    What a file carried before is replaced, so that doing it twice changes nothing.

    Args:
        model_file: a detector; it is rewritten in one step.
        contract: of it; its ``sha256`` is not used.

    Returns:
        The contract next to the file, with the sha256 of the new file.

    Raises:
        ModelError: the contract does not fit the file.
    """
    model_file = Path(model_file)
    check_fit(model_file, contract, Engine(model_file, signature=contract.signature))
    content = with_metadata(model_file.read_bytes(), contract)
    write_bytes(model_file, content)
    final = final_contract(contract, content)
    final.save(contract_path(model_file))
    return final


def final_contract(contract: Contract, content: bytes) -> Contract:
    """Return the contract to put next to a finished .tflite."""
    return contract.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})


def with_metadata(content: bytes, contract: Contract) -> bytes:
    """Return a .tflite with metadata, labels and contract in it.

    Raises:
        ExportError: the file lacks an output of the contract.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = read_model(content)
    metadata = np.frombuffer(_model_metadata(contract, output_parts(model, contract)), np.uint8)
    entries = {bytes(entry.name).decode(): entry for entry in model.metadata or []}
    if _FIELD in entries:
        model.buffers[entries[_FIELD].buffer].data = metadata
    else:
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = metadata
        entry.name, entry.buffer = _FIELD, len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or []), entry]
    return _with_files(pack_model(model), contract)


def label_lines(contract: Contract) -> str:
    """Return the labels, one a line: a line for each column of the scores, or class number."""
    lines = contract.column_labels if contract.classes is None else contract.labels
    return "".join(f"{line}\n" for line in lines)


def _with_files(packed: bytes, contract: Contract) -> bytes:
    # The sha256 of a file cannot stand in it; this is that of what comes before the archive.
    inner = final_contract(contract, packed)
    stream = io.BytesIO(packed)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, text in (
            (LABELS_NAME, label_lines(contract)),
            (CONTRACT_NAME, inner.model_dump_json() + "\n"),
        ):
            # ZipInfo without a date has a fixed one: the same model is the same file.
            archive.writestr(zipfile.ZipInfo(name), text)
    return stream.getvalue()


def _model_metadata(contract: Contract, parts: tuple[str, ...]) -> bytes:
    raw = contract.decoder.kind == "ssd"
    grouped = contract.decoder.kind == "post_processed"
    subgraph = table(
        "SubGraphMetadata",
        input_tensor_metadata=[_input(contract)],
        output_tensor_metadata=[_output(contract, part) for part in parts],
        output_tensor_groups=[_group()] if grouped else None,
        custom_metadata=[_detector_metadata(contract)] if raw else None,
    )
    height, width = contract.input.size_hw
    root = table(
        "ModelMetadata",
        name=f"{contract.task} {height}x{width}",
        description=(
            f"Finds {len(contract.labels)} classes of objects in a picture of {width} x {height} "
            "pixels. Made by quantdet."
        ),
        subgraph_metadata=[subgraph],
        associated_files=[_file(CONTRACT_NAME, "All that is needed to run it.", "DESCRIPTIONS")],
        min_parser_version=_VERSIONS["raw" if raw else "grouped" if grouped else "plain"],
    )
    return pack_table(root, MODEL_IDENTIFIER)


def _input(contract: Contract) -> Table:
    spec = contract.input
    if spec.tensor.dtype == "float32":
        low, high = ((p - spec.pixel_offset) / spec.pixel_scale for p in (0, 255))
    else:
        limits = np.iinfo(spec.tensor.dtype)
        low, high = float(limits.min), float(limits.max)
    normalization = table(
        "NormalizationOptions", mean=_floats(spec.pixel_offset), std=_floats(spec.pixel_scale)
    )
    return table(
        "TensorMetadata",
        name="image",
        description="RGB picture, resized without regard to its proportions.",
        content=_content(table("ImageProperties", color_space=np.int8(1)), "ImageProperties"),
        process_units=[_unit(normalization, "NormalizationOptions")],
        stats=table("Stats", max=_floats(high), min=_floats(low)),
    )


def _output(contract: Contract, part: str) -> Table:
    if part == "boxes":
        return _boxes(contract)
    if part == "scores":
        return _scores(contract)
    if part == "classes":
        labels = _file(LABELS_NAME, "Labels of the classes.", "TENSOR_VALUE_LABELS")
        return _plain(part, "Class of each box, a line of the labels.", range_dim=2, files=[labels])
    if part == "count":
        return _plain(part, "How many boxes are meant.")
    return table("TensorMetadata", name=part)


def _boxes(contract: Contract) -> Table:
    kind = contract.decoder.kind
    if kind == "grid":
        return _plain("boxes", _BOXES[kind])
    order = np.array([1, 0, 3, 2], np.uint32)
    properties = table("BoundingBoxProperties", index=order, type=np.int8(1))
    return table(
        "TensorMetadata",
        name=_NAMES["boxes"],
        description=_BOXES[kind],
        content=_content(properties, "BoundingBoxProperties", range_dim=2),
    )


def _scores(contract: Contract) -> Table:
    threshold = table(
        "ScoreThresholdingOptions",
        global_score_threshold=np.float32(contract.decoder.score_threshold),
    )
    with_classes = contract.classes is not None
    labels = _file(LABELS_NAME, "Labels of the columns.", "TENSOR_AXIS_LABELS")
    return _plain(
        "scores",
        _SCORES[contract.decoder.kind],
        range_dim=2 if with_classes else None,
        files=None if with_classes else [labels],
        units=[_unit(threshold, "ScoreThresholdingOptions")],
    )


def _plain(
    part: str,
    description: str,
    *,
    range_dim: int | None = None,
    files: list[Table] | None = None,
    units: list[Table] | None = None,
) -> Table:
    return table(
        "TensorMetadata",
        name=_NAMES[part],
        description=description,
        content=_content(table("FeatureProperties"), "FeatureProperties", range_dim),
        process_units=units,
        associated_files=files,
    )


def _detector_metadata(contract: Contract) -> Table:
    """Return what MediaPipe needs to decode raw outputs; its boxes are y, x, h, w as ours."""
    anchors = [
        table("FixedAnchor", x_center=x, y_center=y, width=w, height=h)
        for y, x, h, w in contract_anchors(contract.decoder.anchors)
    ]
    y, x, h, w = map(np.float32, contract.decoder.box_coder)
    decoding = table(
        "TensorsDecodingOptions",
        num_classes=np.int32(len(contract.column_labels)),
        num_boxes=np.int32(len(anchors)),
        num_coords=np.int32(4),
        num_values_per_keypoint=np.int32(2),  # MediaPipe ends the process at another number
        x_scale=x,
        y_scale=y,
        w_scale=w,
        h_scale=h,
        apply_exponential_on_box_size=np.bool_(True),
        sigmoid_score=np.bool_(True),
    )
    schema = table("FixedAnchorsSchema", anchors=anchors)
    options = table(
        "ObjectDetectorOptions",
        min_parser_version="1.0.0",
        ssd_anchors_options=table("SsdAnchorsOptions", fixed_anchors_schema=schema),
        tensors_decoding_options=decoding,
    )
    return table(
        "CustomMetadata",
        name="DETECTOR_METADATA",
        data=pack_table(options, DETECTOR_IDENTIFIER),
    )


def _group() -> Table:
    names = [_NAMES[part] for part in ("boxes", "classes", "scores")]
    return table("TensorGroup", name="detection_result", tensor_names=names)


def _content(properties: Table, kind: str, range_dim: int | None = None) -> Table:
    span = None
    if range_dim is not None:
        span = table("ValueRange", min=np.int32(range_dim), max=np.int32(range_dim))
    return table(
        "Content", properties_type=np.uint8(CONTENT_TYPES[kind]), properties=properties, range=span
    )


def _unit(options: Table, kind: str) -> Table:
    return table("ProcessUnit", options_type=np.uint8(OPTION_TYPES[kind]), options=options)


def _file(name: str, description: str, kind: str) -> Table:
    return table(
        "AssociatedFile", name=name, description=description, type=np.int8(FILE_TYPES[kind])
    )


def _floats(value: float) -> NDArray[np.float32]:
    return np.array([value], np.float32)
