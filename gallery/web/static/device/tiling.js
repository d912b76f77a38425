// Photos of any size in bounded memory, equal to one pass over the whole photo.
// As adain/painting/tiling.py does it.

import { statistics, styleMaps } from './maps.js';

const STRIDE = 8;      // Pixels that a position of the deepest layer stands for.
const MOST_CUTS = 32;  // Of a side.
const EVERYWHERE = { values: Float32Array.of(1), dims: [1, 1, 1] };

/**
 * Return what a photo of whole strides is painted as, unclamped, without what was mirrored.
 *
 * @param photo from `wholePhoto`
 * @param inner height and width of the photo itself
 * @param maps what recolors the photo for each style, 12 numbers
 * @param told awaited after each step, with the share that is done; what it throws ends the work
 */
export async function paintTiles(engine, photo, inner, { styles, alpha }, maps, told) {
  const { network } = engine, { size, places } = photo;
  const boxes = planTiles(engine, size);
  const strength = network.recolors ? alpha : 0, total = boxes.length * (styles.length + 1);
  let done = 0, encoded = null;
  const step = () => told((done += 1) / total);
  const parts = [];
  for (const [i, { vector }] of styles.entries()) {
    const measured = await measureTiles(engine, photo, boxes, maps[i], strength, step);
    parts.push(styleMaps(measured.contents, vector, network, alpha));
    encoded = measured.encoded;
  }
  const features = joined(parts), colors = joined(maps);
  const painted = new Float32Array(3 * inner[0] * inner[1]);
  for (const box of boxes) {
    const seen = grown(box, network.reach, size);
    const shares = places ? layerShares(places, size, seen, network.encode.length)
      : network.encode.map(() => EVERYWHERE);
    if (places || boxes.length > 1) {
      const { values, dims } = shares[0];
      const applied = { values: values.map(each => strength * each), dims };
      encoded = await encode(engine, photo, seen, box, colors, applied);
    }
    const image = await decode(engine, encoded.features, features, shares, styles, alpha);
    put(painted, inner, image, seen, box);
    await step();
  }
  return painted;
}

/** Return mean and deviation of each layer of a picture from `wholePhoto` that is not recolored. */
export async function measureWhole(engine, picture) {
  const boxes = planTiles(engine, picture.size);
  const { contents } = await measureTiles(engine, picture, boxes, new Float32Array(12), 0);
  return contents;
}

/**
 * Return a photo of whole strides, mirrored beyond its end.
 *
 * @param pixels RGB
 * @param size height and width
 * @param places how far each style holds at each pixel, or null for one style everywhere
 * @returns { pixels, size, places }
 */
export function wholePhoto(pixels, size, places = null) {
  const whole = size.map(wholeStrides), mirror = values => mirrored(values, size, whole);
  return { pixels: mirror(pixels), size: whole, places: places && places.map(mirror) };
}

/** Return mean and deviation of each layer, and what the last tile was encoded as. */
async function measureTiles(engine, photo, boxes, colors, strength, step = () => {}) {
  const share = { values: Float32Array.of(strength), dims: [1, 1, 1] };
  let moments = null, encoded = null;
  for (const box of boxes) {
    const seen = grown(box, engine.network.encoderReach, photo.size);
    encoded = await encode(engine, photo, seen, box, colors, share);
    moments = merged(moments, { ...encoded, count: pixelCount(box) });
    await step();
  }
  const { means, variances } = moments;
  return { contents: means.map((mean, i) => statistics(mean, variances[i])), encoded };
}

function encode(engine, { pixels, size }, seen, box, colors, shares) {
  const [top, , left] = seen;
  const core = box.map((each, i) => each - (i < 2 ? top : left));
  return engine.encode(part(pixels, size, seen), sides(seen), colors, shares, core);
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
      const share = values[k * count + at], image = images.get(key);
      left -= share;
      for (let c = 3 * at; c < 3 * at + 3; c++) result[c] += share * image[c];
    }
    for (let c = 3 * at; c < 3 * at + 3; c++) result[c] += left * base[c];
  }
  return result;
}

