"""Typical inputs for calibration, in every form that ``model.fit`` and TFLiteConverter take.

Whatever form they come in, they leave as slices of a few pictures each, one float32 array per
model input, checked. How the caller cut his batches changes nothing, and memory does not grow with
their number.
"""

from __future__ import annotations

import inspect
import itertools
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.errors import QuantizationError
from quantdet.quant.tensors import Shape, Structure, Tensor

Inputs = list[NDArray[np.float32]]
"""One array (pictures, …) per model input, in the order of ``model.inputs``."""
Batches = Structure | Iterable[Structure]
"""One batch, or several."""
InputRange = tuple[float, float] | Mapping[str, tuple[float, float]] | None

# A slice holds so many values of the inputs: 8 pictures of 224 px. Each of the few tensors that
# live at a time is up to ten times as large, and larger slices are no faster.
_SLICE_VALUES = 8 * 224 * 224 * 3
_SLICE_PICTURES = 256
_JAX_SLICE_PICTURES = 8
# The largest tensor of MobileNetV2 at 224 px takes 150 MB for so many pictures.
_SAMPLE_PICTURES = 32
_SAMPLE_SEED = 0


class CalibrationData:
    """The pictures of a calibration argument, cut into slices.

    Args:
        model: functional (or sequential) Keras model that takes them.
        calibration: see ``prepare_qat``.

    Iterating reads the argument anew each time; a generator can be read once.

    Raises:
        QuantizationError: (on iterating, too) what came is no input of the model.
    """

    def __init__(self, model: keras.Model, calibration: object) -> None:
        self._form = _Form.of(model)
        self._source = _called(calibration, self._form)

    def __iter__(self) -> Iterator[Inputs]:
        slices = sliced(_pictures(self._form, self._source))
        first = next(slices, None)
        if first is None:
            raise QuantizationError(
                f"no calibration data: {_describe(self._source)} gave nothing (a generator can be "
                f"read only once); expected: {self._form.wanted}"
            )
        yield from map(self._checked, itertools.chain([first], slices))

    def _checked(self, inputs: Inputs) -> Inputs:
        for name, values in zip(self._form.names, inputs, strict=True):
            if not np.isfinite(values).all():
                raise QuantizationError(
                    f"calibration: input {name!r} has values that are not finite (NaN or "
                    "infinity); leave these pictures out or fix what loads them"
                )
        return inputs

    def replayable(self) -> Iterable[Inputs]:
        """Return the same slices such that they can be read twice, a generator's too."""
        return _Spool(self) if isinstance(self._source, Iterator) else self


def read_calibration(model: keras.Model, calibration: object) -> Iterable[Inputs]:
    """Return the slices of a calibration argument; of one that was read already, itself."""
    if isinstance(calibration, CalibrationData | _Spool):
        return calibration
    return CalibrationData(model, calibration)


def as_given(model: keras.Model, inputs: Inputs) -> Structure:
    """Return the arrays of each input nested as the model takes them: one array, list or dict."""
    return keras.tree.pack_sequence_as(_Form.of(model).structure, inputs)


