// Mixtures of styles: one style, whatever the number of parts.
// As adain/styles/statistics.py and adapter.py do it.

import { colorsOfVector, colorsToVector } from './colors.js';
import { splitVector } from './maps.js';
import { unit } from './numbers.js';

const LEAST = Math.sqrt(1e-5);  // No picture has smaller deviations.

/** Return styles { vector, adapter: { key, tensors } or null } as one, by their weights. */
export function mixture(styles, weights, widths) {
  if (styles.length === 1) return styles[0];
  const sum = weights.reduce((a, b) => a + b);
  const shares = weights.map(each => each / sum);
  const tensors = mixed(styles.map(({ adapter }) => adapter?.tensors ?? null), shares);
  const key = styles.map(({ adapter }, i) => `${adapter?.key ?? ''}=${shares[i]}`).join('+');
  return { vector: mixedVector(styles.map(({ vector }) => vector), shares, widths),
    adapter: tensors && { key, tensors } };
}

function mixedVector(vectors, shares, widths) {
  const mean = lists => Array.from(lists[0], (_, at) =>
    lists.reduce((sum, list, i) => sum + shares[i] * list[at], 0));
  const parts = vectors.map(vector => splitVector(vector, widths));
  const layers = widths.flatMap((_, i) => [...mean(parts.map(({ layers }) => layers[i].mean)),
    ...mean(parts.map(({ layers }) => layers[i].std)).map(each => Math.max(each, LEAST))]);
  const colors = parts.map(({ colors }) => colorsOfVector(colors));
  const mixedColors = { mean: mean(colors.map(each => each.mean)).map(unit),
    covariance: mean(colors.map(each => each.covariance)) };
  return Float32Array.from([...layers, ...colorsToVector(mixedColors)]);
}

/** Return a mixture of adapters by shares that add up to 1; null is no difference. */
function mixed(adapters, shares) {
  const parts = adapters.map((each, i) => [each, shares[i]]).filter(([each]) => each);
  if (!parts.length) return null;
  const names = new Set(parts.flatMap(([each]) => Object.keys(each)));
  return Object.fromEntries([...names].map(name => {
    const found = parts.filter(([each]) => each[name]).map(([each, share]) => (
      [each[name], name.endsWith('.down') ? 1 : share]));
    if (name.endsWith('.up') || name.endsWith('.down')) return [name, stacked(found, name)];
    const values = new Float32Array(found[0][0].values.length);
    for (const [each, share] of found) each.values.forEach((value, i) => { values[i] += share * value; });
    return [name, { shape: found[0][0].shape, values }];
  }));
}

/** Return factors of low rank one beside the other: `.up` (O, r) in columns, `.down` in rows. */
function stacked(found, name) {
  const parts = found.map(([{ shape, values }, share]) => (
    { shape, values: values.map(value => share * value) }));
  const rank = parts.reduce((sum, { shape }) => sum + shape[name.endsWith('.up') ? 1 : 0], 0);
  if (name.endsWith('.down')) {
    return { shape: [rank, parts[0].shape[1]],
      values: Float32Array.from(parts.flatMap(({ values }) => [...values])) };
  }
  const [outputs] = parts[0].shape, values = new Float32Array(outputs * rank);
  for (let o = 0, to = 0; o < outputs; o++) {
    for (const part of parts) {
      const each = part.shape[1];
      values.set(part.values.subarray(o * each, (o + 1) * each), to);
      to += each;
    }
  }
  return { shape: [outputs, rank], values };
}
