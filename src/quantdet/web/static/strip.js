// Small pictures to choose from, once there are several.

const HEIGHT = 60;
const thumbnails = new WeakMap();

function thumbnail(picture) {
  if (!picture.bitmap) {
    return Object.assign(document.createElement("span"), { className: "failed", textContent: "no picture" });
  }
  const canvas = document.createElement("canvas");
  canvas.height = HEIGHT;
  canvas.width = Math.max(20, Math.round((HEIGHT * picture.bitmap.width) / picture.bitmap.height));
  canvas.getContext("2d").drawImage(picture.bitmap, 0, 0, canvas.width, HEIGHT);
  return canvas;
}

function makeItem(picture, select) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = picture.name;
  button.setAttribute("aria-label", picture.name);
  button.append(thumbnail(picture));
  button.addEventListener("click", () => select(picture));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

/** @param {(picture: object) => void} select called with the one that was chosen. */
export function showStrip(pictures, current, select) {
  const strip = document.getElementById("strip");
  strip.hidden = pictures.length < 2;
  for (const picture of pictures) {
    if (!thumbnails.has(picture)) {
      thumbnails.set(picture, makeItem(picture, select));
      strip.append(thumbnails.get(picture));
    }
    const button = thumbnails.get(picture).firstChild;
    button.setAttribute("aria-current", String(picture === current));
  }
}
