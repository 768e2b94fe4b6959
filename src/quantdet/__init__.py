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
    "evaluate_model": "quantdet.stages.evaluate",
    "export_integer": "quantdet.export.integer",
    "export_model": "quantdet.stages.export",
    "generate_scenes": "quantdet.data.scenes",
    "load_config": "quantdet.config",
    "load_dataset": "quantdet.data.dataset",
    "predict_to_folder": "quantdet.runtime.predict",
    "prepare_qat": "quantdet.quant.prepare",
    "prepare_voc": "quantdet.data.prepare",
    "pretrained_names": "quantdet.runtime.pretrained",
    "pull": "quantdet.share.exchange",
    "push": "quantdet.share.exchange",
    "run_all": "quantdet.pipeline",
    "run_analyse": "quantdet.stages.analyse",
    "run_comparison": "quantdet.stages.report",
    "run_evaluate": "quantdet.stages.evaluate",
    "run_export": "quantdet.stages.export",
    "run_qat": "quantdet.stages.train",
    "run_report": "quantdet.stages.report",
    "run_train": "quantdet.stages.train",
    "run_verify": "quantdet.stages.verify",
    "update_config": "quantdet.stages.settings",
    "verify_model": "quantdet.stages.verify",
}
__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
