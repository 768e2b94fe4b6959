"""What quantization does to every layer: one pass through the float and the integer form.

Signal x, its quantized form y, sums over pictures, positions and channels:

    SQNR   = 10 log10(sum x^2 / sum (y - x)^2)  in dB
    cosine = sum x y / sqrt(sum x^2 sum y^2)

"accumulated": both nets run from the picture, so y holds the noise of all layers before.
"own": the layer alone is quantized, on float inputs; its noise has three parts,

    weights    w_q * x - w * x        (biases included)
    clipping   clip(x) - x            at the ends of the range
    rounding   round(clip(x)) - clip(x)   to the grid

Signal-to-noise per layer as in Sheng et al. 2018 (arXiv:1803.08607, section 3); clipping
against rounding noise as in Nagel et al. 2021 (arXiv:2106.08295, section 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import QuantizationError
from quantdet.progress import Tick, no_tick
from quantdet.quant.graph import Node, call_layer
from quantdet.quant.judge import GivenValues
from quantdet.quant.layers import ActivationQuantizer
from quantdet.quant.noise import decibels, energy, numbers, product
from quantdet.quant.pair import Pair, Point
from quantdet.quant.tensors import Tensor

if TYPE_CHECKING:
    import keras

# Range use is told by what lies between these shares of the values.
_TAILS = (0.001, 0.999)
# A channel below this share of the largest is what training left of an unused one.
_EMPTY = 1e-6


@dataclass(frozen=True)
class WeightAnalysis:
    """What quantization does to a kernel.

    Attributes:
        largest: max|w| of the output channel that has the largest.
        smallest: max|w| of the one that has the smallest, without empty channels.
        spread: ``largest / smallest``, >= 1.
        scales: how many there are: one, or one for each channel.
        sqnr_db: float kernel against the kernel on its grid.
        moved_steps: root mean square of their difference in steps of the grid. Rounding alone
            gives at most 0.5, about 0.29; the rest is what training did.
    """

    largest: float
    smallest: float
    spread: float
    scales: int
    sqnr_db: float
    moved_steps: float


@dataclass(frozen=True)
class LayerAnalysis:
    """What quantization does to one layer's output.

    Attributes:
        layer: name in the Keras model.
        kind: Keras layer type.
        sqnr_db: of the accumulated noise.
        sqnr_own_db: of the noise that this layer adds.
        cosine: of float and quantized values, accumulated, -1 to 1.
        from_weights: share of the own noise, 0 to 1; the three add up to 1, or are all 0.
        from_clipping: see ``from_weights``.
        from_rounding: see ``from_weights``.
        minimum: of the range, real.
        maximum: of the range, real.
        seen_minimum: of the float values, behind a ReLU.
        seen_maximum: of the float values, behind a ReLU.
        clipped: share of float values more than half a step outside of the range. What a
            ReLU clips in the float model does not count.
        range_use: share of the range's steps between which 99.8 % of the quantized values lie.
        fixed_range: the range is given by the integer kernel or the input, not calibrated.
        shares_range: names of other layers that have to have the same range.
        weights: None for layers without.
    """

    layer: str
    kind: str
    sqnr_db: float
    sqnr_own_db: float
    cosine: float
    from_weights: float
    from_clipping: float
    from_rounding: float
    minimum: float
    maximum: float
    seen_minimum: float
    seen_maximum: float
    clipped: float
    range_use: float
    fixed_range: bool
    shares_range: tuple[str, ...]
    weights: WeightAnalysis | None

    def to_dict(self) -> dict[str, object]:
        """Return everything, JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class Analysis:
    """What quantization does to a net.

    Attributes:
        layers: in the order of execution.
        outputs: output name → SQNR in dB, against the given float model where the pair has one.
    """

    layers: tuple[LayerAnalysis, ...]
    outputs: dict[str, float]


def analyse(pair: Pair, batches: Sequence[Tensor], progress: Tick = no_tick) -> Analysis:
    """Run both forms of a net on the same pictures and compare every layer.

    Only sums are kept, so memory is that of one batch in both forms.

    Args:
        pair: the net.
        batches: float32 inputs as the model takes them; 16 to 32 typical pictures in all.
        progress: called after each batch.

    Raises:
        QuantizationError: no batch, or values that are not finite.
    """
    if not len(batches):
        raise QuantizationError("no pictures to analyse; give at least one batch")
    comparer = _Comparer(pair)
    for done, batch in enumerate(batches, start=1):
        comparer.compare(batch)
        progress(done, len(batches))
    return comparer.result()


@dataclass(frozen=True)
class _Forms:
    """One tensor: float; quantized; and as it is if only what was added since the last
    quantizer is (float again behind the quantizer).
    """

    exact: Tensor
    rounded: Tensor
    own: Tensor


