"""Settings of the two trainings: of the float model, and quantization-aware."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from quantdet.config.section import Section, Seed


class TrainConfig(Section):
    """Float training: the head on a frozen backbone, then all layers."""

    epochs: int = Field(10, ge=0)
    """Epochs of the head alone, on features that are computed once, without augmentation."""
    batch_size: int = Field(32, ge=1)
    """Pictures per step, also in quantization-aware training unless `qat.batch_size` is set."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """Optimizer of both phases and of quantization-aware training."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate of the first phase."""
    weight_decay: float = Field(0.0, ge=0)
    """For `adamw`; biases are left out."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Schedule of the learning rate; `cosine` decays to zero."""
    finetune_epochs: int = Field(0, ge=0)
    """Epochs of all layers, with BatchNorm folded into the convolutions."""
    finetune_learning_rate: float = Field(1e-4, gt=0)
    """Peak learning rate of the second phase."""
    finetune_from: str = ""
    """First layer that the second phase trains; empty trains all."""
    augment: Literal["none", "mild", "ssd", "ssd_mosaic"] = "none"
    """`mild`: small crops, flips, colours. `ssd`: crops that must show objects, and frames.
    `ssd_mosaic`: also four pictures in one."""
    crop_scale: float = Field(1.0, ge=1.0, le=3.0)
    """`ssd` crops are cut from pictures of this multiple of `input_size`, so that they stay
    sharp."""
    balance: bool = False
    """Show pictures with rare classes more often (repeat-factor sampling)."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Momentum of a moving average of the weights; the average is validated and kept. 0: none. It
    rises to this value over the first steps, so that short trainings do not keep their starting
    weights."""
    start_share: float = Field(0.0, ge=0, lt=1)
    """Share of the starting weights in the result of the second phase (WiSE-FT); helps if the
    starting model knows your classes."""
    distill: float = Field(0.0, ge=0, le=1)
    """Share of the second phase's loss that matches the outputs of the starting detector instead of
    the labels. It answers at its own width, and has to know all classes."""
    backbone_rate: float = Field(1.0, ge=0)
    """Learning rate multiplier of the backbone."""
    class_head_rate: float = Field(1.0, ge=0)
    """Learning rate multiplier of a detector's class heads."""
    keep: Literal["best", "last"] = "best"
    """Which epoch counts: the best on the validation split, or the last. For a detector, the best
    is the last epoch whose mean AP is within one standard error of the highest; for a localizer,
    the epoch with the lowest loss. With `ema`, the averages are validated and kept."""
    validate_every: int = Field(5, ge=0)
    """Epochs between measurements of a detector's mean AP on the validation split, also in
    quantization-aware training; the last epoch is always measured. 0: losses only."""
    patience: int = Field(0, ge=0)
    """Early stopping: a phase ends after this many epochs without improvement on validation; 0:
    never. Needs `keep = "best"`. With `schedule = "cosine"` the learning rate has not decayed to
    zero by then."""
    min_steps: int = Field(0, ge=0)
    """Minimum number of steps of a phase: few pictures get more passes, of which an epoch then has
    several. A file, `--set` or option that sets the number of epochs sets both bounds to 0, unless
    it sets them too."""
    max_steps: int = Field(0, ge=0)
    """Maximum number of steps of a phase: very large data sets get fewer epochs, at least one; 0:
    no limit."""
    seed: Seed = 0
    """Seed of initial weights, order and augmentation."""
    mixed_precision: bool = False
    """Compute in bfloat16; variables stay float32."""
    devices: int = Field(1, ge=1)
    """Devices of this machine that share every batch, also in quantization-aware training. More
    than one needs JAX and batches of a multiple of it; calibration and evaluation use one."""

    @model_validator(mode="after")
    def _settings_fit(self) -> TrainConfig:
        if self.patience and self.keep == "last":
            raise ValueError("patience waits for the best epoch, but keep is 'last'; set keep best")
        if self.max_steps and self.max_steps < self.min_steps:
            raise ValueError(f"max_steps {self.max_steps} is below min_steps {self.min_steps}")
        if self.distill and not self.finetune_epochs:
            raise ValueError("distill is of the second phase; set finetune_epochs above 0")
        if self.distill and self.mixed_precision:
            raise ValueError("distill computes in float32; set mixed_precision false")
        return self


class QatConfig(Section):
    """Calibration and quantization-aware training; more in [quantization.md](quantization.md)."""

    recipe: str | list[tuple[str, str]] = "static_wi8_ai8"
    """Bit widths of weights and activations: a name, or `[[pattern, name], …]` by layer name
    ([list](quantization.md#recipes))."""
    observer: str = "mse"
    """How ranges are derived from the calibration pictures: `minmax`, `moving_average`,
    `percentile`, `mse` or `entropy`."""
    rounding: str = "nearest"
    """Rounding of the weights: `nearest`, or `second_order`, which minimizes the error of the
    layer's output."""
    ranges: str = "calibrated"
    """Ranges during training: `calibrated` (fixed), `tracked` for some steps, or `learned`."""
    track_steps: int = Field(200, ge=0)
    """Training steps after which tracked ranges stay fixed."""
    calibration_images: int = Field(200, ge=1)
    """Training pictures to calibrate with."""
    epochs: int = Field(5, ge=0)
    """Epochs of training; 0 is post-training quantization."""
    batch_size: int = Field(0, ge=0)
    """Pictures per step; 0: as in `train.batch_size`."""
    learning_rate: float = Field(1e-5, gt=0)
    """Peak learning rate of the weights."""
    range_learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate of learned ranges and scales."""
    train_backbone: bool = False
    """Train all layers; otherwise only the head learns, behind the calibrated backbone."""
    distill: float = Field(0.0, ge=0, le=1)
    """Share of the loss that matches the float model's outputs instead of the labels."""
    distill_features: tuple[str, ...] = ()
    """Layers (as `quantdet analyse` names them) whose outputs are trained to match the float
    model's, weighted by `distill`."""
    seed: Seed = 0
    """Seed of calibration pictures, order and augmentation."""

    @model_validator(mode="after")
    def _features_have_weight(self) -> QatConfig:
        if self.distill_features and not self.distill:
            raise ValueError("distill_features have no weight; set distill above 0, e.g. 0.5")
        return self
