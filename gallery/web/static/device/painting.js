// Repaint a photo: working size, the network, its colours, full size.
// As adain/painting/stylize.py, tiling.py, matching.py and strokes.py do it.

import { colorTransfer, colorsOfVector, colorsToVector, matchColors, measureColors }
  from './colors.js';
import { finish } from './finishing.js';
import { splitVector, statistics, styleMaps } from './maps.js';
import { rounded, unit } from './numbers.js';
import { blurred, enlargedRows, resized, scaledPlane } from './resizing.js';

const STROKE_SIDE = 1024;  // At which larger photos are painted: strokes keep their size.
const MAX_SIDE = 8192;     // To which a photo is enlarged for finer strokes.
const STYLE_SIDE = 512;    // The shorter side at which a painting is measured.
const MIN_SIDE = 16, STRIDE = 8;
const UNTOUCHED = 0.1;     // Strength below which the photo itself fades in.
const FEATHER = 8;         // Pixels of the photo over which the places of styles blend.
const MOST_PIXELS = 4.5e6; // That are painted at a time: beyond, a browser's memory ends.
const EVERYWHERE = { values: Float32Array.of(1), dims: [1, 1, 1] };

/** What a device cannot do, as other devices can. */
export class BeyondDevice extends Error {}

/**
 * Repaint a photo.
 *
 * @param photo { data: RGBA, width, height }, opaque
 * @param order { styles, masks, alpha, stroke, colors, photorealistic, side }: styles are
 *   { vector, adapter: { key, tensors } or null }; masks none, or a picture for each style,
 *   white where it goes; side is that of the result in pixels, by default the photo's own
 * @returns { data: RGBA, width, height }
 */
export async function paint(engine, photo, order) {
  const whole = Math.max(photo.width, photo.height);
  const result = scaledSize(photo, Math.min(order.side ?? whole, whole));
  const size = scaledSize(photo, workingSide(whole, order.stroke ?? 1));
  if (size[0] * size[1] > MOST_PIXELS) throw new BeyondDevice('the strokes are too fine');
  const pixels = photoPixels(photo, size);
  const painted = await repaint(engine, pixels, size, photo, order);
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
  const { tile, size: padded } = mirrored(pixels, size);
  const encoded = await engine.encode(tile, padded, new Float32Array(12), share(0));
  const layers = contents(encoded);
  const parts = layers.flatMap(({ mean, std }) => [...mean, ...std]);
  return Float32Array.from([...parts, ...colorsToVector(measureColors(pixels))]);
}

function workingSide(whole, stroke) {
  const side = rounded(Math.min(whole, STROKE_SIDE) / stroke);
  return Math.min(Math.max(side, MIN_SIDE), Math.max(MAX_SIDE, whole));
}

async function repaint(engine, pixels, inner, photo, order) {
  const { network } = engine;
  const { styles, alpha } = order;
  const { tile, size } = mirrored(pixels, inner);
  const colors = measureColors(tile);
  const wanted = styles.map(({ vector }) =>
    network.recolors ? colorsOfVector(splitVector(vector, network.widths).colors) : null);
  const maps = wanted.map(each => each ? colorTransfer(colors, each) : new Float32Array(12));
  const strength = network.recolors ? alpha : 0;
  const places = order.masks?.length ? order.masks.map(mask => plane(mask, inner, photo.width)) : null;
  if (places) together(places);
  let encoded;
  const features = [];
  for (const [i, style] of styles.entries()) {
    encoded = await engine.encode(tile, size, maps[i], share(strength));
    features.push(styleMaps(contents(encoded), style.vector, network, alpha));
  }
  let shares = network.encode.map(() => EVERYWHERE);
  if (places) {
    shares = layerShares(places, inner, size, network.encode.length);
    const { values, dims } = shares[0];
    const applied = { values: values.map(each => strength * each), dims };
    encoded = await engine.encode(tile, size, joined(maps), applied);
  }
  const image = await decode(engine, encoded.features, joined(features), shares, styles, alpha);
  const painted = cropped(image, size[1], inner);
  if (network.recolors) matchColors(painted, pixels, wanted, alpha, places);
  const extent = places && places[0].map((_, at) =>
    places.reduce((sum, each) => sum + each[at], 0));
  for (let i = 0; i < painted.length; i++) painted[i] = unit(painted[i]);
  finish(painted, pixels, inner, order, extent);
  // The network gives a photo back nearly, not exactly.
  if (!extent && Math.abs(alpha) >= UNTOUCHED) return painted;
  for (let i = 0; i < painted.length; i++) {
    const applied = Math.abs(alpha) * (extent ? extent[Math.floor(i / 3)] : 1);
    painted[i] = pixels[i] + Math.min(applied / UNTOUCHED, 1) * (painted[i] - pixels[i]);
  }
  return painted;
}

