// Tables: what was found, how two models differ, and how long it takes.

import { median } from "./numbers.js";

const KINDS = { same: "both", label: "other class" };
const STAGES = { preprocess: "Read and resize", inference: "Inference", decode: "Boxes" };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function head(columns) {
  const cells = columns.map(([text, className = ""]) =>
    element("th", { scope: "col", className, textContent: text }),
  );
  return element("thead", {}, element("tr", {}, ...cells));
}

function swatch(color) {
  const made = element("span", { className: "swatch" });
  made.style.background = color;
  return made;
}

function table(caption, columns, rows, className = "") {
  const body = rows.length
    ? element("table", {}, element("caption", { textContent: caption }), head(columns),
        element("tbody", {}, ...rows))
    : element("p", { className: "nothing", textContent: `${caption}: nothing above the lowest score` });
  return element("div", { className: `scroll ${className}` }, body);
}

const whole = (box) => box.map((value) => Math.round(value)).join(", ");
const two = (value) => value.toFixed(2);

/** A row whose box is marked in the picture while it is pointed at or has the focus. */
function row(items, words, numbers, { colorOf, mark }) {
  const label = element("button", { type: "button" }, swatch(colorOf(words[0])), words[0]);
  const made = element("tr", {}, element("td", { className: "word" }, label));
  made.append(
    ...words.slice(1).map((text) => element("td", { className: "word", textContent: text })),
    ...numbers.map((text) => element("td", { textContent: text })),
  );
  for (const [event, marked] of [["pointerenter", items], ["pointerleave", []], ["focusin", items],
    ["focusout", []]]) {
    made.addEventListener(event, () => mark(marked));
  }
  return made;
}

/** Objects of one model, best first. */
export function objectsTable(name, found, tools) {
  const columns = [["Class", "word"], ["Score"], ["x1, y1, x2, y2"]];
  const rows = found.map((item) =>
    row([item], [item.label], [two(item.score), whole(item.box)], tools),
  );
  return table(name, columns, rows);
}

/** What `compare` answers, differences first. */
export function differencesTable(names, pairs, tools) {
  const columns = [["Class", "word"], ["Found by", "word"], [`Score, ${names[0]}`],
    [`Score, ${names[1]}`], ["IoU"]];
  const rows = pairs.map(({ kind, a, b, overlap }) => {
    const by = { first: `only ${names[0]}`, second: `only ${names[1]}`, ...KINDS }[kind];
    const label = kind === "label" ? `${a.label} / ${b.label}` : (a ?? b).label;
    const numbers = [a ? two(a.score) : "–", b ? two(b.score) : "–", overlap ? two(overlap) : "–"];
    const colored = { ...tools, colorOf: () => tools.colorOf((a ?? b).label) };
    return row([a, b].filter(Boolean), [label, by], numbers, colored);
  });
  const differences = pairs.filter(({ kind }) => kind !== "same").length;
  const caption = `${differences} ${differences === 1 ? "difference" : "differences"}`;
  return table(caption, columns, rows, "wide");
}

/** Median times of each model; `samples` are the times of pictures looked at. */
export function speedTable(names, samples) {
  const count = Math.max(...samples.map(({ length }) => length));
  const stages = Object.keys(STAGES);
  const total = (times) => stages.reduce((sum, stage) => sum + times[stage], 0);
  const lines = [
    ...stages.map((stage) => [STAGES[stage], (times) => times[stage]]),
    ["Total", total],
  ];
  const rows = lines.map(([title, value]) =>
    element("tr", { className: title === "Total" ? "total" : "" },
      element("th", { scope: "row", className: "word", textContent: title }),
      ...samples.map((times) =>
        element("td", { textContent: times.length ? median(times.map(value)).toFixed(1) : "–" }))),
  );
  const caption = count ? `ms, median of ${count}` : "ms, after the first picture";
  const columns = names.length > 1 ? names.map((name) => [name]) : [];
  return element("table", {}, element("caption", { textContent: caption }),
    ...(columns.length ? [head([["", "word"], ...columns])] : []), element("tbody", {}, ...rows));
}
