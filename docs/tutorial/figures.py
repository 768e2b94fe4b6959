"""Draw the figures of the tutorial.

    python docs/tutorial/figures.py [NAME …]

Drawn from formulas, from measured.json (measure.py writes it) and from tables of this
repository, so that no figure says anything that stands nowhere else.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from quantdet import Detector, contact_sheet, draw_detections, generate_scenes, load_dataset
from quantdet.data import ObjectAnnotation, render_scene

HERE = Path(__file__).parent
IMAGES = HERE / "images"
ROOT = HERE.parents[1]
BLUE, ORANGE, GREEN, GREY, RED = "#1f6fb2", "#d9730d", "#2e8b57", "#8a8f98", "#c0392b"

mpl.rcParams.update(
    {
        "svg.hashsalt": "quantdet",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10.5,
        "legend.frameon": False,
    }
)


def measurements() -> dict[str, Any]:
    """Return what measure.py found."""
    found: dict[str, Any] = json.loads((HERE / "measured.json").read_text("utf-8"))
    return found


def panels(columns: int = 1, height: float = 3.0, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure as wide as a page, and its axes."""
    figure = Figure(figsize=(8.0, height), layout="constrained", facecolor="white")
    return figure, list(np.ravel(figure.subplots(rows, columns)))


def road() -> Figure:
    """The steps, and what the numbers are in each."""
    figure, (axes,) = panels(height=1.7)
    steps = (
        ("pictures\nwith boxes", "uint8 pixels", GREY),
        ("float model", "float32", BLUE),
        ("QAT model", "float32, but only\n256 values a tensor", ORANGE),
        (".tflite", "uint8 and int8", GREEN),
        ("boxes on\na picture", "pixels again", GREY),
    )
    for place, (name, numbers, colour) in enumerate(steps):
        style = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": colour, "lw": 2}
        axes.text(place, 0.62, name, ha="center", va="center", bbox=style)
        axes.text(place, 0.15, numbers, ha="center", va="center", color=colour, fontsize=9)
    for place, name in enumerate(("train", "qat", "export", "predict")):
        arrow = {"arrowstyle": "->", "color": "black"}
        axes.annotate("", (place + 0.68, 0.62), (place + 0.36, 0.62), arrowprops=arrow)
        axes.text(place + 0.52, 0.72, name, ha="center", fontsize=9, family="monospace")
    axes.set(xlim=(-0.5, 4.5), ylim=(-0.1, 1.0))
    axes.axis("off")
    return figure


def voc_box() -> Figure:
    """A box of VOC, 1-based and inclusive, and the same as corners between pixels."""
    figure, (left, right) = panels(2, height=2.9)
    for axes in (left, right):
        axes.imshow(np.ones((5, 7)), cmap="gray", vmin=0, vmax=1, extent=(0, 7, 5, 0))
        axes.set_aspect("equal")
        axes.grid(color=GREY, lw=0.5)
        axes.add_patch(mpl.patches.Rectangle((2, 1), 4, 3, facecolor=BLUE, alpha=0.3))
    left.set(xticks=np.arange(7) + 0.5, yticks=np.arange(5) + 0.5)
    left.set(xticklabels=range(1, 8), yticklabels=range(1, 6))
    left.set_title("VOC names pixels, from 1:\nxmin 3, ymin 2, xmax 6, ymax 4")
    left.vlines(range(8), 0, 5, GREY, lw=0.5)
    left.hlines(range(6), 0, 7, GREY, lw=0.5)
    left.grid(visible=False)
    right.set(xticks=range(8), yticks=range(6))
    right.plot([2, 6], [1, 4], "o", color=RED)
    right.set_title("quantdet names edges, from 0:\nx1 2, y1 1, x2 6, y2 4; width = x2 − x1 = 4")
    return figure


