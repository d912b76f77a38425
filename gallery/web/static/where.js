// Where pictures are painted: by the service, or on this device. A site of plain files has no service.
// At a service the device is measured once, beside what the visitor does, and used by itself where it is fast enough.

import { ApiError, json, paintAfter, paintWith, request, serviceLimits, site, styleOf } from "./api.js";
import { DRAFT_SIDE } from "./requests.js";

const byId = (id) => document.getElementById(id);
const KNOWN = "adain-device"; // {on, milliseconds}
const FAST = 400; // Milliseconds of a draft up to which the device is fast enough.
const LATER = 4000; // Milliseconds after the first picture in which nothing is measured.
const TRIES = 3;
const FINEST = -1; // Strokes of half the size: finer ones take more memory than phones give a page.

export class Where {
  #device = null;
  #measured = false;

  /** @param changed is told when pictures are painted elsewhere from now on */
  constructor({ changed, say, failed }) {
    Object.assign(this, { changed, say, failed });
    byId("on-device").addEventListener("change", ({ target }) => this.#choose(target.checked));
    this.#tell();
    if (site) {
      byId("stroke").min = FINEST;
      this.#start(true).catch(() => {}); // Whoever asks for a picture is told.
    } else {
      const offered = this.#offer();
      if (recalled()?.on) paintAfter(offered);
    }
  }

  get isDevice() {
    return this.#device !== null && byId("on-device").checked;
  }

  /** A picture is painted and shown: now the device may be tried, and a site be kept. */
  async rest(photo) {
    if (this.#measured || (!site && byId("where").hidden)) return;
    this.#measured = true;
    if (site) {
      this.#keep();
      return;
    }
    // The computer of the service itself is faster as the service.
    if (recalled() || isHere() || navigator.connection?.saveData) return;
    await new Promise((resolve) => setTimeout(resolve, LATER));
    try {
      const milliseconds = await this.measure(photo);
      keep({ on: milliseconds <= FAST, milliseconds });
      if (milliseconds <= FAST && !byId("on-device").checked) this.#choose(true);
    } catch {
      keep({ on: false, milliseconds: null });
    }
  }

  /** Return how many milliseconds a draft takes on this device. */
  async measure(photo) {
    const device = await this.#ready();
    let least = Infinity;
    for (let i = 0; i < TRIES; i += 1) {
      const { milliseconds } = await device.stylize({ photo: photo.draft, parts: await first() });
      least = Math.min(least, milliseconds);
    }
    return least;
  }

  async #offer() {
    const { paints_on_device: can } = await serviceLimits().catch(() => ({}));
    byId("where").hidden = !can;
    if (can && recalled()?.on) await this.#choose(true);
  }

  async #choose(on) {
    byId("on-device").checked = on;
    keep({ milliseconds: null, ...recalled(), on });
    if (on) {
      this.say("Fetching the network, once…");
      try {
        await this.#start(false);
      } catch (error) {
        this.#give(error);
      }
    } else {
      paintWith(null);
    }
    this.#tell();
    this.changed();
  }

  async #start(alone) {
    const device = await this.#made();
    paintWith(device, { alone, failed: (error) => this.#give(error) });
    await device.open();
  }

  // What came before the service worker was there is kept now, so that one visit is enough.
  async #keep() {
    const kept = await navigator.serviceWorker?.ready;
    const seen = performance.getEntriesByType("resource").map(({ name }) => name);
    kept?.active.postMessage([...seen, ...this.#device.seen, location.pathname].filter((name) => !name.startsWith("blob:")));
  }

  async #ready() {
    const device = await this.#made();
    await device.open();
    return device;
  }

  async #made() {
    if (this.#device) return this.#device;
    const { Device } = await import("./device/device.js");
    return (this.#device ??= new Device({ network: async () => (await request("/network")).arrayBuffer(), style: styleOf, version: site }));
  }

  // It failed: the service paints again.
  #give(error) {
    paintWith(null);
    byId("on-device").checked = false;
    this.failed(error instanceof ApiError ? error : new ApiError(error.code ?? "failed", error.message));
    this.#tell();
  }

  #tell() {
    const here = site || byId("on-device").checked;
    byId("where-text").textContent = here ? "It is painted on this device: your photo stays here." : "It is painted on the computer that runs this page, and not stored.";
  }
}

async function first() {
  const { paintings } = await json("/paintings?limit=1");
  return [{ style: paintings[0].slug, weight: 1 }];
}

function isHere() {
  return ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
}

function recalled() {
  try {
    return JSON.parse(localStorage.getItem(KNOWN));
  } catch {
    return null;
  }
}

function keep(value) {
  try {
    localStorage.setItem(KNOWN, JSON.stringify(value));
  } catch {
    // None allowed: then it is measured again next time.
  }
}
