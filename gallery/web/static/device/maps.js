// What carries a style to one photo: scale and shift of each channel, and the modulation.
// As adain/painting/maps.py, adain/styles/normalization.py, adain/styles/modulation.py do it.

const EPS = 1e-5;
const REACH = 3, GAIN = 0.1;

/** Cut a style vector into mean and deviation of each layer; its colours come after them. */
export function splitVector(vector, widths) {
  const layers = [];
  let at = 0;
  for (const width of widths) {
    layers.push({ mean: vector.slice(at, at + width),
      std: vector.slice(at + width, at + 2 * width) });
    at += 2 * width;
  }
  return { layers, colors: vector.slice(at) };
}

/** Return mean and deviation of features whose mean and variance were measured. */
export function statistics(mean, variance) {
  return { mean, std: Float32Array.from(variance, each => Math.sqrt(each + EPS)) };
}

/** Return what is added to a scale of 1, and the shift, of each layer; then the modulation. */
export function styleMaps(contents, vector, network, alpha) {
  const { layers } = splitVector(vector, network.widths);
  const parts = layers.flatMap((style, i) => {
    const content = contents[i];
    const std = network.maxGain === null ? style.std : limited(style, content, network.maxGain);
    const gain = std.map((each, c) => each / content.std[c]);
    return [...gain.map(each => alpha * (each - 1)),
      ...gain.map((each, c) => alpha * (style.mean[c] - content.mean[c] * each))];
  });
  if (network.modulation) {
    parts.push(...modulated(network.modulation, vector).map(each => alpha * each));
  }
  return Float32Array.from(parts);
}

/** Return deviations that amplify no channel far more than the layer as a whole. */
function limited(style, content, limit) {
  const ratio = norm(style.std) / norm(content.std);
  return style.std.map((each, c) => Math.min(each, limit * ratio * content.std[c]));
}

function norm(values) {
  return Math.sqrt(values.reduce((sum, each) => sum + each * each, 0));
}

function modulated(tensors, vector) {
  const mean = tensors.style_mean.values, spread = tensors.style_spread.values;
  const values = mean.map((each, i) =>
    Math.min(Math.max((vector[i] - each) / spread[i], -REACH), REACH));
  const hidden = linear(tensors['hidden.weight'], tensors['hidden.bias'], values).map(Math.tanh);
  return linear(tensors['out.weight'], tensors['out.bias'], hidden).map(each => GAIN * each);
}

function linear(weight, bias, values) {
  return bias.values.map((each, row) => values.reduce(
    (sum, value, i) => sum + weight.values[row * values.length + i] * value, each));
}
