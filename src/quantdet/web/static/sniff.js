// What a file is by its content, and how many pixels it claims to have before anything is decoded.

const NOT_A_PICTURE = "not a picture that can be shown; use JPEG, PNG, WebP, GIF or BMP";

function text(bytes, from, length) {
  return String.fromCharCode(...bytes.subarray(from, from + length));
}

function jpegSize(view) {
  let at = 2;
  while (at + 9 < view.byteLength) {
    if (view.getUint8(at) !== 0xff) return null;
    const marker = view.getUint8(at + 1);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return [view.getUint16(at + 7), view.getUint16(at + 5)];
    const isFill = marker === 0xff;
    at += isFill ? 1 : 2 + view.getUint16(at + 2);
  }
  return null;
}

function webpSize(view, bytes) {
  const kind = text(bytes, 12, 4);
  if (kind === "VP8X") {
    const at = (i) => view.getUint16(i, true) + (view.getUint8(i + 2) << 16) + 1;
    return [at(24), at(27)];
  }
  if (kind === "VP8L") {
    const bits = view.getUint32(21, true);
    return [(bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1];
  }
  return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
}

const KINDS = [
  {
    type: "image/jpeg",
    matches: (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff,
    size: jpegSize,
  },
  {
    type: "image/png",
    matches: (bytes) => text(bytes, 1, 3) === "PNG" && bytes[0] === 0x89,
    size: (view) => [view.getUint32(16), view.getUint32(20)],
  },
  {
    type: "image/webp",
    matches: (bytes) => text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP",
    size: webpSize,
  },
  {
    type: "image/gif",
    matches: (bytes) => ["GIF87a", "GIF89a"].includes(text(bytes, 0, 6)),
    size: (view) => [view.getUint16(6, true), view.getUint16(8, true)],
  },
  {
    type: "image/bmp",
    matches: (bytes) => text(bytes, 0, 2) === "BM",
    size: (view) => [Math.abs(view.getInt32(18, true)), Math.abs(view.getInt32(22, true))],
  },
];

function sizeOf(kind, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return kind.size(view, bytes);
  } catch (error) {
    if (error instanceof RangeError) return null; // the header ends too soon
    throw error;
  }
}

/**
 * @param {Uint8Array} bytes the whole file.
 * @param {number} maxPixels most that it may claim.
 * @returns {string} its media type.
 * @throws {Error} with what is wrong, in words for people.
 */
export function checkPicture(bytes, maxPixels) {
  const kind = KINDS.find(({ matches }) => matches(bytes));
  if (!kind) {
    const isSvg = /^\s*<[^]*<?svg[\s>]/i.test(text(bytes, 0, 1000));
    throw new Error(isSvg ? `an SVG drawing, ${NOT_A_PICTURE}` : NOT_A_PICTURE);
  }
  const size = sizeOf(kind, bytes);
  if (!size) throw new Error("truncated or damaged");
  const [width, height] = size;
  if (width * height > maxPixels) {
    const limit = Math.floor(maxPixels / 1e6);
    throw new Error(
      `too many pixels, ${width} x ${height}; make it smaller, at most ${limit} megapixels`,
    );
  }
  return kind.type;
}
