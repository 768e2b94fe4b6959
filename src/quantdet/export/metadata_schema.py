"""The tables of TFLite's metadata, as far as a detector needs them: names of fields in order.

Source: ``metadata_schema.fbs`` 1.5.0 and ``object_detector_metadata_schema.fbs`` 1.0.0 of
MediaPipe (Apache-2.0). A field of a union takes two places, its type first.
"""

from __future__ import annotations

import numpy as np

from quantdet.quant.litert.flatbuffer import Reference, Table

MODEL_IDENTIFIER = b"M001"
DETECTOR_IDENTIFIER = b"V001"

FIELDS: dict[str, tuple[str, ...]] = {
    "AssociatedFile": ("name", "description", "type", "locale", "version"),
    "BoundingBoxProperties": ("index", "type", "coordinate_type"),
    "Content": ("properties_type", "properties", "range"),
    "CustomMetadata": ("name", "data"),
    "FeatureProperties": (),
    "ImageProperties": ("color_space", "default_size"),
    "ImageSize": ("width", "height"),
    "ModelMetadata": (
        "name",
        "description",
        "version",
        "subgraph_metadata",
        "author",
        "license",
        "associated_files",
        "min_parser_version",
    ),
    "NormalizationOptions": ("mean", "std"),
    "ProcessUnit": ("options_type", "options"),
    "ScoreThresholdingOptions": ("global_score_threshold",),
    "Stats": ("max", "min"),
    "SubGraphMetadata": (
        "name",
        "description",
        "input_tensor_metadata",
        "output_tensor_metadata",
        "associated_files",
        "input_process_units",
        "output_process_units",
        "input_tensor_groups",
        "output_tensor_groups",
        "custom_metadata",
    ),
    "TensorGroup": ("name", "tensor_names"),
    "TensorMetadata": (
        "name",
        "description",
        "dimension_names",
        "content",
        "process_units",
        "stats",
        "associated_files",
    ),
    "ValueRange": ("min", "max"),
    # From here on of object_detector_metadata_schema.fbs.
    "FixedAnchor": ("x_center", "y_center", "width", "height"),
    "FixedAnchorsSchema": ("anchors",),
    "ObjectDetectorOptions": (
        "min_parser_version",
        "ssd_anchors_options",
        "tensors_decoding_options",
    ),
    "SsdAnchorsOptions": ("fixed_anchors_schema",),
    "TensorsDecodingOptions": (
        "num_classes",
        "num_boxes",
        "num_coords",
        "keypoint_coord_offset",
        "num_keypoints",
        "num_values_per_keypoint",
        "x_scale",
        "y_scale",
        "w_scale",
        "h_scale",
        "apply_exponential_on_box_size",
        "sigmoid_score",
    ),
}
CONTENT_TYPES = {"FeatureProperties": 1, "ImageProperties": 2, "BoundingBoxProperties": 3}
OPTION_TYPES = {"NormalizationOptions": 1, "ScoreThresholdingOptions": 3}
FILE_TYPES = {"DESCRIPTIONS": 1, "TENSOR_AXIS_LABELS": 2, "TENSOR_VALUE_LABELS": 3}


def table(kind: str, **values: Reference | np.generic | None) -> Table:
    """Return a table of the schema; a field that is None is left out."""
    places = FIELDS[kind]
    return Table({places.index(name): value for name, value in values.items() if value is not None})
