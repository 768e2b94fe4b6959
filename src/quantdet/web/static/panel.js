// One model's view of the picture: a canvas with boxes, and a line that says it in words.

import { inWords } from "./shown.js";

const HIGHEST_SHARE = 0.72; // of the window

const percent = (score) => `${Math.round(100 * score)} %`;

function luminance(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

function overlaps(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/** Where a label goes: above the box, in it, below it; in the picture, and on no other label. */
function placeLabel([x1, y1, , y2], size, canvas, taken) {
  const x = Math.max(0, Math.min(x1, canvas.width - size.width));
  const heights = [y1 - size.height, y1, y2, y2 - size.height];
  const fields = heights
    .filter((y) => y >= 0 && y + size.height <= canvas.height)
    .map((y) => ({ x, y, ...size }));
  return fields.find((field) => !taken.some((other) => overlaps(field, other)));
}

export class Panel {
  /** @param {(label: string) => string} colorOf label → "#RRGGBB" */
  constructor(name, colorOf) {
    this.colorOf = colorOf;
    this.element = document.createElement("figure");
    this.caption = document.createElement("figcaption");
    this.words = document.createElement("span");
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    const title = document.createElement("strong");
    title.textContent = name;
    this.caption.append(title, this.words);
    this.element.append(this.caption, this.canvas);
    this.view = null;
    new ResizeObserver(() => this.#draw()).observe(this.element);
    window.addEventListener("resize", () => this.#draw()); // its height bounds the picture's
  }

  /** @param {{picture, found: object[], highlighted, ms: number}} view */
  show(view) {
    this.view = view;
    const words = inWords(view.found);
    this.words.textContent = `${words.split(":")[0]} · ${view.ms.toFixed(1)} ms`;
    this.canvas.setAttribute("aria-label", `${view.picture.name}, ${words}`);
    this.#draw();
  }

  #draw() {
    if (!this.view?.picture.bitmap) return;
    const { picture, found, highlighted } = this.view;
    const { bitmap, sizeHw } = picture;
    const { canvas } = this;
    const aspect = sizeHw[1] / sizeHw[0];
    this.element.style.maxWidth = `${Math.round(HIGHEST_SHARE * window.innerHeight * aspect)}px`;
    canvas.style.aspectRatio = `${aspect}`;
    const width = Math.max(1, Math.round(canvas.clientWidth * window.devicePixelRatio));
    canvas.width = width;
    canvas.height = Math.max(1, Math.round(width / aspect));
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const scale = width / sizeHw[1];
    // Whole pixels and an even width, so that lines are sharp.
    const boxes = found.map(({ box }) => box.map((value) => Math.round(value * scale)));
    const line = 2 * Math.max(1, Math.round(Math.min(width / 640, 1.25 * window.devicePixelRatio)));
    for (let i = found.length - 1; i >= 0; i--) {
      this.#frame(context, boxes[i], found[i], line * (found[i] === highlighted ? 2 : 1));
    }
    this.#labels(context, found, boxes);
  }

  #frame(context, [x1, y1, x2, y2], { label }, line) {
    for (const [color, width] of [["rgb(0 0 0 / 75%)", line + 2], [this.colorOf(label), line]]) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    }
  }

  #labels(context, found, boxes) {
    const size = 13 * window.devicePixelRatio;
    const pad = Math.round(size / 3);
    context.font = `600 ${size}px system-ui, "Liberation Sans", sans-serif`;
    context.textBaseline = "middle";
    const taken = [];
    for (const [i, { label, score }] of found.entries()) {
      const text = `${label} ${percent(score)}`;
      const extent = { width: context.measureText(text).width + 2 * pad, height: size + pad };
      const field = placeLabel(boxes[i], extent, this.canvas, taken);
      if (!field) continue; // it would hide another
      taken.push(field);
      const color = this.colorOf(label);
      context.fillStyle = color;
      context.fillRect(field.x, field.y, field.width, field.height);
      context.fillStyle = luminance(color) > 110 ? "#000" : "#fff";
      context.fillText(text, field.x + pad, field.y + field.height / 2);
    }
  }
}
