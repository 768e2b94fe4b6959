"""Name the layers that hurt, say why, and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from quantdet.quant.analysis import LayerAnalysis, WeightAnalysis
from quantdet.quant.noise import ratio
from quantdet.quant.sensitivities import LayerSensitivity

# A layer hurts if its noise is above 1 % of the signal (by amplitude), and it makes this share of
# all noise, and twice its even share; in nets of a few layers half of all is enough.
_HARMLESS_DB = 40.0
_LARGE_SHARE = 0.1
_TIMES_EVEN = 2.0
_ENOUGH = 0.5
# Noise of a kernel beyond what rounding can give: training moved it.
_MOVED_STEPS = 0.5
# Differences of channels that cost a common scale more than two bits.
_WIDE_SPREAD = 4.0
_LITTLE_RANGE = 0.25
# From those that cut most to those that cut nothing.
_BY_WIDTH = ("percentile", "mse", "minmax")


@dataclass(frozen=True)
class Finding:
    """A layer that hurts.

    Attributes:
        layer: its name.
        share: of the noise of all layers, 0 to 1; at the outputs if sensitivity was measured.
        cause: "weights", "clipping" or "rounding", whichever adds most.
        text: what is wrong and what helps, one or two sentences.
    """

    layer: str
    share: float
    cause: str
    text: str

    def to_dict(self) -> dict[str, object]:
        """Return everything, JSON-ready."""
        return asdict(self)


def diagnose(
    layers: Sequence[LayerAnalysis],
    sensitivities: Sequence[LayerSensitivity] | None = None,
    observer: str = "",
) -> list[Finding]:
    """Return the layers that make far more than their share of the noise, worst first.

    Args:
        layers: of ``analyse.analyse``.
        sensitivities: of the same net; without them noise counts where it arises, relative to
            the layer's own signal.
        observer: that calibrated the ranges, so that it is not what is advised.
    """
    if sensitivities is None:
        noise = [layer.sqnr_own_db for layer in layers]
    else:
        noise = [item.output_sqnr_db for item in sensitivities]
    total = sum(map(ratio, noise))
    bar = min(_ENOUGH, max(_LARGE_SHARE, _TIMES_EVEN / len(layers)))
    found = [
        Finding(layer.layer, ratio(sqnr_db) / total, cause_of(layer), explain(layer, observer))
        for layer, sqnr_db in zip(layers, noise, strict=True)
        if sqnr_db < _HARMLESS_DB and ratio(sqnr_db) / total >= bar
    ]
    return sorted(found, key=lambda finding: -finding.share)


def cause_of(layer: LayerAnalysis) -> str:
    """Return which part of a layer's own noise is largest."""
    parts = {
        "weights": layer.from_weights,
        "clipping": layer.from_clipping,
        "rounding": layer.from_rounding,
    }
    return max(parts, key=lambda name: parts[name])


def explain(layer: LayerAnalysis, observer: str = "") -> str:
    """Say why a layer is noisy and what may help; arguments as for :func:`diagnose`."""
    cause = cause_of(layer)
    if cause == "weights" and layer.weights is not None:
        return _weights(layer, layer.weights)
    return _clipping(layer, observer) if cause == "clipping" else _rounding(layer, observer)


def _clipping(layer: LayerAnalysis, observer: str) -> str:
    seen = f"values reach from {layer.seen_minimum:.3g} to {layer.seen_maximum:.3g}"
    what = f"{100 * layer.clipped:.2g} % of its values are clipped: {seen}, its {_range(layer)}."
    if layer.fixed_range:
        return f"{what} This range is fixed; feed values within it."
    return f"{what} Calibrate on more pictures{_or_observers(_wider(observer))}."


def _rounding(layer: LayerAnalysis, observer: str) -> str:
    use = f"99.8 % of its values lie in {100 * layer.range_use:.2g} % of its {_range(layer)}"
    if layer.range_use >= _LITTLE_RANGE:
        return (
            f"Its values need finer steps than its {_range(layer)} has. "
            "Quantization-aware training recovers some of this; more bits for activations recover "
            "more."
        )
    if layer.fixed_range:
        return f"{use}, which is fixed. End the model before it and compute it on the outputs."
    if layer.shares_range:
        return (
            f"{use}, which it shares with {_some(layer.shares_range)}. Scale the joined tensors "
            "alike, or train quantization-aware."
        )
    return (
        f"{use}: a few large values stretch it. "
        f"Train quantization-aware{_or_observers(_narrower(observer))}."
    )


def _weights(layer: LayerAnalysis, weights: WeightAnalysis) -> str:
    if weights.moved_steps > _MOVED_STEPS:
        return (
            f"Training moved its weights by {weights.moved_steps:.1f} steps (root mean square): "
            "this is learning, not rounding. If accuracy fell, lower the learning rate."
        )
    if weights.scales > 1 or weights.spread < _WIDE_SPREAD:
        return (
            f"Its weights are rounded too coarsely ({weights.sqnr_db:.0f} dB). "
            "Quantization-aware training recovers some of this; more bits for weights recover more."
        )
    what = (
        f"Its channels' largest weights differ {weights.spread:.3g} : 1 and share one scale "
        f"({weights.sqnr_db:.0f} dB)."
    )
    if layer.kind == "Dense":
        return f"{what} Dense layers have no scales per channel: train quantization-aware."
    return f'{what} Use a recipe with a scale for each channel, "static_wi8_ai8".'


def _wider(observer: str) -> Sequence[str]:
    """Return the observers that clip less."""
    start = _BY_WIDTH.index(observer) if observer in _BY_WIDTH else 0
    return _BY_WIDTH[start + 1 :]


def _narrower(observer: str) -> Sequence[str]:
    """Return the observers that clip more."""
    end = _BY_WIDTH.index(observer) if observer in _BY_WIDTH else -1
    return _BY_WIDTH[:end]


def _or_observers(names: Sequence[str]) -> str:
    return f", or try observer {' or '.join(names)}" if names else ""


def _range(layer: LayerAnalysis) -> str:
    return f"range [{layer.minimum:.3g}, {layer.maximum:.3g}]"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
