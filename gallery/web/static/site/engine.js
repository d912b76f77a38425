// The network: one ONNX graph for each stage, run by onnxruntime-web on a whole picture.
// As adain/engine/onnx_engine.py, which cuts each stage into bands.

import { merged } from './tensors.js';

const KEPT = 3;  // Decoders with an adapter at a strength, ready to run.

export class Engine {
  /**
   * @param ort onnxruntime-web
   * @param network what network.json says
   * @param weights tensors of the network, by name
   * @param graphs content of each graph, by name
   */
  constructor(ort, network, weights, graphs) {
    this.ort = ort;
    this.network = network;
    this.weights = weights;
    this.graphs = graphs;
    this.encoders = null;
    this.decoders = new Map();
  }

  /** Return what each layer keeps, with mean and variance of its channels. */
  async encode(tile, [height, width], colors, share) {
    this.encoders ??= Promise.all(this.network.encode.map(name => this.session(name, this.weights)));
    const features = [], means = [], variances = [];
    let passed = this.floats(tile, [height, width, 3]);
    for (const [i, session] of (await this.encoders).entries()) {
      const given = { rows: ones(height >> i), columns: ones(width >> i) };
      const feeds = { pads: this.pads() };
      for (const [name, values] of Object.entries(given)) {
        feeds[name] = this.floats(values, [values.length]);
      }
      if (i) feeds.features = passed;
      else {
        feeds.tile = passed;
        feeds.colors = this.floats(colors, [1, 12]);
        feeds.shares = this.floats(Float32Array.of(share), [1, 1, 1]);
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

  /** Return what features are painted as, (h, w, 3), unclamped. */
  async decode(features, maps, adapter, alpha) {
    const style = this.floats(maps, [1, maps.length]);
    const shares = this.floats(Float32Array.of(1), [1, 1, 1]);
    let painted;
    for (const [stage, session] of await this.decoder(adapter, alpha)) {
      const feeds = { style, shares, pads: this.pads() };
      if (stage.adds) feeds.photo = features[stage.depth - 1];
      if (painted) feeds.features = painted;
      const results = await session.run(feeds);
      painted = results[session.outputNames[0]];
    }
    return painted.data;
  }

  /** Return the stages of the decoder with an adapter merged, of which some are kept. */
  decoder(adapter, alpha) {
    const strength = adapter ? Math.min(Math.max(alpha, 0), 1) : 0;
    const key = strength ? `${adapter.key} ${strength}` : '';
    if (!this.decoders.has(key)) this.decoders.set(key, this.openDecoder(adapter, strength));
    const found = this.decoders.get(key);
    this.decoders.delete(key);
    this.decoders.set(key, found);
    for (const old of [...this.decoders.keys()].filter(Boolean).slice(0, -KEPT)) {
      this.decoders.get(old).then(stages => stages.forEach(([, session]) => session.release()),
        () => {});
      this.decoders.delete(old);
    }
    found.catch(() => this.decoders.delete(key));
    return found;
  }

  async openDecoder(adapter, strength) {
    const weights = strength ? merged(this.weights, prefixed(adapter.tensors), strength)
      : this.weights;
    return Promise.all(this.network.decode.map(
      async stage => [stage, await this.session(stage.graph, weights)]));
  }

  session(name, weights) {
    const externalData = Object.entries(weights).map(([path, { values }]) => (
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

function ones(count) {
  return new Float32Array(count).fill(1);
}

function prefixed(tensors) {
  return Object.fromEntries(Object.entries(tensors).map(([k, v]) => [`decoder.${k}`, v]));
}
