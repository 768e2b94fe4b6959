// The page: pictures come in, the worker looks at them, what people choose decides what is shown.

import { startCamera } from "./camera.js";
import { startWorker } from "./client.js";
import { compare } from "./compare.js";
import { setUpClasses, setUpThreshold, setUpWhere } from "./controls.js";
import { listenForPictures } from "./inputs.js";
import { showModels } from "./models.js";
import { Panel } from "./panel.js";
import { predictions, saveAsFile } from "./predictions.js";
import { allLabels, inWords, shown } from "./shown.js";
import { showStrip } from "./strip.js";
import { differencesTable, objectsTable, speedTable } from "./tables.js";

const SAMPLES_KEPT = 200;
const MEASUREMENTS = 20;
const BITMAPS_KEPT = 24; // each takes up to 10 MB
const byId = (id) => document.getElementById(id);
const call = startWorker();

/** Models as {name, bytes, contract, problem}; pictures as {name, file, frame, sizeHw, bitmap, results}. */
const state = {
  models: [],
  panels: [],
  pictures: [],
  current: null,
  filter: { threshold: null, hidden: new Set() },
  onServer: false,
  samples: [],
  shownNow: [],
  highlighted: [],
  stopCamera: null,
  server: false,
};
let showCounts = () => {};

const say = (text) => {
  byId("status").textContent = text;
};

