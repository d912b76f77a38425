// "Learn this painting": a job of the service that takes minutes; then one pass paints in the painting's own strokes.

import { addPainting, ApiError, forgetStyle, json, request, startLearning } from "./api.js";
import { JobBox } from "./jobbox.js";

const RATE = "adain-learn-rate"; // Milliseconds a step took the last time.
const USUAL = 1000; // The same, on two cores.
const TEXTS = {
  "torch-missing": "This service cannot learn paintings: PyTorch is not installed there.",
  forbidden: "Only a key of the administrators may teach this service a painting.",
  busy: "Another painting is being learnt. One at a time; try again later.",
};

export class Learn {
  #box;
  #since = null; // {time, progress} of the first news of this page.
  #beginning = false;

  // `learnt` is told of a painting that was learnt, and of the style that stood for it.
  constructor({ learnt, failed }) {
    Object.assign(this, { learnt, failed });
    this.#box = new JobBox("learn", {
      begun: () => (this.#since = null),
      running: (news) => this.#words(news),
      ended: (end) => this.#ended(end),
      failed,
    });
    this.#box.box.querySelector("details").open = true;
    this.#box.resume();
  }

  get isRunning() {
    return this.#box.isRunning || this.#beginning;
  }

  // How long so many steps will take, in words.
  estimate(steps) {
    return about((steps * (Number(localStorage.getItem(RATE)) || USUAL)) / 1000);
  }

  // Learns a painting of the gallery whose picture is at hand, or a file, which is added to the gallery first.
  async start(part, steps) {
    if (this.isRunning) return;
    this.#beginning = true;
    this.failed(null);
    try {
      const picture = part.file ?? (await (await request(part.picture)).blob());
      const slug = part.file ? (await addPainting(part.name.replace(/\.\w+$/, ""), picture)).slug : part.style;
      const { id } = await startLearning(slug, picture, steps);
      this.#box.follow({ id, title: `Learning ${part.name}`, slug, style: part.style, steps });
    } catch (error) {
      this.failed(error instanceof ApiError && TEXTS[error.code] ? new Error(TEXTS[error.code]) : error);
    }
    this.#beginning = false;
  }

  #words({ progress }) {
    const now = { time: performance.now(), progress };
    this.#since ??= now;
    const done = progress - this.#since.progress;
    const left = done > 0 ? `, ${about((((now.time - this.#since.time) / done) * (1 - progress)) / 1000)} left` : "";
    return `${Math.round(100 * progress)} %${left}`;
  }

  async #ended({ job, result }) {
    if (!result) return;
    if (this.#since && this.#since.progress < 0.5) {
      const took = (performance.now() - this.#since.time) / (1 - this.#since.progress);
      localStorage.setItem(RATE, String(Math.round(took / job.steps)));
    }
    this.#box.part("state").textContent = "Done. It is painted in its own strokes from now on.";
    forgetStyle(job.slug);
    try {
      this.learnt(await json(`/paintings/${encodeURIComponent(job.slug)}`), job.style);
    } catch (error) {
      this.failed(error);
    }
  }
}

function about(seconds) {
  if (seconds < 50) return `about ${Math.max(5, 5 * Math.round(seconds / 5))} seconds`;
  const minutes = Math.round(seconds / 60) || 1;
  return minutes === 1 ? "about a minute" : `about ${minutes} minutes`;
}
