// Colours: mean and covariance of pixels, and the maps that give a picture those of another.
// As adain/styles/colors.py, adain/styles/recoloring.py, adain/painting/matching.py do it.

const RECOLOR = { ridge: 3e-4, gains: [0.1, 3] };
const MATCH = { ridge: 1e-5, gains: [0, 3] };
const LOW = -0.5, HIGH = 1.5;

/** Return the mean (3) and covariance (9) of pixels, RGB in one row; clipped if asked. */
export function measureColors(pixels, low = -Infinity, high = Infinity) {
  const total = [0, 0, 0], products = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < pixels.length; i += 3) {
    // Sums of small numbers lose less.
    const r = Math.min(Math.max(pixels[i], low), high) - 0.5;
    const g = Math.min(Math.max(pixels[i + 1], low), high) - 0.5;
    const b = Math.min(Math.max(pixels[i + 2], low), high) - 0.5;
    total[0] += r; total[1] += g; total[2] += b;
    products[0] += r * r; products[1] += r * g; products[2] += r * b;
    products[3] += g * g; products[4] += g * b; products[5] += b * b;
  }
  const count = pixels.length / 3;
  return distribution(total.map(each => each / count), products.map(each => each / count), 0.5);
}

/** Return the colours that the nine numbers at the end of a style vector stand for. */
export function colorsOfVector(vector) {
  const { mean, covariance } = distribution([...vector.slice(0, 3)], [...vector.slice(3)], 0);
  const { values, vectors } = eigen(covariance);
  return { mean, covariance: Math.min(...values) >= 0 ? covariance
    : symmetric(values.map(each => Math.max(each, 0)), vectors) };
}

export function colorsToVector({ mean, covariance }) {
  const products = [0, 1, 2, 4, 5, 8].map(at =>
    covariance[at] + mean[Math.floor(at / 3)] * mean[at % 3]);
  return Float32Array.from([...mean, ...products]);
}

function distribution(mean, products, add) {
  const covariance = [0, 1, 2, 1, 3, 4, 2, 4, 5].map((pair, at) =>
    products[pair] - mean[Math.floor(at / 3)] * mean[at % 3]);
  return { mean: mean.map(each => each + add), covariance };
}

/** Return what recolors a photo before it is encoded: a matrix, row by row, and a shift (12). */
export function colorTransfer(photo, style) {
  return Float32Array.from(affine(photo, style, RECOLOR));
}

/** Return colours between those of a photo, at 0, and of a style, at 1 and beyond. */
function blend(photo, style, alpha) {
  const share = Math.min(Math.max(alpha, 0), 1);
  const mix = (a, b) => a.map((each, i) => each + share * (b[i] - each));
  return { mean: mix(photo.mean, style.mean),
    covariance: mix(photo.covariance, style.covariance) };
}

/** Give what was painted, in place, the colours of a style, at less than full strength some of
    those of the photo. */
export function matchColors(painted, photo, style, alpha) {
  const wanted = alpha >= 1 ? style : blend(measureColors(photo), style, alpha);
  const [a, b, c, d, e, f, g, h, i, x, y, z] =
    affine(measureColors(painted, LOW, HIGH), wanted, MATCH);
  const unit = value => Math.min(Math.max(value, 0), 1);
  for (let at = 0; at < painted.length; at += 3) {
    const red = Math.min(Math.max(painted[at], LOW), HIGH);
    const green = Math.min(Math.max(painted[at + 1], LOW), HIGH);
    const blue = Math.min(Math.max(painted[at + 2], LOW), HIGH);
    painted[at] = unit(a * red + b * green + c * blue + x);
    painted[at + 1] = unit(d * red + e * green + f * blue + y);
    painted[at + 2] = unit(g * red + h * green + i * blue + z);
  }
}

function affine(source, target, { ridge, gains }) {
  const [from, to] = [source, target].map(each =>
    each.covariance.map((value, at) => value + (at % 4 ? 0 : ridge)));
  const matrix = transport(from, to, gains);
  const shift = [0, 3, 6].map((row, i) => target.mean[i] - matrix[row] * source.mean[0]
    - matrix[row + 1] * source.mean[1] - matrix[row + 2] * source.mean[2]);
  return [...matrix, ...shift];
}

/** Return the symmetric matrix T with T source T = target, its gains held to limits. */
function transport(source, target, [least, largest]) {
  const root = power(source, 0.5), inverse = power(source, -0.5);
  const middle = power(product(product(root, target), root), 0.5);
  const { values, vectors } = eigen(product(product(inverse, middle), inverse));
  return symmetric(values.map(each => Math.min(Math.max(each, least), largest)), vectors);
}

function power(matrix, exponent) {
  const { values, vectors } = eigen(matrix);
  return symmetric(values.map(each => Math.max(each, 1e-16) ** exponent), vectors);
}

function product(a, b) {
  return a.map((_, at) => {
    const row = at - at % 3, column = at % 3;
    return a[row] * b[column] + a[row + 1] * b[column + 3] + a[row + 2] * b[column + 6];
  });
}

function symmetric(values, vectors) {
  return Array.from({ length: 9 }, (_, at) => {
    const row = at - at % 3, column = 3 * (at % 3);
    return values.reduce((sum, value, k) => sum + vectors[row + k] * value * vectors[column + k], 0);
  });
}

/** Return eigenvalues and eigenvectors, in columns, of a symmetric 3x3 matrix: Jacobi's turns. */
function eigen(matrix) {
  const a = [...matrix], v = [1, 0, 0, 0, 1, 0, 0, 0, 1];
  const size = Math.hypot(...a) || 1;
  for (let sweep = 0; sweep < 30; sweep++) {
    if (Math.hypot(a[1], a[2], a[5]) <= 1e-17 * size) break;
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
      const off = (a[3 * p + q] + a[3 * q + p]) / 2;
      if (off === 0) continue;
      const theta = (a[4 * q] - a[4 * p]) / (2 * off);
      const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
      const c = 1 / Math.hypot(t, 1), s = t * c;
      turn(a, p, q, c, s, 3, 1);
      turn(a, p, q, c, s, 1, 3);
      turn(v, p, q, c, s, 1, 3);
    }
  }
  return { values: [a[0], a[4], a[8]], vectors: v };
}

/** Turn two rows (step 3, along 1) or two columns (step 1, along 3) of a matrix. */
function turn(a, p, q, c, s, step, along) {
  for (let k = 0; k < 3; k++) {
    const i = p * step + k * along, j = q * step + k * along;
    [a[i], a[j]] = [c * a[i] - s * a[j], s * a[i] + c * a[j]];
  }
}
