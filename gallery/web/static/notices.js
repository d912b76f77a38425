// What went wrong and is not solved yet. The worst is shown, of those the newest, in view until it is
// solved or closed.

import { ApiError, isPassing, site } from "./api.js";

const byId = (id) => document.getElementById(id);
const TEXTS = {
  offline: site
    ? "There is no connection, and this was not seen before. It is asked for again."
    : "The service does not answer. What is shown is kept, and it is asked again.",
  busy: "Others are painting too. One moment…",
  "too-many-requests": "That was very fast. One moment…",
  "body-too-large": "This photo is too large to send.",
  "picture-too-large": "This photo has too many pixels.",
  "no-memory": "This device has no memory left for that. Close other pages, take coarser strokes or a smaller photo.",
  "no-webassembly": "This browser cannot run the network: WebAssembly is switched off, as in Lockdown Mode. Allow it for this page, or use another browser.",
  "beyond-device": "Strokes this fine are too much for this device. Take coarser ones, or a smaller photo.",
  damaged: "What this browser has kept of the page is damaged, and so is what was fetched anew. Reload the page; if that does not help, its files were not copied whole.",
  failed: site ? "The browser stopped painting. Choose a painting to start it again." : "This device cannot go on painting; the service does.",
  "torch-missing": "This service cannot paint in best quality: PyTorch is not installed there.",
};

export class Notices {
  #troubles = new Map(); // From what it is about to {error, retry}, the newest last.

  constructor() {
    byId("notice-close").addEventListener("click", () => {
      this.#troubles.delete(this.#worst?.about);
      this.#draw();
    });
    byId("notice-retry").addEventListener("click", () => this.#worst?.retry());
  }

  // An error, or null when it is solved; `retry` tries again at once.
  tell(about, error, retry = null) {
    const known = this.#troubles.get(about);
    if (!error && !known) return;
    this.#troubles.delete(about);
    if (error) this.#troubles.set(about, { about, error, retry });
    this.#draw();
  }

  get #worst() {
    const all = [...this.#troubles.values()].reverse();
    return all.reduce((worst, each) => (!worst || badness(each.error) > badness(worst.error) ? each : worst), null);
  }

  #draw() {
    const worst = this.#worst;
    byId("notice").hidden = !worst;
    byId("notice").dataset.about = worst?.about ?? "";
    byId("notice-retry").hidden = !worst?.retry;
    const { error } = worst ?? {};
    const text = error ? (error instanceof ApiError ? TEXTS[error.code] : null) ?? error.message : "";
    if (byId("notice-text").textContent !== text) byId("notice-text").textContent = text;
  }
}

// A service that is away is worse than what it refuses; what passes by itself is least.
function badness(error) {
  if (error instanceof ApiError && error.code === "offline") return 2;
  return isPassing(error) ? 0 : 1;
}
