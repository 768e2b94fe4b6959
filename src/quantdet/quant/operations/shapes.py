"""Operations that move values and compute none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from quantdet.quant.operations.operands import (
    UnsupportedError,
    axes_of,
    axis_of,
    is_tensor,
    numbers,
    reshape,
    tensor,
    transpose,
)
from quantdet.quant.primitives import BroadcastTo, Gather, MirrorPad, Slice
from quantdet.quant.tensors import Tensor

# What is lower stands for minus infinity.
_NOTHING = -1e30


def reshaped(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.reshape``; the batch stays first."""
    wanted = [None if size == -1 else size for size in op.newshape]
    known = None if None in x.shape[1:] else math.prod(x.shape[1:])
    rest = wanted[1:]
    fixed = math.prod(size for size in rest if size is not None)
    if known is not None and rest.count(None) == 1 and fixed:
        rest = [known // fixed if size is None else size for size in rest]
    whole = [size for size in rest if size is not None]
    moves = known is not None and len(whole) == len(rest) and math.prod(whole) != known
    if wanted[0] not in (None, x.shape[0]) or moves:
        raise UnsupportedError(f"reshapes to {tuple(op.newshape)}, which moves the batch axis")
    return reshape(x, rest)


def transposed(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.transpose``."""
    rank = len(x.shape)
    axes = range(rank)[::-1] if op.axes is None else [axis % rank for axis in op.axes]
    return transpose(x, list(axes))


def swapped(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.swapaxes``."""
    axes = list(range(len(x.shape)))
    axes[op.axis1], axes[op.axis2] = axes[op.axis2], axes[op.axis1]
    return transpose(x, axes)


def moved(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.moveaxis``."""
    rank = len(x.shape)
    sources = [axis % rank for axis in op.source]
    destinations = [axis % rank for axis in op.destination]
    order = [axis for axis in range(rank) if axis not in sources]
    for destination, source in sorted(zip(destinations, sources, strict=True)):
        order.insert(destination, source)
    return transpose(x, order)


def concatenated(op: keras.Operation, xs: Sequence[Tensor]) -> Tensor:
    """Return ``ops.concatenate``; constants are repeated for each picture."""
    like = next(x for x in xs if is_tensor(x))
    axis = axis_of(op.axis, len(like.shape))
    return keras.layers.Concatenate(axis)([tensor(x, like) for x in xs])


def side_by_side(axis: int) -> Callable[..., Tensor]:
    """Return the function of ``ops.hstack`` or ``dstack``."""

    def join(_: keras.Operation, xs: Sequence[Tensor]) -> Tensor:
        like = next(x for x in xs if is_tensor(x))
        if len(like.shape) <= axis:
            raise UnsupportedError("adds an axis; use ops.stack")
        return keras.layers.Concatenate(axis)([tensor(x, like) for x in xs])

    return join


def stacked(op: keras.Operation, xs: Sequence[Tensor]) -> Tensor:
    """Return ``ops.stack``."""
    like = next(x for x in xs if is_tensor(x))
    axis = axis_of(op.axis, len(like.shape) + 1)
    parts = [_with_axis(tensor(x, like), axis) for x in xs]
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(axis)(parts)


def _with_axis(x: Tensor, axis: int) -> Tensor:
    return reshape(x, (*x.shape[1:axis], 1, *x.shape[axis:]))


def expanded(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.expand_dims``."""
    rank = len(x.shape) + (1 if isinstance(op.axis, int) else len(op.axis))
    for axis in axes_of(op.axis, rank):
        x = _with_axis(x, axis)
    return x


def squeezed(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.squeeze``."""
    rank = len(x.shape)
    if op.axis is None:
        axes = [axis for axis in range(1, rank) if x.shape[axis] == 1]
    else:
        axes = axes_of(op.axis, rank)
    return reshape(x, [x.shape[axis] for axis in range(1, rank) if axis not in axes])


def split(op: keras.Operation, x: Tensor) -> list[Tensor]:
    """Return ``ops.split`` as slices."""
    axis = axis_of(op.axis, len(x.shape))
    length, wanted = x.shape[axis], op.indices_or_sections
    if length is None:
        raise UnsupportedError("splits an axis of unknown size")
    if isinstance(wanted, int):
        # As numpy.array_split: the first parts are longer where it does not divide evenly.
        each, more = divmod(length, wanted)
        cuts = [part * each + min(part, more) for part in range(wanted + 1)]
    else:
        cuts = [0, *(int(cut) for cut in wanted), length]
    return [part(x, axis, begin, end) for begin, end in itertools.pairwise(cuts)]


def gated(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.glu``: one half times the sigmoid of the other."""
    axis = axis_of(op.axis, len(x.shape))
    half = int(x.shape[axis]) // 2
    gate = keras.layers.Activation("sigmoid")(part(x, axis, half, 2 * half))
    return keras.layers.Multiply()([part(x, axis, 0, half), gate])


def part(x: Tensor, axis: int, begin: int, end: int) -> Tensor:
    """Return positions ``begin`` to ``end`` of one axis (batch is 0)."""
    slices: list[Sequence[int | None]] = [(None, None, None)] * (len(x.shape) - 1)
    slices[axis - 1] = (begin, end, 1)
    return Slice(slices)(x)


def center_crop(layer: keras.Layer, x: Tensor) -> Tensor:
    """Return ``keras.layers.CenterCrop`` of a picture that is large enough."""
    _check_last(layer)
    sizes, wanted = x.shape[1:3], (layer.height, layer.width)
    if len(x.shape) != 4 or None in sizes or any(n < w for n, w in zip(sizes, wanted, strict=True)):
        raise UnsupportedError(f"crops {tuple(x.shape[1:])} to {wanted}; give it larger pictures")
    for axis, (size, want) in enumerate(zip(sizes, wanted, strict=True), start=1):
        begin = (size - want) // 2
        x = x if size == want else part(x, axis, begin, begin + want)
    return x


def unstacked(op: keras.Operation, x: Tensor) -> list[Tensor]:
    """Return ``ops.unstack``."""
    axis = axis_of(op.axis, len(x.shape))
    shape = [size for place, size in enumerate(x.shape) if place not in (0, axis)]
    return [reshape(part(x, axis, at, at + 1), shape) for at in range(x.shape[axis])]


def item(_: keras.Operation, x: Tensor, key: Tensor) -> Tensor:
    """Return ``x[key]`` for slices, integers, None and Ellipsis."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(not isinstance(part, slice | int | np.integer | None | type(...)) for part in keys):
        raise UnsupportedError("is indexed with something other than slices and numbers")
    taken = sum(part is not None and part is not ... for part in keys)
    fill = [slice(None)] * (len(x.shape) - taken)
    place = keys.index(...) if ... in keys else len(keys)
    full = [*keys[:place], *fill, *keys[place + 1 :]]
    if full[0] != slice(None):
        raise UnsupportedError("takes a part of the batch")
    picked = [part for part in full if part is not None]
    result = _sliced(x, picked[1:])
    sizes = iter(result.shape[1:])
    shape: list[int | None] = []
    for entry in full[1:]:
        size = 1 if entry is None else next(sizes)
        if entry is None or isinstance(entry, slice):
            shape.append(size)
    return reshape(result, shape)


def _sliced(x: Tensor, keys: Sequence[Tensor]) -> Tensor:
    slices = []
    for entry, length in zip(keys, x.shape[1:], strict=True):
        if isinstance(entry, slice):
            slices.append((entry.start, entry.stop, entry.step))
        else:
            at = int(entry) if entry >= 0 or length is None else int(entry) + length
            slices.append((at, at + 1, 1))
    whole = all(entry in ((None, None, None), (0, None, None)) for entry in slices)
    return x if whole else Slice(slices)(x)


def core_slice(op: keras.Operation, x: Tensor, start: Tensor) -> Tensor:
    """Return ``ops.slice``."""
    begin, shape = numbers(start).astype(int), list(op.shape)
    if begin[0] or shape[0] not in (None, -1, x.shape[0]):
        raise UnsupportedError("takes a part of the batch")
    slices = [
        (int(at), None if size in (None, -1) else int(at + size), 1)
        for at, size in zip(begin[1:], shape[1:], strict=True)
    ]
    return Slice(slices)(x)


def slice_updated(_: keras.Operation, x: Tensor, start: Tensor, update: Tensor) -> Tensor:
    """Return ``ops.slice_update`` at a constant place: what is around, joined with the update."""
    begin = numbers(start).astype(int)
    update = tensor(update, x)
    if begin[0] or update.shape[0] != x.shape[0]:
        raise UnsupportedError("changes a part of the batch")
    for axis in range(len(x.shape) - 1, 0, -1):
        first, last = int(begin[axis]), int(begin[axis] + update.shape[axis])
        around = x
        for before in range(1, axis):
            at = int(begin[before])
            around = part(around, before, at, at + int(update.shape[before]))
        pieces = [part(around, axis, 0, first)] if first else []
        pieces.append(update)
        if last < x.shape[axis]:
            pieces.append(part(around, axis, last, int(x.shape[axis])))
        update = keras.layers.Concatenate(axis)(pieces) if len(pieces) > 1 else update
    return update


def flipped(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.flip``."""
    axes = axes_of(op.axis, len(x.shape))
    rank = len(x.shape)
    return Slice([(None, None, -1 if axis in axes else None) for axis in range(1, rank)])(x)


def taken(op: keras.Operation, x: Tensor, indices: Tensor) -> Tensor:
    """Return ``ops.take`` at constant positions."""
    if not is_tensor(x) or is_tensor(indices):
        raise UnsupportedError("indexes with computed positions, or into a constant table")
    axis = axis_of(op.axis if op.axis is not None else 0, len(x.shape))
    places = numbers(indices).astype(int)
    picked = Gather([int(at) % int(x.shape[axis]) for at in places.reshape(-1)], axis)(x)
    return reshape(picked, (*x.shape[1:axis], *places.shape, *x.shape[axis + 1 :]))


def rolled(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.roll`` along one axis."""
    if not isinstance(op.axis, int) or not isinstance(op.shift, int):
        raise UnsupportedError("rolls several axes; roll one after the other")
    axis = axis_of(op.axis, len(x.shape))
    length = int(x.shape[axis])
    cut = -op.shift % length
    if cut == 0:
        return x
    return keras.layers.Concatenate(axis)([part(x, axis, cut, length), part(x, axis, 0, cut)])


def repeated(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.repeat`` with one number of repeats: a new axis, broadcast."""
    if not isinstance(op.repeats, int) or op.axis is None:
        raise UnsupportedError("repeats a flat tensor, or each position differently")
    axis = axis_of(op.axis, len(x.shape))
    shape = list(x.shape[1:])
    wider = BroadcastTo([*shape[:axis], op.repeats, *shape[axis:]])(_with_axis(x, axis + 1))
    shape[axis - 1] = shape[axis - 1] * op.repeats
    return reshape(wider, shape)


def tiled(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.tile``."""
    repeats = [op.repeats] if isinstance(op.repeats, int) else list(op.repeats)
    repeats = [1] * (len(x.shape) - len(repeats)) + repeats
    if len(repeats) != len(x.shape) or repeats[0] != 1:
        raise UnsupportedError("repeats the batch")
    for axis, count in enumerate(repeats):
        if count > 1:
            x = keras.layers.Concatenate(axis)([x] * count)
    return x


def broadcast(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.broadcast_to``."""
    rank = len(op.shape)
    if rank != len(x.shape):
        x = reshape(x, [1] * (rank - len(x.shape)) + list(x.shape[1:]))
    wanted = [
        size if size not in (None, -1) else x.shape[place] for place, size in enumerate(op.shape)
    ]
    return x if wanted[1:] == list(x.shape[1:]) else BroadcastTo(wanted[1:])(x)


def padded(op: keras.Operation, x: Tensor, constant_values: Tensor = None) -> Tensor:
    """Return ``ops.pad`` with zeros, or with the picture's own border."""
    rank = len(x.shape)
    widths = [[int(count) for count in pair] for pair in op.pad_width]
    widths = widths * rank if len(widths) == 1 else widths
    if any(widths[0]):
        raise UnsupportedError("pads the batch")
    if op.mode in ("reflect", "symmetric"):
        return MirrorPad(widths[1:], op.mode)(x)
    if op.mode != "constant":
        raise UnsupportedError(f"pads with mode {op.mode!r}; supported are constant, reflect")
    value = 0.0 if constant_values is None else float(numbers(constant_values).reshape(()))
    if value < _NOTHING:
        if np.max(widths) > 1:
            raise UnsupportedError("pads several pixels with minus infinity")
        # For a maximum: the border's own value changes it as little as none.
        return MirrorPad(widths[1:], "symmetric")(x)
    if value:
        return _padded_with(x, widths, value)
    return zero_padded(x, widths[1:])


def _padded_with(x: Tensor, widths: Sequence[Sequence[int]], value: float) -> Tensor:
    """Pad with a number: 0 in a tensor that has 0 where the number was."""
    shifted = keras.layers.Rescaling(1.0, offset=-value)(x)
    return keras.layers.Rescaling(1.0, offset=value)(zero_padded(shifted, widths[1:]))


def zero_padded(x: Tensor, widths: Sequence[Sequence[int]]) -> Tensor:
    """Return ``x`` with zeros around; (before, behind) for every axis but the batch."""
    if not np.any(widths):
        return x
    if len(widths) == 3 and not any(widths[2]):
        return keras.layers.ZeroPadding2D(tuple(map(tuple, widths[:2])))(x)
    if len(widths) == 2 and not any(widths[1]):
        wide = reshape(x, (1, *x.shape[1:]))
        wide = keras.layers.ZeroPadding2D(((0, 0), tuple(widths[0])))(wide)
        return reshape(wide, wide.shape[2:])
    for axis, (before, behind) in enumerate(widths, start=1):
        for count, first in ((before, True), (behind, False)):
            if count:
                zeros = np.zeros([1, *(count if a == axis else n for a, n in _sizes(x))])
                pair = [tensor(zeros, x), x] if first else [x, tensor(zeros, x)]
                x = keras.layers.Concatenate(axis)(pair)
    return x


def _sizes(x: Tensor) -> list[tuple[int, int]]:
    return [(axis, int(size)) for axis, size in enumerate(x.shape) if axis]


def space_to_depth(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.space_to_depth``, by reshapes and one transpose."""
    _check_last(op)
    block, (height, width, channels) = op.block_size, x.shape[1:]
    rows = reshape(x, (height // block, block, width // block, block, channels))
    blocks = transpose(rows, (0, 1, 3, 2, 4, 5))
    return reshape(blocks, (height // block, width // block, block * block * channels))


def depth_to_space(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.depth_to_space``, by reshapes and one transpose."""
    _check_last(op)
    block, (height, width, channels) = op.block_size, x.shape[1:]
    blocks = reshape(x, (height, width, block, block, channels // block**2))
    rows = transpose(blocks, (0, 1, 3, 2, 4, 5))
    return reshape(rows, (height * block, width * block, channels // block**2))


def _check_last(op: keras.Operation) -> None:
    if op.data_format != "channels_last":
        raise UnsupportedError("is channels_first; LiteRT is channels_last")


SHAPES: dict[str, Callable[..., Tensor]] = {
    "numpy.Reshape": reshaped,
    "numpy.Transpose": transposed,
    "numpy.Swapaxes": swapped,
    "numpy.Moveaxis": moved,
    "numpy.Concatenate": concatenated,
    "numpy.Hstack": side_by_side(1),
    "numpy.Dstack": side_by_side(2),
    "numpy.Stack": stacked,
    "numpy.ExpandDims": expanded,
    "numpy.Squeeze": squeezed,
    "numpy.Split": split,
    "numpy.ArraySplit": split,
    "core.Unstack": unstacked,
    "nn.Glu": gated,
    "numpy.GetItem": item,
    "core.Slice": core_slice,
    "core.SliceUpdate": slice_updated,
    "numpy.Flip": flipped,
    "numpy.Take": taken,
    "numpy.Roll": rolled,
    "numpy.Repeat": repeated,
    "numpy.Tile": tiled,
    "numpy.BroadcastTo": broadcast,
    "numpy.Pad": padded,
    "nn.SpaceToDepth": space_to_depth,
    "nn.DepthToSpace": depth_to_space,
}
