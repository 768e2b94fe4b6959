// Threshold, classes, and where inference runs: what people choose.

import { allLabels } from "./shown.js";

const byId = (id) => document.getElementById(id);

function thresholdsInWords({ decoder }) {
  const own = Object.entries(decoder.class_thresholds).map(([label, score]) => `${label} ${score}`);
  return [decoder.score_threshold.toFixed(2), ...own].join(", ");
}

/**
 * The slider. Until it is moved each model has the thresholds of its contract.
 *
 * @param {(threshold: number | null) => void} choose called while it moves.
 * @param {() => void} settle called when it rests.
 */
export function setUpThreshold(contracts, choose, settle) {
  const slider = byId("threshold");
  const own = byId("threshold-own");
  const words = [...new Set(contracts.map(thresholdsInWords))].join(" and ");
  const lowest = Math.min(...contracts.map(({ decoder }) => decoder.min_score));
  slider.min = String(Math.ceil(100 * lowest) / 100);

  const show = (threshold) => {
    const value = threshold ?? contracts[0].decoder.score_threshold;
    slider.value = String(value);
    byId("threshold-value").textContent = Number(slider.value).toFixed(2);
    const note = threshold === null ? `the model’s own: ${words}` : "for all classes";
    byId("threshold-note").textContent = note;
    own.disabled = threshold === null;
  };
  const take = (threshold) => {
    show(threshold);
    choose(threshold);
  };
  slider.addEventListener("input", () => take(Number(slider.value)));
  slider.addEventListener("change", settle);
  own.addEventListener("click", () => {
    take(null);
    settle();
  });
  show(null);
}

/**
 * A box to tick for each class.
 *
 * @param {Set<string>} hidden labels left out; changed here.
 * @returns {(found: object[][]) => void} shows how many of each the models found.
 */
export function setUpClasses(contracts, hidden, colorOf, changed) {
  const counters = new Map();
  const boxes = allLabels(contracts).map((label) => {
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    box.value = label;
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = colorOf(label);
    const name = Object.assign(document.createElement("span"), { className: "label" });
    name.textContent = name.title = label;
    const count = Object.assign(document.createElement("span"), { className: "count" });
    counters.set(label, count);
    const line = document.createElement("label");
    line.append(box, swatch, name, count);
    const item = document.createElement("li");
    item.append(line);
    byId("classes").append(item);
    return box;
  });
  const read = () => {
    hidden.clear();
    for (const box of boxes) if (!box.checked) hidden.add(box.value);
    changed();
  };
  const setAll = (checked) => () => {
    for (const box of boxes) box.checked = checked;
    read();
  };
  byId("classes").addEventListener("change", read);
  byId("all-classes").addEventListener("click", setAll(true));
  byId("no-classes").addEventListener("click", setAll(false));
  return (found) => {
    for (const [label, counter] of counters) {
      const counts = found.map((items) => items.filter((item) => item.label === label).length);
      counter.textContent = counts.some(Boolean) ? counts.join(" / ") : "";
    }
  };
}

/**
 * Browser or server.
 *
 * @param {{name: string, problem: string | null}[]} models a problem keeps one out of the browser.
 * @param {{server: boolean, threads: number}} offered
 * @param {(server: boolean) => void} choose
 */
export function setUpWhere(models, { server, threads }, choose) {
  const notes = models
    .filter(({ problem }) => problem !== null)
    .map(({ name, problem }) => `${name}: ${problem}; ${server ? "the server runs it" : "it cannot run here"}.`);
  const inBrowser = models.some(({ problem }) => problem === null);
  if (inBrowser) {
    const many = `${threads} ${threads === 1 ? "thread" : "threads"}`;
    notes.unshift(`LiteRT.js: XNNPACK as WebAssembly, ${many}.`);
  }
  byId("where-note").textContent = notes.join(" ");
  byId("where").hidden = !server;
  const [browserChoice, serverChoice] = document.getElementsByName("where");
  browserChoice.disabled = !inBrowser;
  serverChoice.checked = !inBrowser;
  byId("where").addEventListener("change", () => choose(serverChoice.checked));
  byId("privacy").textContent = inBrowser
    ? "Pictures stay in this browser."
    : "Pictures stay on this machine.";
}
