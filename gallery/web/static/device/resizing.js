// Interpolation of rows of RGB and of planes, as adain/imaging/interpolation.py does it.

import { rounded } from './numbers.js';

/** Return pixels (h, w, 3) at another size, without aliases. */
export function resized(pixels, [h, w], [height, width]) {
  if (h === height && w === width) return pixels;
  const result = new Float32Array(height * width * 3);
  for (const [y, row] of scaledRows(pixels, w, antialiased(h, height), antialiased(w, width))) {
    result.set(row, 3 * y * width);
  }
  return result;
}

/** Yield the rows of pixels that are enlarged; positions beyond the border repeat it. */
export function enlargedRows(pixels, [h, w], [height, width]) {
  return scaledRows(pixels, w, repeating(h, height), repeating(w, width));
}

function* scaledRows(pixels, w, rows, columns) {
  const width = columns.length, line = 3 * width, h = pixels.length / (3 * w);
  const wide = new Float32Array(h * line);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < width; x++) {
      const { taps, weights } = columns[x], to = y * line + 3 * x;
      for (let k = 0; k < taps.length; k++) {
        const from = 3 * (y * w + taps[k]), weight = weights[k];
        wide[to] += weight * pixels[from];
        wide[to + 1] += weight * pixels[from + 1];
        wide[to + 2] += weight * pixels[from + 2];
      }
    }
  }
  for (const [y, { taps, weights }] of rows.entries()) {
    const row = new Float32Array(line);
    for (let k = 0; k < taps.length; k++) {
      const from = taps[k] * line, weight = weights[k];
      for (let i = 0; i < line; i++) row[i] += weight * wide[from + i];
    }
    yield [y, row];
  }
}

/** Return a plane (h, w) at another size, linear between its values, without aliases. */
export function scaledPlane(values, [h, w], [height, width]) {
  if (h === height && w === width) return values;
  return separable(values, w, antialiased(h, height, LINEAR), antialiased(w, width, LINEAR));
}

/** Return a plane blurred by a Gaussian; at the border its window is cut. */
export function blurred(values, [height, width], sigma) {
  const radius = Math.max(1, rounded(3 * sigma));
  const kernel = { reach: radius, weight: x => Math.exp(-0.5 * (x / sigma) ** 2) };
  return separable(values, width, antialiased(height, height, kernel),
    antialiased(width, width, kernel));
}

function separable(values, w, rows, columns) {
  const width = columns.length, h = values.length / w;
  const wide = new Float32Array(h * width), result = new Float32Array(rows.length * width);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < width; x++) {
      const { taps, weights } = columns[x];
      for (let k = 0; k < taps.length; k++) wide[y * width + x] += weights[k] * values[y * w + taps[k]];
    }
  }
  for (const [y, { taps, weights }] of rows.entries()) {
    for (let k = 0; k < taps.length; k++) {
      const from = taps[k] * width, weight = weights[k];
      for (let x = 0; x < width; x++) result[y * width + x] += weight * wide[from + x];
    }
  }
  return result;
}

const CUBIC = { reach: 2, weight: x => cubic(x, -0.5) };
const LINEAR = { reach: 1, weight: x => Math.max(1 - Math.abs(x), 0) };

/** Return what new places are made of: the old ones within a kernel's reach, cut at the ends. */
function antialiased(old, size, kernel = CUBIC) {
  const scale = Math.max(old / size, 1), reach = kernel.reach * scale;
  return places(old, size).map(place => {
    const taps = around(place, reach).filter(each => each >= 0 && each < old
      && Math.abs(each - place) <= reach);
    const weights = taps.map(each => kernel.weight((each - place) / scale));
    const sum = weights.reduce((a, b) => a + b);
    return { taps, weights: weights.map(each => each / sum) };
  });
}

function repeating(old, size) {
  return places(old, size).map(place => {
    const taps = around(place, 2);
    return { taps: taps.map(each => Math.min(Math.max(each, 0), old - 1)),
      weights: taps.map(each => cubic(each - place, -0.75)) };
  });
}

function places(old, size) {
  return Array.from({ length: size }, (_, i) => (i + 0.5) * (old / size) - 0.5);
}

function around(place, reach) {
  const first = Math.ceil(place - reach);
  return Array.from({ length: Math.floor(2 * reach) + 1 }, (_, i) => first + i);
}

function cubic(distance, a) {
  const x = Math.abs(distance);
  if (x <= 1) return (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1;
  return x < 2 ? a * (x ** 3 - 5 * x ** 2 + 8 * x - 4) : 0;
}