def number_line() -> Figure:
    """Scale and zero point: a picture's grid, and that of another tensor."""
    figure, axes = panels(1, height=3.6, rows=2)
    grids = (
        ("a picture: scale 1/127.5, zero point 128", 1 / 127.5, 128, 0.5),
        ("an activation from −1 to 3: scale 4/255, zero point 64", 4 / 255, 64, -0.5),
    )
    for line, (title, scale, zero, value) in zip(axes, grids, strict=True):
        integers = np.unique([0, 64, zero, 192, 255])
        reals = (integers - zero) * scale
        every = (np.arange(256) - zero) * scale
        # As one path: 256 lines of their own would be a large file.
        ticks = np.stack([every, every, np.full(256, np.nan)], axis=1).ravel()
        line.plot(ticks, np.tile([-0.12, 0.12, np.nan], 256), color=BLUE, lw=0.4)
        line.vlines(reals, -0.3, 0.3, BLUE, lw=1.6)
        for q, real in zip(integers, reals, strict=True):
            line.text(real, 0.42, f"{q}", ha="center", color=BLUE)
            line.text(real, -0.72, f"{real:.3f}".replace("-", "−"), ha="center")
        q = round(value / scale) + zero
        line.plot(value, 0, "o", color=RED)
        line.text(value, 0.9, f"{value} → {q}".replace("-", "−"), ha="center", color=RED)
        line.text(every[0] - 0.05 * np.ptp(every), 0.42, "q", ha="right", color=BLUE)
        line.text(every[0] - 0.05 * np.ptp(every), -0.72, "real", ha="right")
        line.set(ylim=(-0.9, 1.25), title=title)
        line.axis("off")
    return figure


def folding() -> Figure:
    """Convolution, BatchNorm and both in one, for one weight."""
    figure, (left, right) = panels(2)
    x = np.linspace(-2, 2, 9)
    w, b, mean, sigma, gamma, beta = 0.8, 0.0, 0.5, 2.0, 3.0, -0.2
    conv = w * x + b
    left.plot(x, conv, color=BLUE, label="convolution: 0.8 x")
    left.plot(x, gamma * (conv - mean) / sigma + beta, color=ORANGE, label="then BatchNorm")
    left.set(title="before: two operators", xlabel="x", ylim=(-4, 3))
    s = gamma / sigma
    folded = f"one convolution: {s * w:.2f} x − {-((b - mean) * s + beta):.2f}"
    right.plot(x, gamma * (conv - mean) / sigma + beta, color=ORANGE, lw=5, alpha=0.4)
    right.plot(x, s * w * x + (b - mean) * s + beta, "--", color=GREEN, label=folded)
    right.set(title="after: the same line", xlabel="x", ylim=(-4, 3))
    left.legend()
    right.legend()
    return figure


def epochs() -> Figure:
    """Losses of docs/log.md, 2026-11-24: training further made the net worse."""
    text = " ".join((ROOT / "docs" / "log.md").read_text("utf-8").split())
    found = re.search(r"training loss ([\d., ]+); validation ([\d., ]+); calibrated ([\d.]+)", text)
    assert found
    training, validation = ([float(value) for value in found[part].split(",")] for part in (1, 2))
    start = float(found[3])
    figure, (axes,) = panels(height=2.8)
    axes.plot(range(1, 6), training, "o-", color=GREY, label="training loss")
    axes.plot(range(6), [start, *validation], "o-", color=BLUE, label="validation loss")
    axes.plot(0, start, "o", color=GREEN, ms=12, mfc="none", mew=2)
    axes.annotate("kept", (0, start), (0.15, start + 0.25), color=GREEN)
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, 2.1), xticks=range(6))
    axes.legend(loc="center right")
    return figure