function complain(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

/** What people see of the current picture, model by model. */
function foundNow() {
  return state.models.map(({ contract }, index) =>
    shown(state.current.results[index].detections, contract, state.filter),
  );
}

/** Draw the current picture again; costs no inference. */
function show() {
  const picture = state.current;
  const ready = Boolean(picture?.bitmap);
  byId("empty").hidden = Boolean(picture);
  byId("panels").hidden = byId("found").hidden = !ready;
  byId("measure").disabled = !picture?.file || !ready;
  showStrip(state.pictures, picture, select);
  byId("speed").replaceChildren(speedTable(state.models.map(({ name }) => name), state.samples));
  if (!ready) return;
  state.shownNow = foundNow();
  drawPanels();
  showCounts(state.shownNow);
  showTables(state.shownNow);
}

function drawPanels() {
  state.panels.forEach((panel, index) => {
    const found = state.shownNow[index];
    const highlighted = found.find((item) => state.highlighted.includes(item));
    const ms = state.current.results[index].times.inference;
    panel.show({ picture: state.current, found, highlighted, ms });
  });
}

function showTables(found) {
  const tools = {
    colorOf,
    mark: (items) => {
      state.highlighted = items;
      drawPanels();
    },
  };
  const names = state.models.map(({ name }) => name);
  const tables = found.map((items, index) => objectsTable(names[index], items, tools));
  if (found.length > 1) tables.unshift(differencesTable(names, compare(...found), tools));
  byId("tables").replaceChildren(...tables);
}

function describe() {
  const picture = state.current;
  if (!picture) return;
  if (!picture.results) {
    say(`${picture.name} could not be shown`);
    return;
  }
  const words = foundNow().map(inWords);
  const each = words.map((text, index) => `${state.models[index].name}: ${text}`);
  say(`${picture.name}: ${words.length > 1 ? each.join(" · ") : words[0]}`);
}

function select(picture) {
  state.current = picture;
  state.highlighted = [];
  complain(picture.error ? `${picture.name}: ${picture.error}` : "");
  show();
  describe();
  if (picture.results && !picture.bitmap) enqueue(() => look(picture).then(show));
}

/** Forget what the oldest pictures look like; it is read again where one is selected. */
function dropBitmaps() {
  const kept = state.pictures.filter(({ bitmap }) => bitmap);
  for (const picture of kept.slice(0, -BITMAPS_KEPT)) {
    if (picture === state.current) continue;
    picture.bitmap.close();
    picture.bitmap = null;
  }
}

/** Run the models on a picture and keep what they answer. */
async function look(picture, source = picture.file) {
  const onServer = state.models.map(({ problem }) => state.onServer || problem !== null);
  const transfer = source instanceof ImageBitmap ? [source] : [];
  try {
    if (!state.server && onServer.some(Boolean)) throw new Error("a model cannot run here");
    const answer = await call("detect", { picture: source, onServer }, transfer);
    picture.bitmap?.close();
    Object.assign(picture, answer, { error: null });
    answer.results.forEach(({ times }, index) => {
      state.samples[index] = [...state.samples[index], times].slice(-SAMPLES_KEPT);
    });
  } catch (error) {
    picture.error = error.message;
  }
}

// One after the other, so that no picture's time holds another's.
let queue = Promise.resolve();
let waiting = 0;
function enqueue(task) {
  const setBusy = (change) => {
    waiting += change;
    byId("look").setAttribute("aria-busy", String(waiting > 0));
  };
  setBusy(1);
  queue = queue
    .then(task)
    .catch((error) => complain(error.message))
    .finally(() => setBusy(-1));
  return queue;
}

function takePictures(files) {
  stopCamera();
  const fresh = files.map((file) => ({ name: file.name, file }));
  for (const picture of fresh) {
    enqueue(async () => {
      say(`Looking at ${picture.name} …`);
      await look(picture);
      state.pictures.push(picture);
      if (picture === fresh[0]) select(picture);
      else show();
      dropBitmaps();
    });
  }
  enqueue(() => {
    const failed = fresh.filter(({ error }) => error);
    complain(failed.map(({ name, error }) => `${name}: ${error}`).join("\n"));
    if (failed.length) say(`${failed.length} of ${fresh.length} could not be shown`);
    else describe();
  });
}

function lookAgain() {
  state.samples = state.models.map(() => []);
  for (const picture of state.pictures) enqueue(() => look(picture));
  enqueue(() => {
    show();
    describe();
  });
}

function measure() {
  const picture = state.current;
  state.samples = state.models.map(() => []);
  for (let i = 1; i <= MEASUREMENTS; i++) {
    enqueue(() => {
      say(`Measuring, ${i} of ${MEASUREMENTS} …`);
      return look(picture);
    });
  }
  enqueue(() => {
    show();
    describe();
  });
}

function setCameraButton(running) {
  byId("camera").textContent = running ? "Stop webcam" : "Start webcam";
  byId("camera").setAttribute("aria-pressed", String(running));
}

function stopCamera() {
  state.stopCamera?.();
  state.stopCamera = null;
  setCameraButton(false);
}

async function toggleCamera() {
  if (state.stopCamera) return stopCamera();
  const live = { name: "camera:0", frame: 0 };
  byId("camera").disabled = true;
  try {
    await queue;
    complain("");
    state.samples = state.models.map(() => []);
    state.stopCamera = await startCamera(async (bitmap, number) => {
      await look(live, bitmap);
      if (!state.stopCamera) return;
      live.frame = number;
      state.current = live;
      complain(live.error ?? "");
      show();
    });
    say("The webcam is on");
    setCameraButton(true);
  } catch (error) {
    complain(error.message);
  } finally {
    byId("camera").disabled = false;
  }
}

function download(index) {
  const { name, contract } = state.models[index];
  const live = state.current && !state.current.file ? [state.current] : [];
  const records = predictions([...state.pictures, ...live], index, contract, state.filter);
  saveAsFile(`predictions-${name}.json`, records);
}

let colorOf = () => "#888888";

async function start() {
  const config = await (await fetch("config.json")).json();
  const absolute = (url) => url && new URL(url, document.baseURI).href;
  const models = config.models.map((model) => ({
    ...model,
    file: absolute(model.file),
    contract: absolute(model.contract),
  }));
  const ready = await call("start", {
    config: { ...config, models, litertjs: absolute(config.litertjs) },
  });
  state.server = config.server;
  state.models = ready.models.map((model, index) => ({ ...config.models[index], ...model }));
  state.samples = state.models.map(() => []);
  const contracts = state.models.map(({ contract }) => contract);
  const labels = allLabels(contracts);
  colorOf = (label) => config.colors[labels.indexOf(label) % config.colors.length] ?? "#888888";
  state.panels = state.models.map(({ name }) => new Panel(name, colorOf));
  byId("panels").replaceChildren(...state.panels.map(({ element }) => element));
  byId("panels").classList.toggle("two", state.panels.length > 1);
  showModels(state.models, download);
  setUpThreshold(contracts, (threshold) => {
    state.filter.threshold = threshold;
    show();
  }, describe);
  showCounts = setUpClasses(contracts, state.filter.hidden, colorOf, show);
  setUpWhere(state.models, { server: config.server, threads: ready.threads }, (onServer) => {
    state.onServer = onServer;
    lookAgain();
  });
  show();
  say("Ready");
}

byId("measure").addEventListener("click", measure);
byId("camera").addEventListener("click", toggleCamera);
byId("example").addEventListener("click", async () => {
  const blob = await (await fetch("example.jpg")).blob();
  takePictures([new File([blob], "example.jpg", { type: blob.type })]);
});
listenForPictures(takePictures);
enqueue(() =>
  start().catch((error) => {
    say("");
    throw new Error(`The page cannot start: ${error.message}`);
  }),
);
