"""Time of the "ssd" decoder with suppression: 1917 anchors, 20 classes, one core.

    python benchmarks/postprocess.py

Three made-up pictures of raw uint8 outputs at min_score 0.01; candidates are pairs of anchor and
class that reach it. "usual": 12 objects, 1500 candidates. "crowded": 60 objects and 14000
candidates, more than any of 200 VOC pictures has with Google's Open Images SSD (median 4600).
"all alike": everything is a candidate and each class has one box, so that nothing ends the search
early.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from quantdet.boxes import encode_boxes
from quantdet.cli import table
from quantdet.runtime import (
    AnchorMap,
    Contract,
    DecoderSpec,
    InputSpec,
    TensorSpec,
    anchor_boxes,
    decode,
    dequantize,
)

CLASSES = 20
SIZE = (300, 300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    runs = parser.parse_args().runs
    contract = make_contract()
    pictures = {
        "usual": picture(contract, objects=12, pairs=1500),
        "crowded": picture(contract, objects=60, pairs=14000),
        "all alike": alike(contract),
    }
    rows = []
    for name, raw in pictures.items():
        real = {part: dequantize(raw[part], getattr(contract, part)) for part in raw}
        found = decode(raw, contract, SIZE)
        assert found.to_list() == decode(real, contract, SIZE).to_list()
        pairs = int((real["scores"] >= np.log(0.01 / 0.99)).sum())
        rows.append((name, str(pairs), str(len(found)), *time_of(raw, contract, runs)))
        rows.append((f"{name}, float", str(pairs), str(len(found)), *time_of(real, contract, runs)))
    header = ("picture", "candidates", "found", "median ms", "p90 ms")
    print(table(header, rows))


def time_of(outputs: dict[str, np.ndarray], contract: Contract, runs: int) -> tuple[str, str]:
    times = []
    for _ in range(runs + 20):
        start = time.perf_counter()
        decode(outputs, contract, SIZE)
        times.append(1000 * (time.perf_counter() - start))
    median, p90 = np.percentile(times[20:], [50, 90])
    return f"{median:.2f}", f"{p90:.2f}"


def make_contract() -> Contract:
    """Return a contract with the classic 1917 anchors (sides 19, 10, 5, 3, 2, 1)."""
    maps = []
    for rows, scale in zip((19, 10, 5, 3, 2, 1), np.linspace(0.2, 0.95, 6), strict=True):
        ratios = (1, 2, 0.5) if rows == 19 else (1, 2, 0.5, 3, 1 / 3, 1.1)
        shapes = tuple((scale / r**0.5, scale * r**0.5) for r in ratios)
        maps.append(AnchorMap(rows=rows, cols=rows, shapes_hw=shapes))
    quantized = {"dtype": "uint8", "scale": 0.08, "zero_point": 128}
    image = TensorSpec(name="image", shape=(1, *SIZE, 3), dtype="uint8")
    return Contract(
        task="ssd",
        input=InputSpec(tensor=image, size_hw=SIZE),
        boxes=TensorSpec(name="boxes", shape=(1, 1917, 4), **quantized),
        scores=TensorSpec(name="scores", shape=(1, 1917, CLASSES), **quantized),
        decoder=DecoderSpec(kind="ssd", anchors=tuple(maps), max_detections=100),
        labels=tuple(f"class{i}" for i in range(CLASSES)),
        background_index=None,
    )


def picture(contract: Contract, objects: int, pairs: int) -> dict[str, np.ndarray]:
    """Return raw outputs: anchors near an object point at it, its class scores by nearness."""
    rng = np.random.default_rng(0)
    anchors = anchor_boxes(contract.decoder.anchors)
    size = rng.uniform(0.05, 0.4, (objects, 2))
    corner = rng.uniform(0, 1, (objects, 2)) * (1 - size)
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    centres = (boxes[:, [1, 0]] + boxes[:, [3, 2]]) / 2
    distance = np.linalg.norm(anchors[:, None, :2] - centres, axis=2)
    nearest = distance.argmin(axis=1)
    encoded = encode_boxes(boxes[nearest], anchors, contract.decoder.box_coder)
    encoded += rng.normal(0, 0.7, encoded.shape)
    logits = rng.normal(0, 1, (1917, CLASSES))
    logits[np.arange(1917), nearest % CLASSES] += 5 - 10 * distance.min(axis=1)
    # Lift or lower everything until so many reach min_score.
    lift = np.log(0.01 / 0.99) - np.sort(logits, axis=None)[-pairs]
    return {"boxes": raw(encoded), "scores": raw(logits + lift + 0.04)}


def alike(contract: Contract) -> dict[str, np.ndarray]:
    """Return raw outputs where every anchor means the whole picture and every class is likely."""
    anchors = anchor_boxes(contract.decoder.anchors)
    whole = np.tile(np.float32([0, 0, 1, 1]), (1917, 1))
    scores = np.random.default_rng(0).uniform(-3, 3, (1917, CLASSES))
    return {
        "boxes": raw(encode_boxes(whole, anchors, contract.decoder.box_coder)),
        "scores": raw(scores),
    }


def raw(real: np.ndarray) -> np.ndarray:
    return np.clip(np.round(real / 0.08) + 128, 0, 255).astype(np.uint8)[None]


if __name__ == "__main__":
    main()