class _Spool:
    """Keeps slices in a temporary file, so that memory stays constant."""

    def __init__(self, slices: Iterable[Inputs]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed, and gone, with this object
        self._widths: list[int] = []
        for inputs in slices:
            self._widths.append(len(inputs))
            for values in inputs:
                np.save(self._file, values)

    def __iter__(self) -> Iterator[Inputs]:
        self._file.seek(0)
        for width in self._widths:
            yield [np.load(self._file) for _ in range(width)]


class Reservoir:
    """A small random sample of a stream of pictures, each with the same probability.

    It depends on the pictures and their order, not on how they were sliced (algorithm R:
    Vitter 1985, "Random sampling with a reservoir").
    """

    def __init__(self, pictures: int = _SAMPLE_PICTURES) -> None:
        self._room = pictures
        self._rng = np.random.default_rng(_SAMPLE_SEED)
        self._seen = 0
        self._kept: list[Sequence[NDArray[np.float32]]] = []

    def tee(self, slices: Iterable[Inputs]) -> Iterator[Inputs]:
        """Yield the slices and sample from them."""
        for inputs in slices:
            for picture in zip(*inputs, strict=True):
                self._offer(picture)
            yield inputs

    def _offer(self, picture: Sequence[NDArray[np.float32]]) -> None:
        place = self._seen
        if self._seen >= self._room:
            place = int(self._rng.integers(self._seen + 1))
        self._seen += 1
        if place < self._room:
            # A copy: a view would keep its whole slice in memory.
            self._kept[place : place + 1] = [[values.copy() for values in picture]]

    def sample(self) -> Inputs:
        """Return the pictures kept so far; of several sizes, those of the most common one."""
        groups: dict[tuple[tuple[int, ...], ...], list[Sequence[NDArray[np.float32]]]] = {}
        for picture in self._kept:
            groups.setdefault(_shapes(picture), []).append(picture)
        largest = max(groups.values(), key=len)
        return _stacked(largest)


def sliced(pictures: Iterable[Sequence[NDArray[np.number]]]) -> Iterator[Inputs]:
    """Yield single pictures (one array per input, without batch axis) in slices of one size."""
    for shapes, same in itertools.groupby(pictures, key=_shapes):
        values = max(1, sum(math.prod(shape) for shape in shapes))
        count = _slice_pictures(values)
        while inputs := _stacked(itertools.islice(same, count)):
            yield inputs


def _slice_pictures(values: int) -> int:
    """Return how many pictures of so many ``values`` are a slice."""
    count = min(max(1, _SLICE_VALUES // values), _SLICE_PICTURES)
    if keras.backend.backend() != "jax":
        return count
    # XLA compiles an operator anew for each number of pictures, and a power of two leaves no rest
    # of the sample and of what is compared with the float model.
    return min(_JAX_SLICE_PICTURES, 1 << count.bit_length() - 1)


def _stacked(pictures: Iterable[Sequence[NDArray[np.number]]]) -> Inputs:
    return [_float32(np.stack(arrays)) for arrays in zip(*pictures, strict=True)]


def _shapes(picture: Sequence[NDArray[np.number]]) -> tuple[tuple[int, ...], ...]:
    return tuple(values.shape for values in picture)


def _float32(values: NDArray[np.number]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # Too large for float32 is infinite, and refused as such.
        return values.astype(np.float32, copy=False)


@dataclass(frozen=True)
class _Form:
    """What the inputs of a model look like.

    Attributes:
        names: as the caller knows them: keys if the model takes a dict, else the Inputs' names.
        tensor_names: the Inputs' names.
        shapes: without batch axis; None for an axis of any length.
        structure: of ``x`` in ``model.fit``, lists as tuples.
    """

    names: tuple[str, ...]
    tensor_names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    structure: Structure

    @classmethod
    def of(cls, model: keras.Model) -> _Form:
        structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        tensor_names = tuple(tensor.name.split(":")[0] for tensor in model.inputs)
        flat_dict = isinstance(structure, Mapping) and len(structure) == len(tensor_names)
        return cls(
            tuple(sorted(structure)) if flat_dict else tensor_names,
            tensor_names,
            tuple(tuple(tensor.shape[1:]) for tensor in model.inputs),
            keras.tree.lists_to_tuples(structure),
        )

    @property
    def wanted(self) -> str:
        """What the model takes, for messages."""
        inputs = [
            f"{name!r} ({', '.join(['pictures', *(str(axis or 'any') for axis in shape)])})"
            for name, shape in zip(self.names, self.shapes, strict=True)
        ]
        if len(inputs) == 1:
            return f"arrays for input {inputs[0]}, or (x, y) with such an x"
        kind = "dicts" if isinstance(self.structure, Mapping) else "lists, tuples or dicts"
        return f"{kind} of arrays for inputs {', '.join(inputs)}, or (x, y) with such an x"

    def arrays_of(self, batch: object) -> list[Tensor]:
        """Return the array of each input out of a batch: x, (x,), (x, y) or (x, y, weights)."""
        found = self._arrays_of_x(batch)
        if found is None and isinstance(batch, list | tuple) and 1 <= len(batch) <= 3:
            found = self._arrays_of_x(keras.utils.unpack_x_y_sample_weight(batch)[0])
        if found is None:
            raise QuantizationError(
                f"calibration: a batch is {_describe(batch)}; expected: {self.wanted}"
            )
        return found

    def _arrays_of_x(self, x: Structure) -> list[Tensor] | None:
        flat = self._flat(x)
        return flat if flat is not None and all(map(_is_array, flat)) else None

    def _flat(self, x: Structure) -> list[Tensor] | None:
        single = len(self.names) == 1
        if single and _is_array(x):
            return [x]
        if self._is_nested_alike(x):
            return list(keras.tree.flatten(x))
        if isinstance(x, Mapping):
            self._check_keys(x)
            return [x[name] for name in self.names]
        # Keras sorts the keys of a dict, so a list would have another order than people expect.
        ordered = single or not isinstance(self.structure, Mapping)
        is_row = isinstance(x, list | tuple) and len(x) == len(self.names)
        return list(x) if is_row and ordered else None

    def _is_nested_alike(self, x: object) -> bool:
        try:
            keras.tree.assert_same_structure(self.structure, keras.tree.lists_to_tuples(x))
        except (ValueError, TypeError):
            return False
        return True

    def _check_keys(self, x: Mapping[object, Tensor]) -> None:
        unknown = [key for key in x if key not in self.names]
        missing = [name for name in self.names if name not in x]
        if unknown or missing:
            what = f"unknown key {unknown[0]!r}" if unknown else f"no key {missing[0]!r}"
            raise QuantizationError(
                f"calibration: a dict has {what}; the model's inputs are {list(self.names)}"
            )


def _called(calibration: object, form: _Form) -> Batches:
    """Return what a function without arguments gives; anything else as it is."""
    calibration = getattr(calibration, "input_gen", calibration)  # tf.lite.RepresentativeDataset
    if callable(calibration) and not isinstance(calibration, Iterable):
        if not _takes_nothing(calibration):
            raise QuantizationError(
                f"calibration is {_describe(calibration)} that takes arguments; give a function "
                f"without any that yields batches; expected: {form.wanted}"
            )
        return _called(calibration(), form)
    no_batches = isinstance(calibration, str | bytes | Path) or not (
        _is_array(calibration) or isinstance(calibration, Iterable | keras.utils.PyDataset)
    )
    if no_batches:
        raise QuantizationError(
            f"calibration is {_describe(calibration)}; expected: {form.wanted}; one batch, an "
            "iterable of batches, or a function that yields them"
        )
    if _is_endless(calibration):
        raise QuantizationError(
            f"calibration is {_describe(calibration)} without end; take a few hundred pictures "
            "of it, for example dataset.take(20), or itertools.islice"
        )
    return calibration


def _takes_nothing(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def _is_endless(source: Batches) -> bool:
    if isinstance(source, keras.utils.PyDataset):
        try:
            return source.num_batches is None
        except NotImplementedError:
            return True
    cardinality = getattr(source, "cardinality", None)  # of a tf.data.Dataset
    return callable(cardinality) and int(cardinality()) == -1


def _pictures(form: _Form, source: Batches) -> Iterator[list[NDArray[np.number]]]:
    """Yield every picture of a calibration argument: one array without batch axis per input."""
    for batch in _batches(form, source):
        arrays = [
            _with_batch_axis(form, position, array)
            for position, array in enumerate(form.arrays_of(batch))
        ]
        if len({len(array) for array in arrays}) > 1:
            counts = ", ".join(
                f"{len(array)} of {name!r}" for name, array in zip(form.names, arrays, strict=True)
            )
            raise QuantizationError(
                f"calibration: a batch has {counts}; every input needs as many pictures"
            )
        yield from map(list, zip(*arrays, strict=True))


def _batches(form: _Form, source: Batches) -> Iterable[Structure]:
    if isinstance(source, keras.utils.PyDataset):
        return (source[position] for position in range(source.num_batches))
    several = len(form.names) > 1
    is_x = isinstance(source, list | tuple) and several and bool(source)
    if _is_array(source) or isinstance(source, Mapping) or (is_x and all(map(_is_array, source))):
        return [source]
    batches: Iterable[Structure] = source
    return batches


def _with_batch_axis(form: _Form, position: int, values: Tensor) -> NDArray[np.number]:
    """Return (pictures, …) of one input, as ``model.fit`` adds axes of length 1.

    A picture without batch axis becomes a batch of one.
    """
    name, shape = form.names[position], form.shapes[position]
    _check_numbers(name, values)
    array = np.asarray(keras.ops.convert_to_numpy(values) if _is_own(values) else values)
    if not array.size:
        raise QuantizationError(
            f"calibration: a batch for input {name!r} is empty, shape {array.shape}; "
            "leave it out, or look at what filters the pictures"
        )
    if _fits(array.shape[1:], shape):
        return array
    if _fits(array.shape, shape):
        return array[None]
    if shape[-1:] == (1,) and _fits(array.shape[1:], shape[:-1]):
        return array[..., None]
    raise QuantizationError(
        f"calibration: input {name!r} got an array of shape {array.shape}; expected: {form.wanted}"
    )


def _is_own(values: Tensor) -> bool:
    return bool(keras.ops.is_tensor(values))  # on a GPU, perhaps, where numpy cannot read it


def _fits(got: Sequence[int], wanted: Shape) -> bool:
    return len(got) == len(wanted) and all(
        want in (None, have) for have, want in zip(got, wanted, strict=True)
    )


def _check_numbers(name: str, values: Tensor) -> None:
    try:
        dtype = keras.backend.standardize_dtype(values.dtype)
    except ValueError:
        dtype = ""
    if not dtype.startswith(("float", "bfloat", "int", "uint", "bool")):
        raise QuantizationError(
            f"calibration: input {name!r} got values of type {values.dtype}; numbers are wanted, "
            "for pictures their pixels"
        )


def _is_array(value: object) -> TypeGuard[Tensor]:
    return all(hasattr(value, name) for name in ("__array__", "shape", "dtype"))


def _describe(value: object) -> str:
    """Return what a value is, in a few words."""
    if _is_array(value):
        return f"an array of shape {tuple(value.shape)}"
    kind = type(value).__name__
    if isinstance(value, list | tuple) and value:
        return f"a {kind} of {len(value)}, the first {_describe(value[0])}"
    if isinstance(value, Mapping):
        return f"a dict with keys {list(value)}"
    return "None" if value is None else f"a {kind}"


def check_input_range(model: keras.Model, given: InputRange) -> InputRange:
    """Return the real range of the inputs, a mapping by the names of the model's Inputs.

    Args:
        model: functional (or sequential) Keras model.
        given: (minimum, maximum) of all inputs, or name → range of some.

    Raises:
        QuantizationError: no range, or one without 0; no such input.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        return _checked_range("input_range", given)
    form = _Form.of(model)
    tensor_names = dict(zip(form.names, form.tensor_names, strict=True))
    unknown = [name for name in given if name not in tensor_names]
    if unknown:
        raise QuantizationError(
            f"input_range: unknown input {unknown[0]!r}; the model's inputs are {list(form.names)}"
        )
    return {
        tensor_names[name]: _checked_range(f"input_range[{name!r}]", ends)
        for name, ends in given.items()
    }


def _checked_range(field: str, ends: Iterable[float]) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        raise QuantizationError(
            f"{field} is {ends!r}; give (minimum, maximum), or None to calibrate it"
        ) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise QuantizationError(
            f"{field} {(low, high)} is not a range; give finite numbers, the smaller one first, "
            "or None to calibrate it"
        )
    if not low <= 0.0 <= high:
        raise QuantizationError(
            f"{field} {(low, high)} does not contain 0, which integers need for padding; "
            f"give {(min(low, 0.0), max(high, 0.0))}"
        )
    return low, high