def rounding() -> Figure:
    """One channel of a real layer on grids of 3 bits: the whole range, and a part of it."""
    weights = np.array(measurements()["depthwise"]["weights"])
    figure, axes = panels(2, height=3.0)
    for panel, share in zip(axes, (1.0, 0.6), strict=True):
        scale = share * np.abs(weights).max() / 3
        back = np.clip(np.round(weights / scale), -3, 3) * scale
        place = np.arange(1, len(weights) + 1)
        panel.hlines(np.arange(-3, 4) * scale, 0.5, 9.5, GREY, lw=0.8)
        panel.vlines(place, weights, back, RED, lw=2)
        panel.plot(place, weights, "o", color=BLUE, label="weight")
        panel.plot(place, back, "_", color=ORANGE, ms=14, mew=2.5, label="its grid value")
        panel.set(xticks=place, xlabel="the nine weights of one channel")
        panel.set_ylim(np.array([-1.12, 1.12]) * np.abs(weights).max())
    axes[0].set(title="the largest weight sets the scale", ylabel="real value")
    axes[1].set(title="a smaller scale: finer, but the largest is clipped")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def straight_through() -> Figure:
    """Fake quantization, its true gradient and the one that training uses."""
    figure, (left, right) = panels(2)
    x = np.linspace(-1.6, 1.6, 1601)
    step, low, high = 0.25, -1.0, 1.0
    quantized = np.clip(np.floor(x / step + 0.5) * step, low, high)
    left.plot(x, x, color=GREY, lw=1, label="x")
    left.plot(x, quantized, color=BLUE, label="fake-quantized x")
    left.set(title="forward: round and clip", xlabel="x")
    left.legend()
    right.axhline(0, color=GREY, lw=2, label="true gradient: 0 (no learning)")
    inside = ((x >= low) & (x <= high)).astype(float)
    right.plot(x, inside, color=ORANGE, lw=2, label="straight-through: 1 inside, 0 outside")
    right.set(title="backward: pretend there was no rounding", xlabel="x", ylim=(-0.1, 1.6))
    right.legend(loc="upper center")
    return figure


def depthwise() -> Figure:
    """Channels of a real depthwise kernel beside the step of one scale for all."""
    facts = measurements()["depthwise"]
    largest = np.sort(facts["largest"])[::-1]
    half = largest[0] / 127 / 2
    figure, (axes,) = panels(height=3.0)
    colours = np.where(largest < half, RED, BLUE)
    axes.bar(range(len(largest)), largest, color=colours, width=0.9)
    axes.axhline(half, color=ORANGE)
    arrow = {"arrowstyle": "->", "color": ORANGE}
    text = "half a step of one scale for all"
    axes.annotate(text, (95, half), (60, 4), color=ORANGE, arrowprops=arrow)
    axes.set(yscale="log", ylabel="largest |weight| (log)", xlabel="channel, sorted by size")
    gone = f"{facts['zeroed']} of {len(largest)} channels"
    axes.set_title(f"{facts['layer']}: with one scale for all, {gone} become 0")
    return figure


def stuck_ranges() -> Figure:
    """A moving average of 0.999 that starts at 6 and should reach 1."""
    figure, (axes,) = panels(height=2.8)
    steps = np.arange(1500)
    axes.plot(steps, 1 + 5 * 0.999**steps, color=RED, label="r ← 0.999 r + 0.001 · 1, from 6")
    axes.axhline(1, color=GREEN, label="calibrated before training")
    for step in (65, 600):
        width = 1 + 5 * 0.999**step
        axes.plot(step, width, "o", color=RED)
        text = f"step {step}: {width:.1f}, {255 / width:.0f} of 255 steps used"
        axes.annotate(text, (step, width), (step + 40, width + 0.15))
    axes.set(xlabel="training step", ylabel="end of the range", ylim=(0, 6.8))
    axes.set_title("values between −1 and 1, a range that starts at −6 to 6")
    axes.legend(loc="upper right")
    return figure


def observers() -> Figure:
    """A real histogram with the range that every observer proposes."""
    facts = measurements()["histogram"]
    figure, (top, bottom) = panels(height=4.2, rows=2)
    edges = np.linspace(facts["low"], facts["high"], len(facts["counts"]) + 1)
    top.stairs(facts["counts"], edges, fill=True, color=BLUE)
    top.set(yscale="log", ylabel="values (log)", title=f"values of {facts['layer']} in 8 pictures")
    for row, found in enumerate(facts["ranges"].values()):
        bottom.plot([found["low"], found["high"]], [row, row], color=ORANGE, lw=6)
        bottom.text(facts["high"] * 1.06, row, f"{found['db']:.1f} dB", va="center")
    top.minorticks_off()
    bottom.set(yticks=range(len(facts["ranges"])), yticklabels=facts["ranges"])
    bottom.set(xlabel="real value; bars: the range that each observer proposes")
    bottom.invert_yaxis()
    for axes in (top, bottom):
        axes.set_xlim(facts["low"] * 1.03, facts["high"] * 1.03)
    return figure


