"""Train narrow detectors from the shipped one, and measure them on PASCAL VOC.

    python benchmarks/small_nets.py --data VOCdevkit/VOC2007 --out runs/small --points 0.35x192
    python benchmarks/small_nets.py --out runs/small --plot docs/images/small-nets.png

Every point (width x pixels) has the settings of preset mcu, the same number of epochs, and the
shipped detector as its teacher; trained on trainval, measured on test. One folder a training; what
is finished is not run again, what was cut short resumes. Prints Markdown of all that are finished,
with what `quantdet plan` says of their cost, which does not depend on the training.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from quantdet import Run, load_config, run_evaluate, run_export, run_qat, run_train
from quantdet.cli import bar
from quantdet.evaluate import host
from quantdet.results import FIGURES, DetectionMetrics, TrainSummary

VOC07 = FIGURES["detector"].headline[0]
KIND = "ssdlite"
CLASSES = 20
OVERRIDES = (
    "data.train_split=trainval",
    "data.val_split=none",
    "train.finetune_epochs=12",
    "train.distill=0.5",
    'train.keep="last"',
    "qat.epochs=1",
    "predict.score_threshold=0.4",
)


@dataclass(frozen=True)
class Point:
    """A trained net.

    Attributes:
        width: of its channels.
        input_size: side of the picture in pixels.
        steps: of float training.
        seconds: of float training.
        float_map: VOC07 mAP of the float model, 0 to 1; ``uint8_map`` of the file.
        interval: 95 % bootstrap interval of ``uint8_map``, as text in percent.
        bytes: of the uint8 file.
    """

    width: float
    input_size: int
    steps: int
    seconds: float
    float_map: float
    uint8_map: float
    interval: str
    bytes: int


Cost = dict[str, Any]
"""What `quantdet plan --json` says of a net."""
AXES: dict[str, Callable[[Cost], float]] = {
    "smallest arena, in patches, KiB": lambda cost: float(cost["patched_arena"]) / 1024,
    "ms for a picture (XNNPACK, one thread)": lambda cost: float(cost["latency_ms"]),
}
"""What accuracy is drawn against."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--points", nargs="+", default=[], metavar="WIDTHxPIXELS")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--ram", default="8M", help="the plan looks at no net that needs more")
    parser.add_argument("--flash", default="8M", help="the same for the file")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    for name in arguments.points:
        if not (arguments.out / name / "result.json").exists():
            train(arguments.out / name, name, arguments)
    files = sorted(arguments.out.glob("*/result.json"))
    points = [Point(**json.loads(file.read_text())) for file in files]
    costs = planned(arguments.ram, arguments.flash)
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}\n")
    print(table(points, costs))
    if arguments.plot:
        plot(points, costs, arguments.plot)


def train(folder: Path, name: str, arguments: argparse.Namespace) -> None:
    """Train, quantize and measure a point; every stage resumes."""
    width, size = name.split("x")
    overrides = [*OVERRIDES, f"model.width={width}", f"model.input_size={size}"]
    values: dict[str, Any] = {"data": {"root": arguments.data}}
    config = load_config(preset="mcu", overrides=[*overrides, *arguments.overrides], values=values)
    with bar() as progress:
        run = run_train(config, folder / "run", progress)
        run_qat(run, progress)
        run_export(run, ("uint8",), progress)
        metrics = run_evaluate(run, progress=progress)
    point = measured(run, metrics, float(width), int(size))
    (folder / "result.json").write_text(json.dumps(asdict(point)))


def measured(run: Run, metrics: DetectionMetrics, width: float, size: int) -> Point:
    """Return the figures of a finished run."""
    floats, file = metrics.variant("float_keras"), metrics.variant("uint8_tflite")
    summary = TrainSummary.read(run.float_dir / "summary.json")
    assert floats is not None
    assert file is not None
    assert summary is not None
    phase = summary.phases["finetune"]
    batch = run.load_config().train.batch_size
    return Point(
        width=width,
        input_size=size,
        steps=phase.epochs * math.ceil(summary.identity.pictures[0] / batch),
        seconds=phase.seconds,
        float_map=VOC07.value(floats) or 0.0,
        uint8_map=VOC07.value(file) or 0.0,
        interval=VOC07.between(file),
        bytes=run.model_file.stat().st_size,
    )


def planned(ram: str, flash: str) -> dict[tuple[float, int], Cost]:
    """Return (width, pixels) → cost of the nets that a plan looks at."""
    limits = ["--ram", ram, "--flash", flash, "--kind", KIND, "--classes", str(CLASSES)]
    command = [sys.executable, "-m", "quantdet", "plan", *limits, "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    nets = [*found["fits"], *found["nearest"]]
    return {(item["net"]["width"], item["net"]["input_size"]): item["cost"] for item in nets}


def table(points: list[Point], costs: dict[tuple[float, int], Cost]) -> str:
    lines = [
        "| width | pixels | VOC07 mAP float | uint8 | 95 % interval | file, KB | arena, KiB "
        "| in patches, KiB | million MACs | ms | steps | minutes |",
        f"|{'---|' * 12}",
    ]
    for point in sorted(points, key=lambda item: (item.width, item.input_size)):
        cost = costs[point.width, point.input_size]
        patches = "x".join(map(str, cost["patches"] or ()))
        lines.append(
            f"| {point.width:g} | {point.input_size} | {100 * point.float_map:.1f} "
            f"| {100 * point.uint8_map:.1f} | {point.interval} | {point.bytes / 1000:.0f} "
            f"| {cost['arena'] / 1024:.0f} | {cost['patched_arena'] / 1024:.0f} ({patches}) "
            f"| {cost['macs'] / 1e6:.1f} | {cost['latency_ms']:.1f} | {point.steps} "
            f"| {point.seconds / 60:.0f} |"
        )
    return "\n".join(lines)


def plot(points: list[Point], costs: dict[tuple[float, int], Cost], file: Path) -> None:
    """Draw accuracy against arena and against latency."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, (label, value) in zip(axes, AXES.items(), strict=True):
        for point in points:
            at = (value(costs[point.width, point.input_size]), 100 * point.uint8_map)
            axis.plot(*at, "o", color="tab:blue")
            name = f"{point.width:g} × {point.input_size}"
            axis.annotate(name, at, xytext=(5, 4), textcoords="offset points", fontsize=8)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("VOC07 mAP of the uint8 file")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
