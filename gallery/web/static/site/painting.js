// Repaint a photo: working size, the network, its colours, full size.
// As adain/painting/stylize.py, tiling.py and strokes.py do it.

import { colorTransfer, colorsOfVector, colorsToVector, matchColors, measureColors }
  from './colors.js';
import { splitVector, statistics, styleMaps } from './maps.js';
import { enlargedRows, resized } from './resizing.js';

const STROKE_SIDE = 1024;  // At which larger photos are painted: strokes keep their size.
const STYLE_SIDE = 512;    // The shorter side at which a painting is measured.
const MIN_SIDE = 16, STRIDE = 8;
const UNTOUCHED = 0.1;     // Strength below which the photo itself fades in.

/**
 * Repaint a photo.
 *
 * @param photo { data: RGBA, width, height }, opaque
 * @param style { vector, adapter: { key, tensors } or null }
 * @param side longest side of the result in pixels
 * @param draft whether to paint at that side, whatever the strokes are then
 * @returns { data: RGBA, width, height }
 */
export async function paint(engine, photo, style, alpha, side, draft = false) {
  const whole = Math.max(photo.width, photo.height);
  const result = scaledSize(photo, Math.min(side, whole));
  const size = scaledSize(photo, Math.min(whole, draft ? side : STROKE_SIDE));
  const pixels = photoPixels(photo, size);
  const painted = await repaint(engine, pixels, size, style, alpha);
  if (result[0] <= size[0] && result[1] <= size[1]) {
    return picture(resized(painted, size, result), result);
  }
  // Larger than it was painted: the photo's own detail, and the change enlarged.
  const change = painted.map((each, i) => each - pixels[i]);
  const original = photoPixels(photo, result);
  const line = 3 * result[1];
  for (const [y, row] of enlargedRows(change, size, result)) {
    for (let i = 0; i < line; i++) original[y * line + i] += row[i];
  }
  return picture(original, result);
}

/** Return the vector of a picture of the visitor's own as a style. */
export async function measure(engine, painting) {
  const shorter = Math.min(painting.width, painting.height);
  const size = scaledSize(painting, Math.min(STYLE_SIDE, shorter), shorter);
  const pixels = photoPixels(painting, size);
  const { tile, size: padded } = mirrored(pixels, size);
  const { means, variances } = await engine.encode(tile, padded, new Float32Array(12), 0);
  const layers = means.map((mean, i) => statistics(mean, variances[i]));
  const parts = layers.flatMap(({ mean, std }) => [...mean, ...std]);
  return Float32Array.from([...parts, ...colorsToVector(measureColors(pixels))]);
}

async function repaint(engine, pixels, [height, width], style, alpha) {
  const { network } = engine;
  const { tile, size } = mirrored(pixels, [height, width]);
  const { colors } = splitVector(style.vector, network.widths);
  const wanted = network.recolors ? colorsOfVector(colors) : null;
  const map = wanted ? colorTransfer(measureColors(tile), wanted) : new Float32Array(12);
  const encoded = await engine.encode(tile, size, map, wanted ? alpha : 0);
  const contents = encoded.means.map((mean, i) => statistics(mean, encoded.variances[i]));
  const maps = styleMaps(contents, style.vector, network, alpha);
  const image = await engine.decode(encoded.features, maps, style.adapter, alpha);
  const painted = cropped(image, size[1], [height, width]);
  if (wanted) matchColors(painted, pixels, wanted, alpha);
  const share = Math.min(Math.abs(alpha) / UNTOUCHED, 1);
  for (let i = 0; i < painted.length; i++) {
    const value = Math.min(Math.max(painted[i], 0), 1);
    painted[i] = share < 1 ? pixels[i] + share * (value - pixels[i]) : value;
  }
  return painted;
}

/** Return RGB in [0, 1] of a photo at another size, at the levels that a file would have. */
function photoPixels({ data, width, height }, size) {
  const pixels = new Float32Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    pixels[to++] = data[from] / 255;
    pixels[to++] = data[from + 1] / 255;
    pixels[to++] = data[from + 2] / 255;
  }
  if (size[0] === height && size[1] === width) return pixels;
  return resized(pixels, [height, width], size)
    .map(each => Math.round(Math.min(Math.max(each, 0), 1) * 255) / 255);
}

function picture(pixels, [height, width]) {
  const data = new Uint8ClampedArray(width * height * 4);
  for (let from = 0, to = 0; to < data.length; to += 4) {
    data[to] = 255 * pixels[from++];
    data[to + 1] = 255 * pixels[from++];
    data[to + 2] = 255 * pixels[from++];
    data[to + 3] = 255;
  }
  return { data, width, height };
}

/** Return height and width of a picture of which a side, by default the longer, becomes so long. */
function scaledSize({ width, height }, side, old = Math.max(width, height)) {
  return [height, width].map(each =>
    Math.max(Math.min(MIN_SIDE, each), Math.round(each * side / old)));
}

/** Return pixels, mirrored beyond their end to whole positions of the deepest layer. */
function mirrored(pixels, [height, width]) {
  const size = [height, width].map(each => Math.ceil(each / STRIDE) * STRIDE);
  if (size[0] === height && size[1] === width) return { tile: pixels, size };
  const tile = new Float32Array(size[0] * size[1] * 3);
  const back = (at, side) => at < side ? at : 2 * side - 2 - at;
  for (let y = 0, to = 0; y < size[0]; y++) {
    for (let x = 0; x < size[1]; x++) {
      const from = 3 * (back(y, height) * width + back(x, width));
      for (let c = 0; c < 3; c++) tile[to++] = pixels[from + c];
    }
  }
  return { tile, size };
}

function cropped(image, across, [height, width]) {
  const pixels = new Float32Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    pixels.set(image.subarray(3 * y * across, 3 * (y * across + width)), 3 * y * width);
  }
  return pixels;
}
