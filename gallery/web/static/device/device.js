// The device as an engine: takes the orders that a service takes, and gives the same pictures.

const START = 60_000;    // Milliseconds that starting may take beside the downloads.
const SILENCE = 120_000; // The same of a tile of a picture, while the page is seen.

// Most pixels of a tile: a phone has memory for few, and few cost time.
const TILE = navigator.deviceMemory >= 8 ? 2 ** 22 : 2 ** 20;

export class DeviceError extends Error {
  constructor(code, detail) {
    super(detail);
    this.code = code;
  }
}

export class Device {
  #worker = null;
  #opened = null;
  #waiting = new Map();
  #asked = 0;
  #keys = new WeakMap();
  #last = Promise.resolve();
  isOpen = false;
  seen = []; // Addresses of what it was made of.

  /**
   * @param network returns the network, a file that `Engine` reads
   * @param style returns { vector, adapter: tensors or null } of what a name stands for
   * @param version names what is fetched
   * @param threads cores to use, by default all, up to four
   */
  constructor({ network, style, version, threads }) {
    Object.assign(this, { network, style, version, threads });
  }

  /** Make it ready; what was damaged on the way is fetched anew, once. */
  open() {
    this.#opened ??= this.#tried().catch(error => {
      this.close();
      throw error;
    });
    return this.#opened;
  }

  async #tried() {
    try {
      await this.#open();
    } catch (error) {
      if (error.code !== 'damaged') throw error;
      this.#stop(error);
      await forget();
      await this.#open('again');
    }
  }

  async #open(again = '') {
    const query = [this.version, again].filter(Boolean).join('-');
    this.#worker = new Worker(new URL(`worker.js?${query}`, import.meta.url), { type: 'module' });
    this.#worker.addEventListener('message', ({ data }) => this.#take(data));
    this.#worker.addEventListener('error', event => {
      event.preventDefault();
      this.close(new DeviceError('failed', 'the browser has stopped it'));
    });
    const network = await this.network();
    const { seen } = await this.#ask({ kind: 'open', network, threads: this.threads, tilePixels: TILE }, START);
    this.seen = seen;
    this.isOpen = true;
  }

  /** Paint: what `stylize` of a service takes, but for what only a service does; `told` hears the share that is done. */
  async stylize({ photo, parts, masks = [], signal, told, flatten = true, format = 'jpeg', quality = 90, ...values }) {
    const found = await Promise.all(parts.map(async each => (
      each.file ? { own: this.#named(each.file), weight: each.weight }
        : { ...await this.style(each.style), key: each.style, weight: each.weight })));
    // One at a time, so that what is given up while it waits is never begun.
    const turn = this.#last.then(async () => {
      signal?.throwIfAborted();
      await this.open();
      return this.#ask({ kind: 'paint', photo: this.#named(photo), parts: found, masks, flatten, format, quality,
        alpha: values.alpha ?? 1, stroke: values.stroke ?? 1, side: values.max_side,
        colors: values.preserve_color ?? 'none', photorealistic: values.photorealistic === true }, SILENCE, { signal, told });
    }).catch(error => {
      signal?.throwIfAborted();
      throw error;
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Stop; what waits fails. It starts anew when it is asked again. */
  close(error = new DeviceError('failed', 'it was stopped')) {
    this.#opened = null;
    this.#stop(error);
  }

  #stop(error) {
    this.isOpen = false;
    this.#worker?.terminate();
    this.#worker = null;
    for (const { failed } of this.#waiting.values()) failed(error);
    this.#waiting.clear();
  }

  #named(blob) {
    if (!this.#keys.has(blob)) this.#keys.set(blob, `${(this.#asked += 1)}`);
    return { key: this.#keys.get(blob), blob };
  }

  #ask(message, patience, { signal, told } = {}) {
    return new Promise((done, failed) => {
      const id = (this.#asked += 1);
      this.#waiting.set(id, { done, failed, told, silent: 0 });
      this.#watch(id, patience);
      signal?.addEventListener('abort', () => {
        if (this.#waiting.has(id)) this.#worker.postMessage({ kind: 'stop', stop: id });
      });
      this.#worker.postMessage({ id, ...message });
    });
  }

  // A page in the background is slowed down or stopped: only time in view counts.
  #watch(id, patience) {
    const timer = setInterval(() => {
      const asked = this.#waiting.get(id);
      if (!asked) clearInterval(timer);
      else if (!document.hidden && (asked.silent += 1000) > patience) {
        clearInterval(timer);
        this.close(new DeviceError('failed', 'it gave no answer'));
      }
    }, 1000);
  }

  #take({ id, error, code, share, ...answer }) {
    const asked = this.#waiting.get(id);
    if (!asked) return;
    if (share) {
      asked.silent = 0;
      asked.told?.(share);
      return;
    }
    this.#waiting.delete(id);
    if (!error) {
      asked.done(answer);
      return;
    }
    asked.failed(new DeviceError(code, error));
    if (code === 'no-memory') this.close(); // Memory that a program took comes back with its end alone.
  }
}

/** Forget what this browser keeps of the page: something of it is damaged. */
async function forget() {
  const names = await globalThis.caches?.keys().catch(() => []) ?? [];
  await Promise.all(names.filter(name => name.startsWith('adain-')).map(name => caches.delete(name)));
}
