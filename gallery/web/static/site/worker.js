// Paints off the page's thread: opens the network once, then answers one message after another.

import { Engine } from './engine.js';
import { measure, paint } from './painting.js';
import { readTensors } from './tensors.js';

let engine, version, shown;
const at = path => new URL(`../${path}?${version}`, import.meta.url).href;
let last = Promise.resolve();

const ANSWERS = {
  async open({ threads, version: given }) {
    version = given;
    engine ??= open(threads);
    try {
      await engine;
    } catch (error) {
      engine = undefined;  // It can be tried again.
      throw error;
    }
    return {};
  },
  /** Paint the photo that is given, or the last one. */
  async paint({ photo, vector, adapter, key, alpha, side, draft }) {
    const tensors = adapter && readTensors(adapter).tensors;
    const style = { vector, adapter: tensors && { key, tensors } };
    shown = photo ?? shown;
    const begun = performance.now();
    const picture = await paint(await engine, shown, style, alpha, side, draft);
    return { picture, milliseconds: performance.now() - begun };
  },
  async measure({ painting }) {
    return { vector: await measure(await engine, painting) };
  },
};

self.addEventListener('message', ({ data }) => {
  // The runtime takes one picture at a time.
  last = last.then(async () => {
    try {
      const answer = await ANSWERS[data.kind](data);
      const moved = answer.picture ? [answer.picture.data.buffer] : [];
      self.postMessage({ id: data.id, ...answer }, moved);
    } catch (error) {
      self.postMessage({ id: data.id, error: String(error?.message ?? error) });
    }
  });
});

async function open(threads) {
  const [ort, wasm, network, { tensors }] = await Promise.all([
    import('../runtime/ort.wasm.min.mjs'),
    download('runtime/ort-wasm-simd-threaded.packed').then(unpacked),
    download('network/network.json').then(bytes => JSON.parse(new TextDecoder().decode(bytes))),
    download('network/weights.safetensors').then(readTensors),
  ]);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = new URL('../runtime/', import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated
    ? threads ?? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
  ort.env.logLevel = 'error';
  const names = [...network.encode, ...network.decode.map(stage => stage.graph)];
  const graphs = Object.fromEntries(await Promise.all(names.map(
    async name => [name, new Uint8Array(await download(`network/${name}.onnx`))])));
  const prefix = 'decoder.modulation.';
  const modulation = Object.entries(tensors).filter(([name]) => name.startsWith(prefix));
  network.modulation = modulation.length
    ? Object.fromEntries(modulation.map(([name, each]) => [name.slice(prefix.length), each])) : null;
  return new Engine(ort, network, tensors, graphs);
}

async function download(path) {
  const response = await fetch(at(path));
  if (!response.ok) throw new Error(`${path}: not there (${response.status})`);
  return response.arrayBuffer();
}

/** The runtime is packed, so that it is small from hosts that compress nothing, too. */
async function unpacked(bytes) {
  const [first, second] = new Uint8Array(bytes, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return bytes;  // The host has unpacked it.
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}