def layers() -> Figure:
    """Noise that every layer adds, and noise of all layers so far."""
    rows = measurements()["noise"]["layers"]
    figure, (axes,) = panels(height=3.4)
    own, so_far = ([row[column] for row in rows] for column in (1, 2))
    axes.plot(own, "o", ms=4, color=BLUE, label="this layer alone is quantized")
    axes.plot(so_far, color=ORANGE, label="all layers up to here are quantized")
    worst = int(np.argmin(own))
    arrow = {"arrowstyle": "->", "color": RED}
    axes.annotate(
        rows[worst][0], (worst, own[worst]), (worst, 12), color=RED, arrowprops=arrow, ha="right"
    )
    axes.set(xlabel="layers with weights, from the picture to the outputs", ylim=(10, None))
    axes.set_ylabel("signal to noise, dB\n(6 dB are one bit)")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _row(page: str, name: str, after: str = "# ", column: int = 2) -> tuple[float, float]:
    """Return the figure and its spread in a row of a table of this repository."""
    text = (ROOT / page).read_text("utf-8").split(after, 1)[1]
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    cell = line.split("|")[column].replace("*", "")
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", cell)]
    return numbers[0], numbers[1] if "±" in cell else 0.0


def accuracy() -> Figure:
    """Float, PTQ and QAT beside each other, from README.md and docs/quantizers.md."""
    detector = {
        "float": _row("README.md", "float .tflite"),
        "PTQ": _row("README.md", "converter's PTQ int8 .tflite"),
        "QAT": _row("README.md", "**quantdet uint8 .tflite**"),
    }
    names = {
        "float": "float",
        "float, same\nfurther steps": "float, trained for the QAT steps too",
        "PTQ": "quantdet PTQ",
        "QAT": "quantdet QAT",
        "old QAT\n(TFMOT)": "TFMOT 0.8.1 QAT (legacy Keras)",
    }
    page = "docs/quantizers.md"
    classifier = {name: _row(page, row, "## A classifier") for name, row in names.items()}
    figure, axes = panels(2, height=3.2)
    colours = {"float": GREY, "PTQ": BLUE, "QAT": GREEN}
    for panel, rows in zip(axes, (detector, classifier), strict=True):
        for place, (name, (value, spread)) in enumerate(rows.items()):
            colour = colours.get(name.split(",")[0], RED)
            panel.errorbar(place, value, spread or None, fmt="o", color=colour, capsize=4)
            panel.text(place + 0.12, value, f"{value:.1f}", va="center")
        panel.set(xticks=range(len(rows)), xlim=(-0.5, len(rows) - 0.2))
        panel.set_xticklabels(rows, fontsize=8.5)
    axes[0].set(title="the shipped detector", ylabel="VOC07 mAP, %", ylim=(76, 86))
    axes[1].set(title="a classifier, MobileNetV2 96 px", ylabel="top-1, %", ylim=(76, 86))
    return figure


def way() -> Image.Image:
    """The whole way in six steps: pictures, weights, integers, one file, its accuracy, boxes."""
    figure = Figure(figsize=(10.0, 5.6), dpi=120, layout="constrained", facecolor="white")
    axes = figure.subplots(2, 3).ravel()
    pixels, objects = render_scene(0, 223, (300, 400))
    _labelled(axes[0], pixels, objects)
    weights = np.array(measurements()["depthwise"]["weights"]).reshape(3, 3)
    scale = np.abs(weights).max() / 127
    _kernel(axes[1], weights, "{:.3f}")
    _kernel(axes[2], np.round(weights / scale), "{:.0f}")
    _rows(axes[3], 3, "{:.2f} MB")
    _rows(axes[4], 2, "{:.1f}")
    axes[5].imshow(draw_detections(pixels, Detector.pretrained(threshold=0.3).predict(pixels)))
    titles = (
        *("1  label pictures", "2  train float32 weights", "3  quantize them to int8"),
        *("4  export one .tflite file", "5  measure the file: mAP", "6  find, on the device"),
    )
    for panel, title in zip(axes, titles, strict=True):
        panel.set_title(title, fontsize=15, loc="left")
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    return _painted(figure)


