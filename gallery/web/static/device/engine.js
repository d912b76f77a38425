// The network: one ONNX graph for each stage, run by onnxruntime-web on a whole tile.
// As adain/engine/onnx_engine.py, which cuts each stage into bands: here that gains no time.

import { merged } from './tensors.js';

const KEPT = 3;  // Decoders with an adapter at a strength, ready to run.

export class Engine {
  /**
   * @param ort onnxruntime-web
   * @param network what network.json says
   * @param weights tensors of the network, by name
   * @param graphs content of each graph, by name
   * @param tilePixels most that are painted at a time
   *
   * It paints once `open` is done.
   */
  constructor(ort, network, weights, graphs, tilePixels) {
    this.ort = ort;
    this.network = network;
    this.weights = weights;
    this.graphs = graphs;
    this.tilePixels = tilePixels;
    this.encoders = null;
    this.decoders = new Map();
  }

  /** Make ready what every picture needs. */
  async open() {
    this.encoders = Promise.all(this.network.encode.map(name => this.session(name, this.weights)));
    await Promise.all([this.encoders, this.decoder('decode', null, 1)]);
  }

  /**
   * Return what each layer keeps, with mean and variance of its channels.
   *
   * @param tile RGB, sides multiples of 8
   * @param colors matrix and shift for each style, 12 numbers
   * @param shares { values, dims }: how far each pixel is recolored for each style
   * @param core top, bottom, left and right of what is measured
   */
  async encode(tile, [height, width], colors, shares, [top, bottom, left, right]) {
    const features = [], means = [], variances = [];
    let passed = this.floats(tile, [height, width, 3]);
    for (const [i, session] of (await this.encoders).entries()) {
      const given = { rows: range(height >> i, top >> i, bottom >> i),
        columns: range(width >> i, left >> i, right >> i) };
      const feeds = { pads: this.pads() };
      for (const [name, values] of Object.entries(given)) {
        feeds[name] = this.floats(values, [values.length]);
      }
      if (i) feeds.features = passed;
      else {
        feeds.tile = passed;
        feeds.colors = this.floats(colors, [colors.length / 12, 12]);
        feeds.shares = this.floats(shares.values, shares.dims);
      }
      const results = await session.run(feeds);
      const [mean, variance, layer, pooled] = session.outputNames.map(name => results[name]);
      means.push(mean.data);
      variances.push(variance.data);
      features.push(layer);
      passed = pooled;
    }
    return { features, means, variances };
  }

  /**
   * Return what features are painted as, (h, w, 3), unclamped.
   *
   * @param maps those of each style, one after the other
   * @param shares { values, dims } of each layer
   */
  async decode(features, maps, shares, adapter, alpha) {
    const count = shares[0].dims[0];
    const kind = shares[0].values.length > 1 ? 'blend' : 'decode';
    const style = this.floats(maps, [count, maps.length / count]);
    let painted;
    for (const [stage, session] of await this.decoder(kind, adapter, alpha)) {
      const share = shares[stage.depth - 1];
      const feeds = { style, shares: this.floats(share.values, share.dims), pads: this.pads() };
      if (stage.adds) feeds.photo = features[stage.depth - 1];
      if (painted) feeds.features = painted;
      const results = await session.run(feeds);
      painted = results[session.outputNames[0]];
    }
    return painted.data;
  }

  /** Return the stages of the decoder with an adapter merged, of which some are kept. */
  decoder(kind, adapter, alpha) {
    const strength = adapter ? Math.min(Math.max(alpha, 0), 1) : 0;
    const key = strength ? `${adapter.key} ${strength} ${kind}` : kind;
    if (!this.decoders.has(key)) this.decoders.set(key, this.openDecoder(kind, adapter, strength));
    const found = this.decoders.get(key);
    this.decoders.delete(key);
    this.decoders.set(key, found);
    for (const old of [...this.decoders.keys()].filter(each => each.includes(' ')).slice(0, -KEPT)) {
      this.decoders.get(old).then(stages => stages.forEach(([, session]) => session.release()),
        () => {});
      this.decoders.delete(old);
    }
    found.catch(() => this.decoders.delete(key));
    return found;
  }

  async openDecoder(kind, adapter, strength) {
    const weights = strength ? merged(this.weights, prefixed(adapter.tensors), strength)
      : this.weights;
    return Promise.all(this.network.decode.map(
      async stage => [stage, await this.session(`${kind}${stage.depth}`, weights)]));
  }

  session(name, weights) {
    const wanted = name.startsWith('encode') ? /^encoder\./ : /^(decoder\.|encoder\.conv1_1\.)/;
    const externalData = Object.entries(weights).filter(([path]) => wanted.test(path))
      .map(([path, { values }]) => (
        { path, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) }));
    // Pictures of any size would each keep memory of their own.
    return this.ort.InferenceSession.create(this.graphs[name], { externalData,
      executionProviders: ['wasm'], logSeverityLevel: 3,
      enableCpuMemArena: false, enableMemPattern: false });
  }

  floats(values, shape) {
    return new this.ort.Tensor('float32', values, shape);
  }

  /** Features are mirrored at the border of the picture, in rows as in columns. */
  pads() {
    return new this.ort.Tensor('int64', BigInt64Array.from([0, 0, 1, 1, 0, 0, 1, 1], BigInt), [8]);
  }
}

/** Return which positions of a side count. */
function range(count, from, to) {
  return new Float32Array(count).fill(1, from, to);
}

function prefixed(tensors) {
  return Object.fromEntries(Object.entries(tensors).map(([k, v]) => [`decoder.${k}`, v]));
}
