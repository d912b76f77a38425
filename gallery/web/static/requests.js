// Keeps the picture up to date: one request at a time, the newest wish wins, a small picture
// while a slider moves and the full one when it rests.

import { isPassing, paintsHere, stylize } from "./api.js";

export const DRAFT_SIDE = 448;
export const FULL_SIDE = 1024;
const REST = 180; // Milliseconds without a wish before the full picture.
const SLOW = 700; // Milliseconds of a draft on this device from which drafts are smaller.
const LONGEST = 15; // Seconds between two tries at most.

export class StylizeRequests {
  #wish = null;
  #running = false;
  #rest = 0;
  #tries = 0;
  #wake = null;
  #slow = false;
  #stop = null; // Gives up the full picture that is being painted.

  constructor({ painted, working, failed }) {
    this.painted = painted;
    this.working = working;
    this.failed = failed;
  }

  want(settings, moving = false) {
    clearTimeout(this.#rest);
    if (moving) this.#rest = setTimeout(() => this.want(settings), REST);
    this.#wish = { settings, moving };
    this.#stop?.abort();
    this.#run();
  }

  get isBusy() {
    return this.#running;
  }

  // A style that is only looked at: small, and only while nothing is wished for.
  glance(settings) {
    if (this.#wish && !this.#wish.settings.glance) return;
    this.#wish = { settings, moving: true };
    this.#run();
  }

  // Takes a wish back; what is being painted comes all the same.
  forget() {
    clearTimeout(this.#rest);
    this.#wish = null;
  }

  // Does not wait any longer before it tries again.
  again() {
    this.#wake?.();
  }

  async #run() {
    if (this.#running) return this.again();
    this.#running = true;
    this.working(true);
    while (this.#wish) {
      const { settings, moving } = this.#wish;
      this.#wish = null;
      try {
        const start = performance.now();
        const { parts, values, photo } = settings;
        const copy = !moving ? photo.full : paintsHere() && this.#slow ? photo.card : photo.draft;
        this.#stop = moving ? null : new AbortController(); // A draft is done before another is.
        const answer = await stylize({ signal: this.#stop?.signal, photo: copy, parts, ...values, masks: await settings.masks, example: moving && photo.isExample });
        const blob = await answer.blob();
        const milliseconds = performance.now() - start;
        if (copy === photo.draft) this.#slow = milliseconds > SLOW;
        this.painted({ blob, settings, moving, milliseconds });
        this.#tries = 0;
        this.failed(null);
      } catch (error) {
        if (error.name === "AbortError") continue;
        this.failed(error);
        // What may pass is tried again, unless there is a newer wish by then; nothing is painted meanwhile.
        if (isPassing(error)) {
          this.working(false);
          this.#tries += 1;
          const seconds = error.seconds || Math.min(LONGEST, 1.5 ** this.#tries);
          await new Promise((resolve) => {
            this.#wake = resolve;
            setTimeout(resolve, 1000 * seconds);
          });
          this.#wake = null;
          this.#wish ??= { settings, moving };
          this.working(true);
        }
      }
    }
    this.#running = false;
    this.working(false);
  }
}
