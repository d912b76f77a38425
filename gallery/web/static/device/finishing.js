// After the network: the photo's colours, the photo's edges.
// As adain/painting/finishing.py, adain/imaging/color.py and filters.py do it.

import { transport } from './colors.js';
import { rounded, unit } from './numbers.js';

const BINS = 4096;          // Steps of a histogram.
const MAX_GAIN = 4;         // Colour that a result lacks is amplified by no more: it would be noise.
const LUMA = [0.299, 0.587, 0.114];
const WINDOW_SHARE = 1 / 32, WINDOW_EPS = 1e-4;

/** Change a result, in place; only what is painted by `extent` counts for the colours. */
export function finish(painted, photo, size, { colors = 'none', photorealistic }, extent) {
  if (colors !== 'none') {
    const [before, after] = [photo, painted].map(pixels => measured(pixels, extent));
    KEEP[colors](painted, photo, before, after);
  }
  if (photorealistic) keepEdges(painted, photo, size);
}

const KEEP = { luminance: keepChroma, linear, histogram };

function measured(pixels, weights) {
  const histograms = [0, 1, 2].map(() => new Float64Array(BINS));
  const total = [0, 0, 0], products = new Array(9).fill(0);
  let count = 0;
  for (let at = 0, i = 0; at < pixels.length; at += 3, i++) {
    const weight = weights ? weights[i] : 1;
    count += weight;
    for (let c = 0; c < 3; c++) {
      const value = pixels[at + c];
      total[c] += weight * value;
      histograms[c][step(value)] += weight;
      for (let d = c; d < 3; d++) products[3 * c + d] += weight * value * pixels[at + d];
    }
  }
  const mean = total.map(each => each / Math.max(count, 1e-12));
  const covariance = products.map((_, at) => {
    const [row, column] = [Math.floor(at / 3), at % 3].sort();
    return products[3 * row + column] / Math.max(count, 1e-12) - mean[row] * mean[column];
  });
  return { mean, covariance, histograms };
}

function step(value) {
  return Math.min(Math.max(Math.trunc(value * BINS), 0), BINS - 1);
}

/** Join the luminance of the result and the chroma of the photo; what does not fit pales. */
function keepChroma(painted, photo, before, after) {
  const means = [before, after].map(({ mean }) => luma(mean, 0));
  const stds = [before, after].map(({ covariance }) => Math.sqrt(Math.max(0, LUMA.reduce(
    (sum, a, i) => sum + LUMA.reduce((part, b, j) => part + a * b * covariance[3 * i + j], 0), 0))));
  const scale = Math.min(stds[0] / Math.max(stds[1], 1e-6), MAX_GAIN);
  const shift = means[0] - scale * means[1];
  for (let at = 0; at < painted.length; at += 3) {
    const light = unit(scale * luma(painted, at) + shift), own = luma(photo, at);
    let fits = 1;
    for (let c = at; c < at + 3; c++) {
      const chroma = photo[c] - own;
      fits = Math.min(fits, (chroma > 0 ? 1 - light : light) / Math.max(Math.abs(chroma), 1e-6));
    }
    for (let c = at; c < at + 3; c++) painted[c] = unit(light + fits * (photo[c] - own));
  }
}

function luma(pixels, at) {
  return LUMA[0] * pixels[at] + LUMA[1] * pixels[at + 1] + LUMA[2] * pixels[at + 2];
}

/** Give the result the mean and covariance of the photo's colours. */
function linear(painted, _, before, after) {
  const noisy = after.covariance.map((each, at) => each + (at % 4 ? 0 : 1e-8));
  const matrix = transport(noisy, before.covariance, [0, MAX_GAIN]);
  const rows = [0, 3, 6].map((row, c) => {
    const line = matrix.slice(row, row + 3);
    return [...line, before.mean[c] - line.reduce((sum, each, d) => sum + each * after.mean[d], 0)];
  });
  for (let at = 0; at < painted.length; at += 3) {
    const [r, g, b] = painted.subarray(at, at + 3);
    rows.forEach(([x, y, z, shift], c) => { painted[at + c] = unit(x * r + y * g + z * b + shift); });
  }
}

/** Give each channel of the result the distribution that it has in the photo. */
function histogram(painted, _, before, after) {
  const tables = before.histograms.map((wanted, c) => quantiles(wanted, after.histograms[c]));
  for (let at = 0; at < painted.length; at++) painted[at] = tables[at % 3][step(painted[at])];
}

