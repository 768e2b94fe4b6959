// What the worker does: get the models ready, and look at one picture.

import { decode } from "./decode.js";
import { compile, loadRuntime } from "./engine.js";
import { openPicture, pixelsOf, shrinkForScreen, toJpeg } from "./picture.js";
import { resize } from "./resample.js";
import { makeQuantizer } from "./tensors.js";

const WARM_UP_SIZE = [640, 480];

let limits = null;
let models = [];

async function get(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response;
}

async function getReady(model, runtime) {
  const contract = await (await get(model.contract)).json();
  const ready = { contract, problem: model.browser_problem, quantize: null, run: null };
  try {
    if (ready.problem === null) {
      const { api, threads } = await runtime;
      const file = new Uint8Array(await (await get(model.file)).arrayBuffer());
      ready.run = await compile({ api, threads }, file, contract);
      ready.quantize = makeQuantizer(contract.input);
      // So that the first picture is not slower than the others.
      await detectHere(ready, new ImageData(...WARM_UP_SIZE), 0);
    }
  } catch (error) {
    ready.problem = `LiteRT.js: ${error.message ?? error}`;
  }
  return ready;
}

/**
 * @param config of the page; its URLs are absolute.
 * @returns {Promise<{threads: number, models: {contract, problem: string | null}[]}>} a problem is
 *   why the browser cannot run a model.
 */
export async function start({ config }) {
  limits = { maxBytes: config.max_bytes, maxPixels: config.max_pixels };
  const runtime = config.litertjs
    ? loadRuntime(config.litertjs)
    : Promise.reject(new Error("its files are not there"));
  runtime.catch(() => {}); // told by each model that needs it
  models = [];
  for (const model of config.models) models.push(await getReady(model, runtime));
  const { threads } = await runtime.catch(() => ({ threads: 0 }));
  return { threads, models: models.map(({ contract, problem }) => ({ contract, problem })) };
}

async function detectHere(model, pixels, pixelsMs) {
  const start = performance.now();
  const input = model.quantize(resize(pixels, model.contract.input.size_hw));
  const resized = performance.now();
  const outputs = await model.run(input);
  const inferred = performance.now();
  const detections = decode(outputs, model.contract, [pixels.height, pixels.width]);
  const times = {
    preprocess: pixelsMs + resized - start,
    inference: inferred - resized,
    decode: performance.now() - inferred,
  };
  return { detections, times };
}

async function detectOnServer(number, blob) {
  const response = await fetch(`api/detect?model=${number}`, { method: "POST", body: blob });
  const answer = await response.json();
  if (!response.ok) throw new Error(`server: ${answer.error}`);
  const detections = answer.detections.map(({ class_id: classId, score, box_xyxy: box }) => ({
    classId,
    score,
    box,
  }));
  return { detections, times: answer.times_ms };
}

/**
 * @param {{picture: Blob | ImageBitmap, onServer: boolean[]}} argument for each model whether the
 *   server runs it.
 * @returns sizeHw of the upright picture, bitmap to show, and for each model its detections and the
 *   times (ms) of preprocess, inference, decode.
 */
export async function detect({ picture, onServer }) {
  const isFrame = picture instanceof ImageBitmap;
  const start = performance.now();
  const bitmap = isFrame ? picture : await openPicture(picture, limits);
  const pixels = onServer.every(Boolean) ? null : pixelsOf(bitmap);
  const pixelsMs = performance.now() - start;
  const blob = isFrame && onServer.some(Boolean) ? await toJpeg(bitmap) : picture;
  const sizeHw = [bitmap.height, bitmap.width];
  const results = [];
  for (const [index, model] of models.entries()) {
    results.push(
      onServer[index]
        ? await detectOnServer(index + 1, blob)
        : await detectHere(model, pixels, pixelsMs),
    );
  }
  return { sizeHw, results, bitmap: await shrinkForScreen(bitmap) };
}