/** Return the image: each style by what was learnt of it, what the photo keeps by the base. */
async function decode(engine, features, maps, shares, styles, alpha) {
  const keys = styles.map(({ adapter }) => adapter && alpha > 0 ? adapter.key : '');
  const images = new Map();
  for (const key of new Set(keys)) {
    const { adapter } = styles[keys.indexOf(key)];
    images.set(key, await engine.decode(features, maps, shares, key ? adapter : null, alpha));
  }
  if (images.size === 1 && shares[0] === EVERYWHERE) return images.get(keys[0]);
  if (!images.has('')) images.set('', await engine.decode(features, maps, shares, null, alpha));
  if (images.size === 1) return images.get('');
  const base = images.get(''), result = new Float32Array(base.length), { values } = shares[0];
  const count = base.length / 3;
  for (let at = 0; at < count; at++) {
    let left = 1;
    for (const [k, key] of keys.entries()) {
      const part = values[k * count + at], image = images.get(key);
      left -= part;
      for (let c = 3 * at; c < 3 * at + 3; c++) result[c] += part * image[c];
    }
    for (let c = 3 * at; c < 3 * at + 3; c++) result[c] += left * base[c];
  }
  return result;
}

function contents({ means, variances }) {
  return means.map((mean, i) => statistics(mean, variances[i]));
}

function share(value) {
  return { values: Float32Array.of(value), dims: [1, 1, 1] };
}

function joined(parts) {
  const whole = new Float32Array(parts.length * parts[0].length);
  parts.forEach((part, i) => whole.set(part, i * part.length));
  return whole;
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

/** Return the shares at each layer: the means of the pixels that a position stands for. */
function layerShares(places, inner, [height, width], layers) {
  const padded = places.map(each => mirroredPlane(each, inner, [height, width]));
  return Array.from({ length: layers }, (_, i) => {
    const step = 2 ** i, across = width / step, down = height / step;
    const values = new Float32Array(places.length * across * down);
    for (const [k, each] of padded.entries()) {
      for (let y = 0; y < height; y++) {
        const row = (k * down + Math.floor(y / step)) * across;
        for (let x = 0; x < width; x++) {
          values[row + Math.floor(x / step)] += each[y * width + x] / (step * step);
        }
      }
    }
    return { values, dims: [places.length, down, across] };
  });
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

function back(at, side) {
  return at < side ? at : 2 * side - 2 - at;
}

/** Return pixels, mirrored beyond their end to whole positions of the deepest layer. */
function mirrored(pixels, [height, width]) {
  const size = [height, width].map(each => Math.ceil(each / STRIDE) * STRIDE);
  if (size[0] === height && size[1] === width) return { tile: pixels, size };
  const tile = new Float32Array(size[0] * size[1] * 3);
  for (let y = 0, to = 0; y < size[0]; y++) {
    for (let x = 0; x < size[1]; x++) {
      const from = 3 * (back(y, height) * width + back(x, width));
      for (let c = 0; c < 3; c++) tile[to++] = pixels[from + c];
    }
  }
  return { tile, size };
}

function mirroredPlane(values, [height, width], size) {
  const result = new Float32Array(size[0] * size[1]);
  for (let y = 0, to = 0; y < size[0]; y++) {
    for (let x = 0; x < size[1]; x++) result[to++] = values[back(y, height) * width + back(x, width)];
  }
  return result;
}

function cropped(image, across, [height, width]) {
  if (across === width) return image.slice(0, 3 * height * width);
  const pixels = new Float32Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    pixels.set(image.subarray(3 * y * across, 3 * (y * across + width)), 3 * y * width);
  }
  return pixels;
}