function quantiles(wanted, given) {
  const sums = [wanted, given].map(each => Math.max(each.reduce((a, b) => a + b), 1e-12));
  const reached = new Float64Array(BINS + 1);
  for (let i = 0; i < BINS; i++) reached[i + 1] = reached[i] + wanted[i] / sums[0];
  const table = new Float32Array(BINS);
  let share = 0, low = 0;
  for (let i = 0; i < BINS; i++) {
    // The quantile of the middle of a step: its ends can lie anywhere in a gap of the photo.
    share += given[i] / sums[1];
    const middle = share - given[i] / sums[1] / 2;
    while (low < BINS && reached[low + 1] <= middle) low++;
    const width = low < BINS ? reached[low + 1] - reached[low] : 0;
    table[i] = low >= BINS ? 1 : (low + (width ? (middle - reached[low]) / width : 0)) / BINS;
  }
  return table;
}

/** Filter the result with the photo as guide (He, Sun and Tang, 2010): its edges stay. */
function keepEdges(painted, photo, [height, width]) {
  const radius = Math.max(1, rounded(Math.max(height, width) * WINDOW_SHARE));
  const count = height * width;
  const mean = values => windowMeans(values, [height, width], radius);
  const of = value => mean(Float32Array.from({ length: count }, (_, i) => value(i)));
  const guide = [0, 1, 2].map(c =>
    Float32Array.from({ length: count }, (_, i) => photo[3 * i + c] - 0.5));
  const means = guide.map(mean);
  const pairs = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]];
  const squares = pairs.map(([a, b]) => of(i => guide[a][i] * guide[b][i]));
  pairs.forEach(([a, b], k) => {
    for (let i = 0; i < count; i++) {
      squares[k][i] += (a === b ? WINDOW_EPS : 0) - means[a][i] * means[b][i];
    }
  });
  for (let c = 0; c < 3; c++) {
    const image = of(i => painted[3 * i + c]);
    const slopes = guide.map((each, d) => {
      const product = of(i => each[i] * painted[3 * i + c]);
      for (let i = 0; i < count; i++) product[i] -= means[d][i] * image[i];
      return product;
    });
    solve(squares, slopes);
    for (let i = 0; i < count; i++) {
      image[i] -= slopes[0][i] * means[0][i] + slopes[1][i] * means[1][i] + slopes[2][i] * means[2][i];
    }
    const [x, y, z, offset] = [...slopes, image].map(mean);
    for (let i = 0; i < count; i++) {
      painted[3 * i + c] = unit(
        x[i] * guide[0][i] + y[i] * guide[1][i] + z[i] * guide[2][i] + offset[i]);
    }
  }
}

/** Solve symmetric, positive equations by Cholesky's method; the right sides become answers. */
function solve([as, bs, cs, ds, es, fs], [ps, qs, rs]) {
  for (let i = 0; i < as.length; i++) {
    const a = as[i], ab = bs[i] / a, ac = cs[i] / a;
    const d = ds[i] - ab * bs[i], e = es[i] - ab * cs[i], de = e / d;
    const f = fs[i] - ac * cs[i] - de * e;
    const p = ps[i], q = qs[i] - ab * p, r = rs[i] - ac * p - de * q;
    const z = r / f, y = q / d - de * z;
    ps[i] = p / a - ab * y - ac * z;
    qs[i] = y;
    rs[i] = z;
  }
}

/** Return the means over the windows around all pixels, cut at the border. */
function windowMeans(values, [height, width], radius) {
  const lines = new Float64Array(height * width), result = new Float32Array(height * width);
  running(values, lines, height, width, width, 1, radius);
  running(lines, result, width, height, 1, width, radius);
  return result;
}

function running(from, to, lines, length, stride, along, radius) {
  for (let line = 0; line < lines; line++) {
    const start = line * stride;
    let sum = 0;
    for (let i = 0; i < Math.min(radius, length); i++) sum += from[start + i * along];
    for (let i = 0; i < length; i++) {
      if (i + radius < length) sum += from[start + (i + radius) * along];
      if (i > radius) sum -= from[start + (i - radius - 1) * along];
      to[start + i * along] =
        sum / (Math.min(i + radius, length - 1) - Math.max(i - radius, 0) + 1);
    }
  }
}
