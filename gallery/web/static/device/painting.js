// Repaint a photo: working size, the network, its colours, full size.
// As adain/painting/stylize.py, matching.py and strokes.py do it.

import { colorTransfer, colorsOfVector, colorsToVector, matchColors, measureColors }
  from './colors.js';
import { finish } from './finishing.js';
import { splitVector } from './maps.js';
import { rounded, unit } from './numbers.js';
import { blurred, enlargedRows, resized, scaledPlane } from './resizing.js';
import { measureWhole, paintTiles, wholePhoto } from './tiling.js';

const STROKE_SIDE = 1024;  // At which larger photos are painted: strokes keep their size.
const MAX_SIDE = 8192;     // To which a photo is enlarged for finer strokes.
const STYLE_SIDE = 512;    // The shorter side at which a painting is measured.
const MIN_SIDE = 16;
const UNTOUCHED = 0.1;     // Strength below which the photo itself fades in.
const FEATHER = 8;         // Pixels of the photo over which the places of styles blend.
const MOST_PIXELS = 12e6;  // Beyond, a browser has no memory for the pixels themselves.

/** What a device cannot do, as other devices can. */
export class BeyondDevice extends Error {}

/**
 * Repaint a photo.
 *
 * @param photo { data: RGBA, width, height }, opaque
 * @param order { styles, masks, alpha, stroke, colors, photorealistic, side }: styles are
 *   { vector, adapter: { key, tensors } or null }; masks none, or a picture for each style,
 *   white where it goes; side is that of the result in pixels, by default the photo's own
 * @param told awaited between the steps, with the share that is done; what it throws ends the work
 * @returns { data: RGBA, width, height }
 */
export async function paint(engine, photo, order, told) {
  const whole = Math.max(photo.width, photo.height);
  const result = scaledSize(photo, Math.min(order.side ?? whole, whole));
  const size = scaledSize(photo, workingSide(whole, order.stroke ?? 1));
  if (size[0] * size[1] > MOST_PIXELS) throw new BeyondDevice('the strokes are too fine');
  const pixels = photoPixels(photo, size);
  const painted = await repaint(engine, pixels, size, photo, order, told);
  if (result[0] <= size[0] && result[1] <= size[1]) {
    return picture(resized(painted, size, result), result);
  }
  // Larger than it was painted: the photo's own detail, and the change enlarged.
  for (let i = 0; i < painted.length; i++) painted[i] -= pixels[i];
  return enlarged(photo, painted, size, result);
}

/** Return the vector of a picture of the visitor's own as a style. */
export async function measure(engine, painting) {
  const shorter = Math.min(painting.width, painting.height);
  const size = scaledSize(painting, Math.min(STYLE_SIDE, shorter), shorter);
  const pixels = photoPixels(painting, size);
  const layers = await measureWhole(engine, wholePhoto(pixels, size));
  const parts = layers.flatMap(({ mean, std }) => [...mean, ...std]);
  return Float32Array.from([...parts, ...colorsToVector(measureColors(pixels))]);
}

function workingSide(whole, stroke) {
  const side = rounded(Math.min(whole, STROKE_SIDE) / stroke);
  return Math.min(Math.max(side, MIN_SIDE), Math.max(MAX_SIDE, whole));
}

async function repaint(engine, pixels, size, photo, order, told) {
  const { network } = engine;
  const { styles, alpha } = order;
  const places = order.masks?.length ? order.masks.map(mask => plane(mask, size, photo.width)) : null;
  if (places) together(places);
  const whole = wholePhoto(pixels, size, places), colors = measureColors(whole.pixels);
  const wanted = styles.map(({ vector }) =>
    network.recolors ? colorsOfVector(splitVector(vector, network.widths).colors) : null);
  const maps = wanted.map(each => each ? colorTransfer(colors, each) : new Float32Array(12));
  const painted = await paintTiles(engine, whole, size, order, maps, told);
  if (network.recolors) matchColors(painted, pixels, wanted, alpha, places);
  const extent = places && places[0].map((_, at) =>
    places.reduce((sum, each) => sum + each[at], 0));
  for (let i = 0; i < painted.length; i++) painted[i] = unit(painted[i]);
  finish(painted, pixels, size, order, extent);
  // The network gives a photo back nearly, not exactly.
  if (!extent && Math.abs(alpha) >= UNTOUCHED) return painted;
  for (let i = 0; i < painted.length; i++) {
    const applied = Math.abs(alpha) * (extent ? extent[Math.floor(i / 3)] : 1);
    painted[i] = pixels[i] + Math.min(applied / UNTOUCHED, 1) * (painted[i] - pixels[i]);
  }
  return painted;
}

// Where each style goes

/** Return the grey values of a mask at a size, the edges softened. */
function plane({ data, width, height }, size, photoWidth) {
  const grey = new Float32Array(width * height);
  for (let i = 0; i < grey.length; i++) {
    grey[i] = (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255;
  }
  const scaled = scaledPlane(grey, [height, width], size).map(unit);
  return blurred(scaled, size, FEATHER * size[1] / photoWidth / 2);
}

/** Let styles share, in place, where their masks add up to more than 1. */
function together(places) {
  for (let at = 0; at < places[0].length; at++) {
    const sum = places.reduce((all, each) => all + each[at], 0);
    if (sum > 1) for (const each of places) each[at] /= sum;
  }
}

// Pixels

/** Return RGB in [0, 1] of a photo at another size, at the levels that a file would have. */
function photoPixels({ data, width, height }, size) {
  const pixels = new Float32Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    pixels[to++] = data[from] / 255;
    pixels[to++] = data[from + 1] / 255;
    pixels[to++] = data[from + 2] / 255;
  }
  if (size[0] === height && size[1] === width) return pixels;
  const scaled = resized(pixels, [height, width], size);
  for (let i = 0; i < scaled.length; i++) scaled[i] = Math.round(unit(scaled[i]) * 255) / 255;
  return scaled;
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

/** Return a photo at a size with a change of a smaller size added. */
function enlarged(photo, change, size, result) {
  const same = result[0] === photo.height && result[1] === photo.width;
  const original = same ? null : photoPixels(photo, result);
  const data = new Uint8ClampedArray(result[0] * result[1] * 4);
  for (const [y, row] of enlargedRows(change, size, result)) {
    for (let x = 0; x < result[1]; x++) {
      const at = y * result[1] + x;
      for (let c = 0; c < 3; c++) {
        const before = same ? photo.data[4 * at + c] : 255 * original[3 * at + c];
        data[4 * at + c] = before + 255 * row[3 * x + c];
      }
      data[4 * at + 3] = 255;
    }
  }
  return { data, width: result[1], height: result[0] };
}

/** Return height and width of a picture of which a side, by default the longer, becomes so long. */
function scaledSize({ width, height }, side, old = Math.max(width, height)) {
  return [height, width].map(each =>
    Math.max(Math.min(MIN_SIDE, each), rounded(each * side / old)));
}
