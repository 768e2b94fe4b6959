// Outputs become boxes: the decoders of docs/contract.md, in float32 as runtime/decode*.py.
// "post_processed" is not here, because LiteRT.js fails on such files.

import { classWiseNms } from "./nms.js";
import { dequantizer } from "./tensors.js";

const f32 = Math.fround;
const MAX_CANDIDATES = 2000;
const LOGIT_SLACK = 1e-3;
const HIGHEST = 1 - 1e-7;
const FLOAT_SLACK = 1e-3;
const STEP_LIMITS = [1e4, 1e4, 20, 20];
const INTEGER_RANGES = { uint8: [0, 255], int8: [-128, 127], int16: [-32768, 32767] };

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** A box in pixels, cut to the picture, from fractions x1, y1, x2, y2. */
function toPixels(box, [height, width]) {
  const sides = [width, height, width, height];
  return box.map((value, i) => clamp(f32(f32(value) * sides[i]), 0, sides[i]));
}

const hasArea = ([x1, y1, x2, y2]) => x2 > x1 && y2 > y1;

function columnsOf(contract) {
  return contract.labels.length + (contract.background_index === null ? 0 : 1);
}

/** Number of the label of a score column; -1 for background. */
function classOf(column, background) {
  if (background === null || column < background) return column;
  return column === background ? -1 : column - 1;
}

function bestColumn(scores, first, columns, background) {
  let best = null;
  for (let column = 0; column < columns; column++) {
    const classId = classOf(column, background);
    const score = scores(first + column);
    if (classId >= 0 && (best === null || score > best.score)) best = { classId, score };
  }
  return best;
}

/** Scores as a function of their place; more than a step above 1, another output was taken. */
function probabilities(values, spec) {
  const real = dequantizer(values, spec);
  const highest = 1 + Math.max(spec.scale, FLOAT_SLACK);
  for (let i = 0; i < values.length; i++) {
    if (real(i) > highest) throw new Error(`output "${spec.name}" answers ${real(i)}, no score`);
  }
  return (i) => Math.min(real(i), 1);
}

function decodeSingleBox(outputs, contract, sizeHw) {
  const real = dequantizer(outputs.boxes, contract.boxes);
  const [y1, x1, y2, x2] = [0, 1, 2, 3].map(real);
  const box = [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
  const scores = probabilities(outputs.scores, contract.scores);
  const best = bestColumn(scores, 0, columnsOf(contract), contract.background_index);
  return [{ ...best, box: toPixels(box, sizeHw) }];
}

function decodeGrid(outputs, contract, sizeHw) {
  const cells = outputs.boxes.length / 4;
  const side = Math.round(Math.sqrt(cells));
  const columns = columnsOf(contract);
  const logits = dequantizer(outputs.scores, contract.scores);
  let best = null;
  for (let cell = 0; cell < cells; cell++) {
    const found = bestColumn(logits, cell * columns, columns, contract.background_index);
    if (best === null || found.score > best.score) best = { ...found, cell };
  }
  const real = dequantizer(outputs.boxes, contract.boxes);
  const [left, top, right, bottom] = [0, 1, 2, 3].map((i) => real(4 * best.cell + i));
  const x = ((best.cell % side) + 0.5) / side;
  const y = (Math.floor(best.cell / side) + 0.5) / side;
  const box = [x - left, y - top, x + right, y + bottom];
  const score = f32(0.5 * (1 + Math.tanh(0.5 * best.score)));
  return [{ classId: best.classId, score, box: toPixels(box, sizeHw) }];
}

/** Centre y, centre x, height, width of every anchor, in the order of the outputs. */
export function makeAnchors(maps) {
  const anchors = [];
  for (const { rows, cols, shapes_hw: shapes } of maps) {
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col < cols; col++) {
        for (const [height, width] of shapes) {
          anchors.push([(row + 0.5) / rows, (col + 0.5) / cols, height, width].map(f32));
        }
      }
    }
  }
  return anchors;
}

