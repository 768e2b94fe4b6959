"""quantdet: images with boxes in, full-integer uint8 LiteRT detector out.

The public names are loaded on first use, so that ``import quantdet`` costs nothing and a device
needs neither TensorFlow nor Keras.
"""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

__version__ = "0.1.0"

_PUBLIC = {
    "Config": "quantdet.config",
    "Detection": "quantdet.detections",
    "Detections": "quantdet.detections",
    "Detector": "quantdet.runtime.detector",
    "QuantdetError": "quantdet.errors",
    "Run": "quantdet.runs",
    "benchmark": "quantdet.evaluate.latency",
    "check_dataset": "quantdet.data.check",
    "contact_sheet": "quantdet.data.show",
    "describe_model": "quantdet.runtime.foreign",
    "download": "quantdet.data.sources",
    "draw_detections": "quantdet.runtime.draw",
    "evaluate_model": "quantdet.pipeline",
    "export_integer": "quantdet.export.integer",
    "export_model": "quantdet.pipeline",
    "generate_scenes": "quantdet.data.scenes",
    "load_config": "quantdet.config",
    "load_dataset": "quantdet.data.dataset",
    "predict_to_folder": "quantdet.runtime.predict",
    "prepare_qat": "quantdet.quant.prepare",
    "prepare_voc": "quantdet.data.prepare",
    "pretrained_names": "quantdet.runtime.pretrained",
    "run_all": "quantdet.pipeline",
    "run_analyse": "quantdet.pipeline",
    "run_comparison": "quantdet.pipeline",
    "run_evaluate": "quantdet.pipeline",
    "run_export": "quantdet.pipeline",
    "run_qat": "quantdet.pipeline",
    "run_report": "quantdet.pipeline",
    "run_train": "quantdet.pipeline",
    "run_verify": "quantdet.pipeline",
    "update_config": "quantdet.pipeline",
    "verify_model": "quantdet.pipeline",
}
__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
