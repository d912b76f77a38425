// "Best quality": a render of the photo as a job of the service.

import { startJob } from "./api.js";
import { JobBox } from "./jobbox.js";
import { save, stem } from "./saving.js";

const byId = (id) => document.getElementById(id);
const SIDE = 1024;
const SECONDS = 60;

export class Render {
  #box;
  #job = null; // {id, title, name, stem} of the last one.

  constructor({ grown, done, show, failed }) {
    Object.assign(this, { done, failed });
    this.#box = new JobBox("render", {
      begun: (job) => {
        this.#job = job;
        byId("best").disabled = true;
      },
      running: ({ progress }) => `${Math.round(100 * progress)} %, a minute at most`,
      grown: (blob) => grown({ blob, title: this.#job.name }),
      ended: (end) => this.#ended(end),
      failed,
    });
    this.#box.part("save").addEventListener("click", () => save(new File([this.#box.result], `${this.#job.stem}.best.png`, { type: "image/png" })));
    this.#box.part("show").addEventListener("click", () => show());
    this.#box.resume();
  }

  get isRunning() {
    return this.#box.isRunning;
  }

  async start({ photo, parts, masks, values, title }) {
    byId("best").disabled = true;
    this.failed(null);
    try {
      const { id } = await startJob({ photo: photo.file, parts, masks, ...values, alpha: 1, stroke: 1, keep: "none", method: "render", time_limit: SECONDS, max_side: SIDE, format: "png" });
      this.#box.follow({ id, title: `Best quality: ${title}`, name: title, stem: stem(photo) });
      return true;
    } catch (error) {
      byId("best").disabled = false;
      this.failed(error);
      return false;
    }
  }

  #ended({ job, result, words }) {
    byId("best").disabled = false;
    this.#box.part("save").hidden = !result;
    if (result) this.done({ blob: result, title: job.name });
    else this.done(null, words);
  }

  // The picture is not what is shown: offers to show it.
  offer() {
    this.#box.part("show").hidden = false;
  }
}
