# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.train.device import choose_workers
from quantdet.train.distill import follow, logit_agreement, offset_agreement, with_teacher
from quantdet.train.feed import EpochBatches
from quantdet.train.float_stage import build_task, freeze_before
from quantdet.train.loop import fit
from quantdet.train.optimizer import LayerwiseAdamW
from quantdet.train.qat_stage import calibration_pictures
from quantdet.train.settings import FitSettings

__all__ = [
    "EpochBatches",
    "FitSettings",
    "LayerwiseAdamW",
    "build_task",
    "calibration_pictures",
    "choose_workers",
    "fit",
    "follow",
    "freeze_before",
    "logit_agreement",
    "offset_agreement",
    "with_teacher",
]
