"""What a device needs: numpy, Pillow and LiteRT only.

Public names, loaded on first use. docs/contract.md and docs/edge.md show them at work.
"""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "AnchorMap": "quantdet.runtime.contract",
    "Contract": "quantdet.runtime.contract",
    "DecoderSpec": "quantdet.runtime.contract",
    "Detector": "quantdet.runtime.detector",
    "Engine": "quantdet.runtime.engine",
    "InputSpec": "quantdet.runtime.contract",
    "PIXEL_RANGE": "quantdet.runtime.pixels",
    "TensorSpec": "quantdet.runtime.contract",
    "anchor_boxes": "quantdet.runtime.anchors",
    "coco_labels": "quantdet.runtime.coco",
    "contract_path": "quantdet.runtime.contract",
    "decode": "quantdet.runtime.decoders",
    "dequantize": "quantdet.runtime.raw",
    "describe_model": "quantdet.runtime.foreign",
    "draw_detections": "quantdet.runtime.draw",
    "find_model": "quantdet.runtime.pretrained",
    "load_contract": "quantdet.runtime.contract",
    "predict_to_folder": "quantdet.runtime.predict",
    "pretrained_names": "quantdet.runtime.pretrained",
    "read_image": "quantdet.runtime.preprocess",
    "resize": "quantdet.runtime.preprocess",
    "ssd_anchor_maps": "quantdet.runtime.anchors",
    "to_real": "quantdet.runtime.pixels",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
