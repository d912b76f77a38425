// Paints off the page's thread: opens the network once, then answers one message after another.
// Its address names the version of what it fetches.

import { Engine } from './engine.js';
import { mixture } from './mixing.js';
import { BeyondDevice, measure, paint } from './painting.js';
import { readTensors } from './tensors.js';

const KEPT = 4;     // Photos whose pixels are kept,
const SMALL = 2e6;  // if they have no more.
const MODULE = '../runtime/ort-wasm-simd-threaded';

const at = path => new URL(path + self.location.search, import.meta.url).href;
const photos = new Map(), vectors = new Map();
let engine = null;
let stopped = null;  // What need not be painted to its end.
let last = Promise.resolve();
const fetched = runtime();
fetched.catch(() => {});  // Who asks for it is told.

const ANSWERS = {
  async open({ network, threads, tilePixels }) {
    engine = await open(network, threads, tilePixels);
    return { seen: performance.getEntriesByType('resource').map(({ name }) => name) };
  },

  /** Paint a photo; see `paint`. Without a format its pixels are the answer. */
  async paint({ id, photo, parts, masks, flatten, format, quality, ...order }) {
    const begun = performance.now();
    const styles = [];
    for (const each of parts) styles.push(await style(each));
    const one = masks?.length ? styles
      : [mixture(styles, parts.map(({ weight }) => weight), engine.network.widths)];
    const seen = await Promise.all((masks ?? []).map(mask => decoded(mask)));
    const pixels = await kept(photo);
    if (pixels.isClear && !flatten) throw new BeyondDevice('the photo is transparent');
    const picture = await paint(engine, pixels, { ...order, styles: one, masks: seen },
      share => told(id, share));
    const milliseconds = performance.now() - begun;
    if (!format) return { picture, milliseconds };
    return { blob: await encoded(picture, format, quality), milliseconds };
  },
};

self.addEventListener('message', ({ data }) => {
  if (data.kind === 'stop') {
    stopped = data.stop;
    return;
  }
  // The runtime takes one picture at a time.
  last = last.then(async () => {
    try {
      const answer = await ANSWERS[data.kind](data);
      self.postMessage({ id: data.id, ...answer },
        answer.picture ? [answer.picture.data.buffer] : []);
    } catch (error) {
      self.postMessage({ id: data.id, error: String(error?.message ?? error), code: code(error) });
    }
  });
});

/** Tell how far a picture is; between the steps messages are read, one of which may stop it. */
async function told(id, share) {
  self.postMessage({ id, share });
  await new Promise(read => setTimeout(read));
  if (stopped === id) throw trouble('stopped', 'it was given up');
}

function code(error) {
  if (error instanceof BeyondDevice) return 'beyond-device';
  if (/out of memory|bad_alloc|allocat|Invalid (typed )?array length/i.test(String(error?.message ?? error))) {
    return 'no-memory';
  }
  return error.code ?? 'failed';
}

function trouble(code, error) {
  return Object.assign(new Error(String(error?.message ?? error)), { code });
}

// Opening

/** Return onnxruntime-web and its program, unpacked. */
async function runtime() {
  if (typeof WebAssembly === 'undefined') throw trouble('no-webassembly', 'WebAssembly is off');
  const [ort, packed] = await Promise.all([
    import('../runtime/ort.wasm.min.mjs').catch(error => { throw trouble('offline', error); }),
    download(`${MODULE}.packed`),
  ]);
  return { ort, program: await unpacked(packed) };
}

async function download(path) {
  const response = await fetch(at(path)).catch(error => { throw trouble('offline', error); });
  if (!response.ok) throw trouble('offline', `${path}: not there (${response.status})`);
  // A connection may break off on the way.
  return response.arrayBuffer().catch(error => { throw trouble('offline', error); });
}

/** The runtime is packed, so that it is small from hosts that compress nothing, too. */
async function unpacked(bytes) {
  const [first, second] = new Uint8Array(bytes, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return bytes;  // The host has unpacked it.
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer().catch(error => { throw trouble('damaged', error); });
}

async function open(content, threads, tilePixels) {
  const { ort, program } = await fetched;
  ort.env.wasm.wasmBinary = program;
  ort.env.wasm.wasmPaths = new URL('../runtime/', import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated
    ? threads ?? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
  ort.env.logLevel = 'error';
  try {
    const { tensors, metadata } = readTensors(content);
    const network = JSON.parse(metadata.network);
    const part = prefix => Object.fromEntries(Object.entries(tensors)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, each]) => [name.slice(prefix.length), each]));
    const graphs = Object.fromEntries(
      Object.entries(part('graph.')).map(([name, { values }]) => [name, values]));
    const modulation = part('decoder.modulation.');
    network.modulation = Object.keys(modulation).length ? modulation : null;
    const made = new Engine(ort, network, tensors, graphs, tilePixels);
    await made.open();
    return made;
  } catch (error) {
    throw trouble(code(error) === 'no-memory' ? 'no-memory' : 'damaged', error);
  }
}

// Pictures and styles

async function style({ vector, adapter, key, own }) {
  if (own) {
    if (!vectors.has(own.key)) vectors.set(own.key, await measure(engine, await decoded(own.blob)));
    return { vector: vectors.get(own.key), adapter: null };
  }
  return { vector, adapter: adapter && { key, tensors: adapter } };
}

/** Return the pixels of a photo; those of the last few are kept. */
async function kept({ key, blob, pixels }) {
  if (pixels) return pixels;
  const known = photos.get(key) ?? await decoded(blob);
  photos.delete(key);
  if (known.width * known.height <= SMALL) photos.set(key, known);
  if (photos.size > KEPT) photos.delete(photos.keys().next().value);
  return known;
}

/** Return the pixels of a picture file, on white where it is transparent. */
async function decoded(blob) {
  const bitmap = await createImageBitmap(blob, { imageOrientation: 'from-image' });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  let isClear = false;
  for (let at = 0; at < data.length; at += 4) {
    const left = 255 - data[at + 3];
    if (!left) continue;
    isClear = true;
    for (let c = at; c < at + 3; c++) data[c] = data[c] * data[at + 3] / 255 + left;
    data[at + 3] = 255;
  }
  return { data, width, height, isClear };
}

async function encoded({ data, width, height }, format, quality) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext('2d').putImageData(new ImageData(data, width, height), 0, 0);
  return canvas.convertToBlob({ type: `image/${format}`, quality: quality / 100 });
}
