"""What a device needs: numpy, Pillow and LiteRT only.

Public names, loaded on first use. docs/contract.md and docs/edge.md show them at work.
"""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "Contract": "quantdet.runtime.contract",
    "DecoderSpec": "quantdet.runtime.contract",
    "Engine": "quantdet.runtime.engine",
    "coco_labels": "quantdet.runtime.coco",
    "contract_path": "quantdet.runtime.contract",
    "load_contract": "quantdet.runtime.contract",
    "ssd_anchor_maps": "quantdet.runtime.anchors",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
