# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.config import Config, load_config
from quantdet.data.check import check_dataset
from quantdet.data.dataset import load_dataset
from quantdet.data.prepare import prepare_voc
from quantdet.data.scenes import generate_scenes
from quantdet.data.show import contact_sheet
from quantdet.data.sources import download
from quantdet.detections import Detection, Detections
from quantdet.errors import QuantdetError
from quantdet.evaluate.latency import benchmark
from quantdet.export.integer import export_integer
from quantdet.pipeline import run_all
from quantdet.quant.prepare import prepare_qat
from quantdet.runs import Run
from quantdet.runtime.detector import Detector
from quantdet.runtime.draw import draw_detections
from quantdet.runtime.foreign import describe_model
from quantdet.runtime.predict import predict_to_folder
from quantdet.runtime.pretrained import pretrained_names
from quantdet.share.exchange import pull, push
from quantdet.stages.analyse import run_analyse
from quantdet.stages.evaluate import evaluate_model, run_evaluate
from quantdet.stages.export import export_model, run_export
from quantdet.stages.report import run_comparison, run_report
from quantdet.stages.settings import update_config
from quantdet.stages.train import run_qat, run_train
from quantdet.stages.verify import run_verify, verify_model

__version__: str
__all__ = [
    "__version__",
    "Config",
    "Detection",
    "Detections",
    "Detector",
    "QuantdetError",
    "Run",
    "benchmark",
    "check_dataset",
    "contact_sheet",
    "describe_model",
    "download",
    "draw_detections",
    "evaluate_model",
    "export_integer",
    "export_model",
    "generate_scenes",
    "load_config",
    "load_dataset",
    "predict_to_folder",
    "prepare_qat",
    "prepare_voc",
    "pretrained_names",
    "pull",
    "push",
    "run_all",
    "run_analyse",
    "run_comparison",
    "run_evaluate",
    "run_export",
    "run_qat",
    "run_report",
    "run_train",
    "run_verify",
    "update_config",
    "verify_model",
]
