"""What a net costs on a device, measured without training it."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from quantdet import __version__
from quantdet.config import load_config
from quantdet.errors import DependencyError, ExportError, QuantizationWarning
from quantdet.evaluate.latency import benchmark
from quantdet.export.micro import resolver_methods
from quantdet.plan.nets import Net
from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.litert.micro import micro_runtime, smallest_arena
from quantdet.quant.patches.choose import candidates, file_macs, in_patches, smallest
from quantdet.runtime.pixels import PIXEL_RANGE, to_real
from quantdet.stages.backend import import_keras_quietly
from quantdet.system.atomic import write_bytes
from quantdet.system.processor import processor_name
from quantdet.system.user_cache import user_cache_dir

if TYPE_CHECKING:
    import keras

_GRIDS = ((2, 2), (3, 3), (4, 3), (4, 4), (5, 5))
_PICTURES = 2


@dataclass(frozen=True)
class Cost:
    """What a net costs.

    Attributes:
        bytes: size of its uint8 file.
        arena: bytes of TFLite-Micro's smallest arena.
        patches: rows and columns of the patches that make it smallest; None where none help.
        patched_arena: bytes of the arena then; otherwise the same as ``arena``.
        macs: multiplications for one picture, not in patches.
        latency_ms: median on this machine, XNNPACK with one thread, not in patches.
        operators: methods of TFLite-Micro's resolver that add what it needs.
    """

    bytes: int
    arena: int
    patches: tuple[int, int] | None
    patched_arena: int
    macs: int
    latency_ms: float
    operators: tuple[str, ...]


class CostTable:
    """Costs of nets, measured once on a machine.

    Args:
        num_classes: classes without background.
        folder: where the figures are kept; None takes a folder of the user's cache.

    Raises:
        DependencyError: ``tflite-micro`` is not installed.
    """

    def __init__(self, num_classes: int, folder: Path | None = None) -> None:
        micro_runtime()
        self._num_classes = num_classes
        self._folder = folder or user_cache_dir() / "plan"
        # Everything that a figure depends on.
        self._setting = [
            *(__version__, metadata.version("tflite-micro"), metadata.version("ai-edge-litert")),
            *(processor_name(), num_classes),
        ]

    def cost(self, net: Net) -> Cost:
        """Return what a net costs; measured now if it is not known.

        Raises:
            DependencyError: a package that builds or exports is not installed.
        """
        key = json.dumps([*self._setting, net.name, net.width, net.input_size])
        file = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
        if not file.is_file():
            write_bytes(file, _COST.dump_json(measure(net, self._num_classes)))
        return _COST.validate_json(file.read_bytes())


_COST = TypeAdapter(Cost)


def measure(net: Net, num_classes: int) -> Cost:
    """Build a net with random weights, export it, and measure the file.

    Raises:
        DependencyError: a package that builds, exports or measures is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="quantdet-") as folder:
        file = Path(folder) / "model.tflite"
        export_untrained(net, num_classes, file)
        xnnpack, _ = benchmark(file, threads=(1,), warmup=2, runs=20)
        content = file.read_bytes()
    arena = smallest_arena(content)
    patches, patched_arena = _in_patches(content, arena)
    return Cost(
        bytes=len(content),
        arena=arena,
        patches=patches,
        patched_arena=patched_arena,
        macs=file_macs(EditableFile(content)),
        latency_ms=xnnpack.median_ms,
        operators=resolver_methods(content),
    )


def export_untrained(net: Net, num_classes: int, file: Path) -> None:
    """Write the uint8 file of a net as its run does, but for the numbers in it.

    Raises:
        DependencyError: a package that builds or exports is not installed.
    """
    import_keras_quietly()
    try:
        from quantdet.export.contract import write_contract
        from quantdet.export.integer import export_integer
        from quantdet.models import build_model
        from quantdet.quant.prepare import prepare_qat
    except ImportError as error:
        raise DependencyError(f'plan needs {error.name}: pip install "quantdet[train]"') from None
    config = load_config(preset=net.preset, overrides=net.overrides)
    labels = tuple(f"class {number}" for number in range(1, num_classes + 1))
    with warnings.catch_warnings():
        # How well random weights are quantized says nothing.
        warnings.simplefilter("ignore", QuantizationWarning)
        prepared = prepare_qat(
            _uneven(build_model(config.model, num_classes)),
            _noise(net.input_size),
            recipe=config.qat.recipe,
            observer="minmax",
            input_range=PIXEL_RANGE,
            trial_export=False,
        )
    export_integer(prepared, file)
    write_contract(file, config, labels, "")


def _uneven(model: keras.Model) -> keras.Model:
    """Change every number a little: equal biases (all 0) would be one constant in the file."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(np.array(variable) + rng.uniform(0, 0.1, variable.shape))
    return model


def _noise(size: int) -> NDArray[np.float32]:
    return to_real(np.random.default_rng(0).integers(0, 256, (_PICTURES, size, size, 3)))


def _in_patches(content: bytes, arena: int) -> tuple[tuple[int, int] | None, int]:
    """Return the patches with the smallest arena, and that; None where it is not smaller."""
    try:
        best = smallest(candidates(content, _GRIDS))
    except ExportError:
        return None, arena
    patched = smallest_arena(in_patches(content, best))
    return (best.grid, patched) if patched < arena else (None, arena)
