// Colours: mean and covariance of pixels, and the maps that give a picture those of another.
// As adain/styles/colors.py, adain/styles/recoloring.py, adain/painting/matching.py do it.

import { unit } from './numbers.js';

const RECOLOR = { ridge: 3e-4, gains: [0.1, 3] };
const MATCH = { ridge: 1e-5, gains: [0, 3] };
const LOW = -0.5, HIGH = 1.5;
const LUMA = [0.299, 0.587, 0.114];
const VIVID = { most: 0.3, colorful: 0.12 };

/**
 * Return the mean (3) and covariance (9) of pixels, RGB in one row; null of none.
 *
 * @param limits between which values count as they are
 * @param weights how much each pixel counts, by default all alike
 */
export function measureColors(pixels, limits = [-Infinity, Infinity], weights = null) {
  const [low, high] = limits;
  let count = 0, tr = 0, tg = 0, tb = 0, rr = 0, rg = 0, rb = 0, gg = 0, gb = 0, bb = 0;
  for (let at = 0, i = 0; at < pixels.length; at += 3, i++) {
    const weight = weights ? weights[i] : 1;
    // Sums of small numbers lose less.
    const r = Math.min(Math.max(pixels[at], low), high) - 0.5;
    const g = Math.min(Math.max(pixels[at + 1], low), high) - 0.5;
    const b = Math.min(Math.max(pixels[at + 2], low), high) - 0.5;
    count += weight;
    tr += weight * r; tg += weight * g; tb += weight * b;
    rr += weight * r * r; rg += weight * r * g; rb += weight * r * b;
    gg += weight * g * g; gb += weight * g * b; bb += weight * b * b;
  }
  if (!count) return null;
  return distribution([tr, tg, tb].map(each => each / count),
    [rr, rg, rb, gg, gb, bb].map(each => each / count), 0.5);
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

/** Return the colours of results in a style: more chroma where it is little. */
function vivid({ mean, covariance }) {
  const chroma = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(at => (at % 4 ? 0 : 1) - LUMA[at % 3]);
  const products = covariance.map((each, at) => each + mean[Math.floor(at / 3)] * mean[at % 3]);
  const spread = product(product(chroma, products), transposed(chroma));
  const squares = Math.max((spread[0] + spread[4] + spread[8]) / 3, 0);
  const gain = VIVID.most * Math.max(1 - Math.sqrt(squares) / VIVID.colorful, 0);
  const change = chroma.map((each, at) => (at % 4 ? 0 : 1) + gain * each);
  return { mean: [0, 3, 6].map(row => mean.reduce((sum, each, i) => sum + change[row + i] * each, 0)),
    covariance: product(product(change, covariance), transposed(change)) };
}

function transposed(matrix) {
  return [0, 3, 6, 1, 4, 7, 2, 5, 8].map(at => matrix[at]);
}

/** Return colours between those of a photo, at 0, and of a style, at 1 and beyond. */
function blend(photo, style, alpha) {
  const share = Math.min(Math.max(alpha, 0), 1);
  const mix = (a, b) => a.map((each, i) => each + share * (b[i] - each));
  return { mean: mix(photo.mean, style.mean),
    covariance: mix(photo.covariance, style.covariance) };
}

/**
 * Give what was painted, in place, the colours of its styles, at less than full strength some of
 * those of the photo.
 *
 * @param styles colours of each style
 * @param places the share of each style at each pixel, or null for one style everywhere
 */
export function matchColors(painted, photo, styles, alpha, places = null) {
  const maps = styles.map((style, i) => {
    const before = alpha >= 1 ? null : measureColors(photo, undefined, places?.[i]);
    const found = measureColors(painted, [LOW, HIGH], places?.[i]);
    if (!found) return null;  // A style that has no place.
    const wanted = vivid(style);
    return affine(found, before ? blend(before, wanted, alpha) : wanted, MATCH);
  });
  for (let at = 0; at < painted.length; at += 3) {
    const red = Math.min(Math.max(painted[at], LOW), HIGH);
    const green = Math.min(Math.max(painted[at + 1], LOW), HIGH);
    const blue = Math.min(Math.max(painted[at + 2], LOW), HIGH);
    let r = red, g = green, b = blue;
    for (let i = 0; i < maps.length; i++) {
      const map = maps[i];
      if (!map) continue;
      const share = places ? places[i][at / 3] : 1;
      r += share * (map[0] * red + map[1] * green + map[2] * blue + map[9] - red);
      g += share * (map[3] * red + map[4] * green + map[5] * blue + map[10] - green);
      b += share * (map[6] * red + map[7] * green + map[8] * blue + map[11] - blue);
    }
    painted[at] = unit(r);
    painted[at + 1] = unit(g);
    painted[at + 2] = unit(b);
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
export function transport(source, target, [least, largest]) {
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
