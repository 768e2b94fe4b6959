# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.runtime.anchors import anchor_boxes, ssd_anchor_maps
from quantdet.runtime.coco import coco_labels
from quantdet.runtime.contract import (
    AnchorMap,
    Contract,
    DecoderSpec,
    InputSpec,
    TensorSpec,
    contract_path,
    load_contract,
)
from quantdet.runtime.decoders import decode
from quantdet.runtime.detector import Detector
from quantdet.runtime.draw import draw_detections
from quantdet.runtime.engine import Engine
from quantdet.runtime.foreign import describe_model
from quantdet.runtime.pixels import PIXEL_RANGE, to_real
from quantdet.runtime.predict import predict_to_folder
from quantdet.runtime.preprocess import read_image, resize
from quantdet.runtime.pretrained import find_model, pretrained_names
from quantdet.runtime.raw import dequantize

__all__ = [
    "AnchorMap",
    "Contract",
    "DecoderSpec",
    "Detector",
    "Engine",
    "InputSpec",
    "PIXEL_RANGE",
    "TensorSpec",
    "anchor_boxes",
    "coco_labels",
    "contract_path",
    "decode",
    "dequantize",
    "describe_model",
    "draw_detections",
    "find_model",
    "load_contract",
    "predict_to_folder",
    "pretrained_names",
    "read_image",
    "resize",
    "ssd_anchor_maps",
    "to_real",
]