/** Return the shares of each style in a part, the means of what a position of each layer stands for. */
function layerShares(places, size, seen, layers) {
  const [height, width] = sides(seen);
  const parts = places.map(each => part(each, size, seen));
  return Array.from({ length: layers }, (_, i) => {
    const step = 2 ** i, across = width / step, down = height / step;
    const values = new Float32Array(places.length * across * down);
    for (const [k, each] of parts.entries()) {
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

/** Return the moments of both parts together. */
function merged(first, second) {
  if (!first) return second;
  const count = first.count + second.count, share = second.count / count;
  const means = [], variances = [];
  for (const [i, mean] of first.means.entries()) {
    const apart = mean.map((each, c) => second.means[i][c] - each);
    means.push(mean.map((each, c) => each + share * apart[c]));
    variances.push(first.variances[i].map((each, c) =>
      each + share * (second.variances[i][c] - each) + share * (1 - share) * apart[c] ** 2));
  }
  return { means, variances, count };
}

function joined(parts) {
  const whole = new Float32Array(parts.length * parts[0].length);
  parts.forEach((each, i) => whole.set(each, i * each.length));
  return whole;
}

// Boxes: top, bottom, left and right of a part, in pixels

/** Cut a photo, so that tiles with their margins are small and cost the least. */
function planTiles({ network: { reach }, tilePixels }, size) {
  const [down, across] = size.map(side =>
    Array.from({ length: MOST_CUTS }, (_, i) => cuts(side, i + 1)));
  let best = null;
  for (const rows of down) {
    for (const columns of across) {
      const [tall, wide] = [rows, columns].map(each => each[1] + 2 * reach * (each.length > 2));
      const [height, width] = [rows, columns].map(each => each.at(-1) + 2 * reach * (each.length - 2));
      const work = height * width;
      if (tall * wide <= tilePixels && !(best?.work <= work)) best = { work, rows, columns };
    }
  }
  const ranges = each => each.slice(1).map((end, i) => [each[i], end]);
  return ranges(best.rows).flatMap(rows => ranges(best.columns).map(each => [...rows, ...each]));
}

function cuts(side, count) {
  const size = wholeStrides(side / count);
  return [...Array.from({ length: Math.ceil(side / size) }, (_, i) => i * size), side];
}

function grown([top, bottom, left, right], margin, [height, width]) {
  return [Math.max(top - margin, 0), Math.min(bottom + margin, height),
    Math.max(left - margin, 0), Math.min(right + margin, width)];
}

function sides([top, bottom, left, right]) {
  return [bottom - top, right - left];
}

function pixelCount(box) {
  const [height, width] = sides(box);
  return height * width;
}

function wholeStrides(side) {
  return Math.ceil(side / STRIDE) * STRIDE;
}

/** Return what a photo has at each pixel, mirrored beyond its end. */
function mirrored(values, [height, width], whole) {
  if (whole[0] === height && whole[1] === width) return values;
  const depth = values.length / (height * width);
  const result = new Float32Array(whole[0] * whole[1] * depth);
  for (let y = 0, to = 0; y < whole[0]; y++) {
    const row = back(y, height) * width;
    for (let x = 0; x < whole[1]; x++) {
      for (let c = 0, from = depth * (row + back(x, width)); c < depth; c++) result[to++] = values[from++];
    }
  }
  return result;
}

function back(at, side) {
  return at < side ? at : 2 * side - 2 - at;
}

/** Return what a part of a photo has at each pixel. */
function part(values, [height, width], [top, bottom, left, right]) {
  if (!top && !left && bottom === height && right === width) return values;
  const depth = values.length / (height * width), line = depth * (right - left);
  const result = new Float32Array((bottom - top) * line);
  for (let y = top; y < bottom; y++) {
    const from = depth * (y * width + left);
    result.set(values.subarray(from, from + line), (y - top) * line);
  }
  return result;
}

/** Put the core of a painted part where it belongs. */
function put(painted, [height, width], image, seen, [top, bottom, left, right]) {
  const across = seen[3] - seen[2], end = Math.min(right, width);
  for (let y = top; y < Math.min(bottom, height); y++) {
    const from = (y - seen[0]) * across + left - seen[2];
    painted.set(image.subarray(3 * from, 3 * (from + end - left)), 3 * (y * width + left));
  }
}