const keptAnchors = new WeakMap();

function anchorsOf(decoder) {
  if (!keptAnchors.has(decoder)) keptAnchors.set(decoder, makeAnchors(decoder.anchors));
  return keptAnchors.get(decoder);
}

/** Lowest value of the scores, as they are in the file, whose sigmoid may reach min_score. */
function lowestRaw(minScore, spec) {
  const p = Math.min(minScore, HIGHEST);
  const logit = p <= 0 ? -Infinity : Math.log(p / (1 - p)) - LOGIT_SLACK;
  if (spec.dtype === "float32") return f32(logit);
  return clamp(Math.ceil(logit / spec.scale + spec.zero_point), ...INTEGER_RANGES[spec.dtype]);
}

/** Indices of the scores that go on, best first; equal ones in index order. */
function candidates(scores, contract) {
  const limit = lowestRaw(contract.decoder.min_score, contract.scores);
  const columns = columnsOf(contract);
  const found = [];
  for (let i = 0; i < scores.length; i++) {
    if (scores[i] >= limit && i % columns !== contract.background_index) found.push(i);
  }
  return found.sort((a, b) => scores[b] - scores[a] || a - b).slice(0, MAX_CANDIDATES);
}

/** Box as fractions of the picture, cut to it; NaN where the offsets are. */
function decodeBox(offsets, anchor, coder) {
  const [ty, tx, th, tw] = offsets.map((value, i) => {
    const factor = f32(coder[i]);
    const limit = f32(STEP_LIMITS[i] * factor);
    return f32(clamp(value, -limit, limit) / factor);
  });
  const y = f32(f32(ty * anchor[2]) + anchor[0]);
  const x = f32(f32(tx * anchor[3]) + anchor[1]);
  const halfHeight = f32(f32(f32(Math.exp(th)) * anchor[2]) / 2);
  const halfWidth = f32(f32(f32(Math.exp(tw)) * anchor[3]) / 2);
  const box = [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight];
  return box.map((value) => clamp(f32(value), 0, 1));
}

function sigmoid(logit) {
  return f32(1 / f32(1 + f32(Math.exp(-clamp(logit, -80, 80)))));
}

function decodeSsd(outputs, contract, sizeHw) {
  const { decoder } = contract;
  const anchors = anchorsOf(decoder);
  const columns = columnsOf(contract);
  const offsets = dequantizer(outputs.boxes, contract.boxes);
  const logits = dequantizer(outputs.scores, contract.scores);
  const found = candidates(outputs.scores, contract).map((index) => {
    const row = Math.floor(index / columns);
    const encoded = [0, 1, 2, 3].map((i) => offsets(4 * row + i));
    return {
      classId: classOf(index % columns, contract.background_index),
      score: sigmoid(logits(index)),
      box: decodeBox(encoded, anchors[row], decoder.box_coder),
    };
  });
  const lowest = f32(decoder.min_score);
  const valid = found.filter(({ score, box }) => score >= lowest && hasArea(box));
  const kept = classWiseNms(valid, decoder.nms_iou, decoder.max_detections);
  return kept.map((item) => ({ ...item, box: toPixels(item.box, sizeHw) }));
}

const DECODERS = {
  single_box: decodeSingleBox,
  grid: decodeGrid,
  ssd: decodeSsd,
};

/**
 * @param outputs part of the contract → typed array, raw integers or float32.
 * @param contract as in NAME.contract.json, complete.
 * @param {[number, number]} sizeHw of the original picture.
 * @returns {{classId: number, score: number, box: number[]}[]} best first, boxes x1, y1, x2, y2 in
 *   pixels, not yet cut by a threshold.
 */
export function decode(outputs, contract, sizeHw) {
  return DECODERS[contract.decoder.kind](outputs, contract, sizeHw);
}
