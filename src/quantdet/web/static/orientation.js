// How a WebP is turned, as its EXIF says; browsers differ in whether they obey. (JPEG and PNG they
// all turn.)

const TAG = 0x0112;
const SHORT = 3;
const EXIF_PREFIX = "Exif\0\0"; // some writers keep it from JPEG

// Orientation → (width, height) → canvas transform of the stored pixels to the upright ones.
const TRANSFORMS = {
  2: (w) => [-1, 0, 0, 1, w, 0],
  3: (w, h) => [-1, 0, 0, -1, w, h],
  4: (w, h) => [1, 0, 0, -1, 0, h],
  5: () => [0, 1, 1, 0, 0, 0],
  6: (w, h) => [0, 1, -1, 0, h, 0],
  7: (w, h) => [0, -1, -1, 0, h, w],
  8: (w) => [0, -1, 1, 0, 0, w],
};

function text(view, at, length) {
  return String.fromCharCode(...Array.from({ length }, (_, i) => view.getUint8(at + i)));
}

/** Where the chunk begins, 0 if there is none. */
function findExif(view) {
  let at = 12;
  while (at + 8 <= view.byteLength) {
    if (text(view, at, 4) === "EXIF") return at;
    const size = view.getUint32(at + 4, true);
    at += 8 + size + (size % 2);
  }
  return 0;
}

function readOrientation(view, start) {
  const at = text(view, start, 6) === EXIF_PREFIX ? start + 6 : start;
  const little = text(view, at, 2) === "II";
  const table = at + view.getUint32(at + 4, little);
  const count = view.getUint16(table, little);
  for (let entry = table + 2; entry < table + 2 + 12 * count; entry += 12) {
    const isOurs = view.getUint16(entry, little) === TAG;
    if (isOurs && view.getUint16(entry + 2, little) === SHORT) {
      return view.getUint16(entry + 8, little);
    }
  }
  return 1;
}

/**
 * Read how a WebP is turned, and rename the chunk that says so, that no browser obeys it too.
 *
 * @param {Uint8Array} bytes the whole file; four of them change.
 * @returns {number} 1 (upright) to 8, as in EXIF.
 */
export function takeOrientation(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const chunk = findExif(view);
    if (!chunk) return 1;
    view.setUint32(chunk, 0x2d2d2d2d);
    return readOrientation(view, chunk + 8);
  } catch (error) {
    if (error instanceof RangeError) return 1; // it ends too soon
    throw error;
  }
}

/** The picture upright; it is closed if another takes its place. */
export function turned(bitmap, orientation) {
  const transform = TRANSFORMS[orientation]?.(bitmap.width, bitmap.height);
  if (!transform) return bitmap;
  const size = [bitmap.width, bitmap.height];
  const canvas = new OffscreenCanvas(...(orientation > 4 ? size.reverse() : size));
  const context = canvas.getContext("2d");
  context.setTransform(...transform);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.transferToImageBitmap();
}
