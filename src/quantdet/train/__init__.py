"""Training: loop, checkpoints, resume."""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "EpochBatches": "quantdet.train.feed",
    "FitSettings": "quantdet.train.settings",
    "LayerwiseAdamW": "quantdet.train.optimizer",
    "build_task": "quantdet.train.float_stage",
    "choose_workers": "quantdet.train.device",
    "calibration_pictures": "quantdet.train.qat_stage",
    "fit": "quantdet.train.loop",
    "follow": "quantdet.train.distill",
    "freeze_before": "quantdet.train.float_stage",
    "logit_agreement": "quantdet.train.distill",
    "offset_agreement": "quantdet.train.distill",
    "with_teacher": "quantdet.train.distill",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