def _labelled(axes: Axes, pixels: NDArray[np.uint8], objects: list[ObjectAnnotation]) -> None:
    axes.imshow(pixels)
    for found in objects:
        x1, y1, x2, y2 = found.box_xyxy
        frame = mpl.patches.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="w", lw=2.5)
        axes.add_patch(frame)
        axes.text(x1 + 6, y1 - 8, found.label, color="white", fontsize=14, fontweight="bold")


def _kernel(axes: Axes, values: NDArray[np.float64], text: str) -> None:
    """Draw a kernel of 3 x 3 real weights of the shipped detector as numbers."""
    axes.imshow(values, cmap="Blues", vmin=0, vmax=2 * values.max())
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, text.format(value), ha="center", va="center", fontsize=16)


def _rows(axes: Axes, column: int, text: str) -> None:
    """Draw a column of README's table as bars: float, PTQ and quantdet."""
    names = {"float": "float .tflite", "PTQ": "converter's PTQ int8 .tflite"}
    names |= {"quantdet": "**quantdet uint8 .tflite**"}
    values = [_row("README.md", row, column=column)[0] for row in names.values()]
    bars = axes.barh(list(names), values, color=(GREY, BLUE, GREEN), height=0.55)
    figures = [f" {name}  {text.format(value)}" for name, value in zip(names, values, strict=True)]
    axes.bar_label(bars, figures, label_type="edge", fontsize=14, padding=-1)
    axes.set_xlim(0, 2.1 * max(values))
    axes.invert_yaxis()


def _painted(figure: Figure) -> Image.Image:
    file = BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")


def data() -> Image.Image:
    """A contact sheet of generated pictures."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        dataset = load_dataset(generate_scenes(folder, count=8))
        sheet = Path(folder) / "sheet.png"
        contact_sheet(dataset.splits["train"], dataset.labels, sheet, count=4)
        return _small(Image.open(sheet).convert("RGB"))


def boxes() -> Image.Image:
    """What the shipped detector finds in a generated picture."""
    pixels, _ = render_scene(0, 22, (300, 400))
    detector = Detector.pretrained(threshold=0.3)
    return _small(Image.fromarray(draw_detections(pixels, detector.predict(pixels))))


def _small(picture: Image.Image) -> Image.Image:
    picture.thumbnail((800, 320))
    return picture


DRAWINGS: dict[str, Callable[[], Figure]] = {
    "road": road,
    "voc-box": voc_box,
    "number-line": number_line,
    "folding": folding,
    "epochs": epochs,
    "rounding": rounding,
    "straight-through": straight_through,
    "depthwise": depthwise,
    "stuck-ranges": stuck_ranges,
    "observers": observers,
    "layers": layers,
    "accuracy": accuracy,
}
PICTURES: dict[str, Callable[[], Image.Image]] = {"way": way, "data": data, "boxes": boxes}


def draw(name: str) -> tuple[str, bytes]:
    """Return file name and content of a figure; the same bytes at every call."""
    file = BytesIO()
    if name in DRAWINGS:
        DRAWINGS[name]().savefig(file, format="svg", metadata={"Date": None})
        return f"{name}.svg", file.getvalue()
    PICTURES[name]().save(file, "webp", quality=85, method=6)
    return f"{name}.webp", file.getvalue()


if __name__ == "__main__":
    for wanted in sys.argv[1:] or (*DRAWINGS, *PICTURES):
        target, content = draw(wanted)
        (IMAGES / target).write_bytes(content)
        print(IMAGES / target, len(content))
