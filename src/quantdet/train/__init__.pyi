# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.train.batches import EpochBatches
from quantdet.train.distill import follow, logit_agreement, offset_agreement, with_teacher
from quantdet.train.float_stage import build_task, freeze_before
from quantdet.train.optimizer import LayerwiseAdamW
from quantdet.train.qat_stage import calibration_pictures

__all__ = [
    "EpochBatches",
    "LayerwiseAdamW",
    "build_task",
    "calibration_pictures",
    "follow",
    "freeze_before",
    "logit_agreement",
    "offset_agreement",
    "with_teacher",
]
