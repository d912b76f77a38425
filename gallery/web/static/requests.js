// Keeps the picture up to date: one request at a time, the newest wish wins, a small picture
// while a slider moves and the full one when it rests.

import { isPassing, stylize } from "./api.js";

export const DRAFT_SIDE = 448;
export const FULL_SIDE = 1024;
const REST = 180; // Milliseconds without a wish before the full picture.

export class StylizeRequests {
  #wish = null;
  #running = false;
  #rest = 0;

  constructor({ painted, working, failed }) {
    this.painted = painted;
    this.working = working;
    this.failed = failed;
  }

  want(settings, moving = false) {
    clearTimeout(this.#rest);
    if (moving) this.#rest = setTimeout(() => this.want(settings), REST);
    this.#wish = { settings, moving };
    this.#run();
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    this.working(true);
    while (this.#wish) {
      const { settings, moving } = this.#wish;
      this.#wish = null;
      try {
        const start = performance.now();
        const photo = moving ? settings.photo.draft : settings.photo.full;
        const { parts, values } = settings;
        const answer = await stylize({ photo, parts, ...values, masks: await settings.masks });
        const blob = await answer.blob();
        this.painted({ blob, settings, moving, milliseconds: performance.now() - start });
        this.failed(null);
      } catch (error) {
        this.failed(error);
        // What may pass is tried again, unless there is a newer wish by then.
        if (isPassing(error)) {
          await new Promise((resolve) => setTimeout(resolve, 1000 * (error.seconds || 1.5)));
          this.#wish ??= { settings, moving };
        }
      }
    }
    this.#running = false;
    this.working(false);
  }
}
