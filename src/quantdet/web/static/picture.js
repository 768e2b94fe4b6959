// Picture file → pixels, upright and on white, as runtime/preprocess.py decodes it.

import { takeOrientation, turned } from "./orientation.js";
import { checkPicture } from "./sniff.js";

const LONGEST_SHOWN_SIDE = 1600;

/**
 * @param {Blob} blob a picture file.
 * @param {{maxBytes: number, maxPixels: number}} limits
 * @returns {Promise<ImageBitmap>} of all pixels; EXIF rotation is applied, colour profiles are not.
 */
export async function openPicture(blob, { maxBytes, maxPixels }) {
  if (blob.size > maxBytes) {
    throw new Error(`more than ${maxBytes / 2 ** 20} MiB; make it smaller`);
  }
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const type = checkPicture(bytes, maxPixels);
  const orientation = type === "image/webp" ? takeOrientation(bytes) : 1;
  const file = new Blob([bytes], { type });
  try {
    return turned(await createImageBitmap(file, { colorSpaceConversion: "none" }), orientation);
  } catch {
    throw new Error("truncated or damaged, or too large for this browser");
  }
}

/** Opaque RGBA pixels; transparent parts show white. */
export function pixelsOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** A copy that is large enough for any screen, so that big photographs take no memory. */
export async function shrinkForScreen(bitmap) {
  const factor = LONGEST_SHOWN_SIDE / Math.max(bitmap.width, bitmap.height);
  if (factor >= 1) return bitmap;
  const small = await createImageBitmap(bitmap, {
    resizeWidth: Math.max(1, Math.round(bitmap.width * factor)),
    resizeHeight: Math.max(1, Math.round(bitmap.height * factor)),
    resizeQuality: "high",
  });
  bitmap.close();
  return small;
}

/** A frame of a camera as a file, for the server. */
export async function toJpeg(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
}