class _Comparer:
    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._sums = {point.output: _Sums(point) for point in pair.points}
        self._outputs = {name: np.zeros(2) for name in pair.outputs}

    def compare(self, batch: Tensor) -> None:
        given = self._pair.given(batch)
        starts = [_Forms(tensor, tensor, tensor) for tensor in self._pair.tensors(batch)]
        known = self._pair.graph.run(starts, partial(self._apply, given), forget=True)
        for name, tensor_id in self._pair.outputs.items():
            forms = known[tensor_id]
            exact = numbers(self._pair.exact_output(name, forms.exact, given))
            self._outputs[name] += energy(exact), energy(numbers(forms.rounded) - exact)

    def _apply(self, given: GivenValues, node: Node, arguments: list[_Forms]) -> _Forms:
        computed = self._pair.call_float(node, [item.exact for item in arguments])
        exact = self._pair.exact(node, computed, given)
        rounded = call_layer(node.layer, [item.rounded for item in arguments])
        if not isinstance(node.layer, ActivationQuantizer):
            own = call_layer(node.layer, [item.own for item in arguments])
            return _Forms(exact, rounded, own)
        unrounded = self._pair.call_float(node, [arguments[0].own])
        alone = call_layer(node.layer, [arguments[0].own])
        on_grid = call_layer(node.layer, [exact])
        self._sums[node.output].add(*map(numbers, (exact, rounded, unrounded, alone, on_grid)))
        return _Forms(exact, rounded, exact)

    def result(self) -> Analysis:
        sharing: dict[keras.Layer, list[str]] = {}
        for point in self._pair.points:
            sharing.setdefault(point.quantizer, []).append(point.name)
        layers = []
        for point in self._pair.points:
            others = tuple(name for name in sharing[point.quantizer] if name != point.name)
            weights = _weights(point, self._pair.originals.get(point.calls[0].layer.name))
            layers.append(self._sums[point.output].result(others, weights))
        outputs = {name: decibels(*sums) for name, sums in self._outputs.items()}
        return Analysis(tuple(layers), outputs)


class _Sums:
    """Running sums of one point."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._params = point.quantizer.params()
        self._lowest: int = round(self._params.minimum / self._params.scale)
        self._steps: int = round(self._params.maximum / self._params.scale) - self._lowest
        self._histogram = np.zeros(self._steps + 1, np.int64)
        self._signal = self._noise = self._quantized = self._product = self._own = 0.0
        self._parts = np.zeros(3)
        self._clipped = 0
        self._low, self._high = math.inf, -math.inf

    def add(
        self,
        exact: NDArray[np.float32],
        rounded: NDArray[np.float32],
        unrounded: NDArray[np.float32],
        alone: NDArray[np.float32],
        on_grid: NDArray[np.float32],
    ) -> None:
        """Take in one batch; all of one shape.

        Args:
            exact: float values.
            rounded: with everything before quantized.
            unrounded: with only the weights of this layer quantized.
            alone: with only this layer quantized.
            on_grid: ``exact``, rounded.
        """
        if not np.isfinite(exact).all():
            raise QuantizationError(
                f"{self._point.name}: values are not finite; the float model or the pictures "
                "are broken"
            )
        low, high = self._params.minimum, self._params.maximum
        inside = np.clip(exact, np.float32(low), np.float32(high))
        self._signal += energy(exact)
        self._quantized += energy(rounded)
        self._product += product(exact, rounded)
        self._noise += energy(rounded - exact)
        self._own += energy(alone - exact)
        self._parts += energy(unrounded - exact), energy(inside - exact), energy(on_grid - inside)
        self._clipped += int((np.abs(exact - inside) > self._params.scale / 2).sum())
        self._low, self._high = min(self._low, exact.min()), max(self._high, exact.max())
        integers = np.rint(rounded / self._params.scale).astype(np.int64) - self._lowest
        self._histogram += np.bincount(
            np.clip(integers, 0, self._steps).reshape(-1), minlength=self._steps + 1
        )

    def result(self, others: tuple[str, ...], weights: WeightAnalysis | None) -> LayerAnalysis:
        """Return the figures."""
        parts = self._parts / (self._parts.sum() or 1.0)
        size = math.sqrt(self._signal * self._quantized)
        return LayerAnalysis(
            layer=self._point.name,
            kind=self._point.kind,
            sqnr_db=decibels(self._signal, self._noise),
            sqnr_own_db=decibels(self._signal, self._own),
            cosine=min(self._product / size, 1.0) if size else 1.0,
            from_weights=float(parts[0]),
            from_clipping=float(parts[1]),
            from_rounding=float(parts[2]),
            minimum=self._params.minimum,
            maximum=self._params.maximum,
            seen_minimum=float(self._low),
            seen_maximum=float(self._high),
            clipped=self._clipped / int(self._histogram.sum()),
            range_use=self._range_use(),
            fixed_range=self._point.quantizer.fixed is not None,
            shares_range=others,
            weights=weights,
        )

    def _range_use(self) -> float:
        below = np.cumsum(self._histogram) / self._histogram.sum()
        low, high = np.searchsorted(below, _TAILS)
        return float((high - low) / self._steps)


def _weights(point: Point, original: keras.Layer | None) -> WeightAnalysis | None:
    """Compare a kernel with the float model's, or with itself before rounding."""
    layer = point.weighted
    if layer is None:
        return None
    exact = numbers(layer.kernel if original is None else original.kernel)
    error = numbers(layer.kernel_on_grid()) - exact
    scale = numbers(layer.weight_scale())
    channels = np.abs(exact).max(axis=layer.reduced_axes)
    used = channels[channels > _EMPTY * channels.max()]
    largest, smallest = (used.max(), used.min()) if used.size else (0.0, 0.0)
    return WeightAnalysis(
        largest=float(largest),
        smallest=float(smallest),
        spread=float(largest / smallest) if used.size else 1.0,
        scales=int(scale.size),
        sqnr_db=decibels(energy(exact), energy(error)),
        moved_steps=math.sqrt(energy(error / scale) / error.size),
    )
