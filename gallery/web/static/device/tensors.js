// Safetensors files, and the weights of a decoder with what was learnt of a painting added.

const HALVES = halves();

/** Read a safetensors file: its tensors by name, float32 or bytes, and its metadata. */
export function readTensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  if (length > buffer.byteLength - 8) throw new Error('the file ends too soon');
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const metadata = header.__metadata__ ?? {};
  delete header.__metadata__;
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(header)) {
    const bytes = buffer.slice(8 + length + start, 8 + length + end);
    const values = dtype === 'U8' ? new Uint8Array(bytes) : dtype === 'F16'
      ? whole(new Uint16Array(bytes)) : new Float32Array(bytes);
    tensors[name] = { shape, values };
  }
  return { tensors, metadata };
}

/** Return the weights of a decoder with the differences of an adapter added, to a degree. */
export function merged(decoder, adapter, strength) {
  const weights = { ...decoder };
  for (const [name, { shape, values }] of Object.entries(decoder)) {
    const whole = adapter[name], up = adapter[`${name}.up`], scale = adapter[`${name}.scale`];
    if (!whole && !up && !scale) continue;
    const change = whole ? whole.values.slice() : up ? low(up, adapter[`${name}.down`])
      : new Float32Array(values.length);
    if (scale) {
      const each = values.length / shape[0];
      for (let i = 0; i < values.length; i++) {
        change[i] += scale.values[Math.floor(i / each)] * values[i];
      }
    }
    weights[name] = { shape, values: values.map((value, i) => value + strength * change[i]) };
  }
  return weights;
}

/** Return the product of the two factors of a difference of low rank. */
function low(up, down) {
  const [outputs, rank] = up.shape, inputs = down.values.length / rank;
  const result = new Float32Array(outputs * inputs);
  for (let o = 0; o < outputs; o++) {
    for (let r = 0; r < rank; r++) {
      const factor = up.values[o * rank + r];
      for (let i = 0; i < inputs; i++) {
        result[o * inputs + i] += factor * down.values[r * inputs + i];
      }
    }
  }
  return result;
}

function whole(bits) {
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = HALVES[bits[i]];
  return values;
}

/** Return the number that each pattern of 16 bits stands for. */
function halves() {
  return Float32Array.from({ length: 65536 }, (_, bits) => {
    const exponent = bits >> 10 & 31, fraction = bits & 1023, sign = bits >> 15 ? -1 : 1;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15)
      : fraction / 1024 * 2 ** -14);
  });
}
