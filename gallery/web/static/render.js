// "Best quality": a job of the service, followed until it is done, also after the page was reloaded.

import { endJob, jobEvents, request, startJob } from "./api.js";
import { save, stem } from "./saving.js";

const byId = (id) => document.getElementById(id);
const KNOWN = "adain-render";
const SIDE = 1024;
const SECONDS = 60;

export class Render {
  #job = null; // {id, title, stem}
  #losses = [];
  #looking = false;
  #stopping = false;
  #result = null;
  #stem = "photo";

  constructor({ grown, done, show, failed }) {
    Object.assign(this, { grown, done, show, failed });
    byId("render-stop").addEventListener("click", () => this.#cancel());
    byId("render-close").addEventListener("click", () => this.#close());
    byId("render-save").addEventListener("click", () => save(new File([this.#result], `${this.#stem}.best.png`, { type: "image/png" })));
    byId("render-show").addEventListener("click", () => this.show(this.#result));
    const known = localStorage.getItem(KNOWN);
    if (known) this.#follow(JSON.parse(known));
  }

  get isRunning() {
    return this.#job !== null;
  }

  async start({ photo, parts, masks, values, title }) {
    byId("best").disabled = true;
    this.failed(null);
    try {
      const { id } = await startJob({ photo: photo.file, parts, masks, ...values, alpha: 1, stroke: 1, keep: "none", method: "render", time_limit: SECONDS, max_side: SIDE, format: "png" });
      const job = { id, title, stem: stem(photo) };
      localStorage.setItem(KNOWN, JSON.stringify(job));
      this.#follow(job);
      return true;
    } catch (error) {
      byId("best").disabled = false;
      this.failed(error);
      return false;
    }
  }

  async #follow(job) {
    this.#job = job;
    this.#stem = job.stem;
    this.#result = null;
    this.#losses = [];
    this.#stopping = false;
    byId("render-box").hidden = byId("render-stop").hidden = false;
    byId("render-save").hidden = byId("render-show").hidden = byId("render-close").hidden = byId("render-picture").hidden = true;
    byId("render-title").textContent = `Best quality: ${job.title}`;
    byId("best").disabled = true;
    this.#draw();
    let state = "queued";
    while (["queued", "running"].includes(state)) {
      try {
        state = await this.#listen(job);
        this.failed(null);
      } catch (error) {
        if (error.code === "job-not-found") state = "gone";
        else this.failed(error);
      }
      if (["queued", "running"].includes(state)) await new Promise((resolve) => setTimeout(resolve, 1500));
    }
    this.#job = null;
    localStorage.removeItem(KNOWN);
    byId("best").disabled = false;
    byId("render-stop").hidden = true;
    byId("render-close").hidden = false;
    if (state === "gone") this.#close();
  }

  async #listen(job) {
    let state = "queued";
    let first = true;
    for await (const news of jobEvents(job.id)) {
      if (first) this.#losses = [];
      first = false;
      state = news.state;
      await this.#take(news);
    }
    return state;
  }

  async #take(news) {
    this.#losses.push(...news.losses);
    byId("render-progress").value = news.progress;
    byId("render-state").textContent = {
      queued: "Waiting for its turn…",
      running: `${Math.round(100 * news.progress)} %, a minute at most`,
      done: "Done.",
      failed: `It failed: ${news.detail}`,
      cancelled: "Cancelled.",
    }[news.state];
    this.#draw();
    if (news.state === "done") {
      this.#result = await (await request(news.result)).blob();
      this.#show(this.#result);
      byId("render-save").hidden = false;
      this.done({ blob: this.#result, title: this.#job.title });
    } else if (news.state === "running" && news.preview) {
      this.#look(news.preview);
    } else if (news.state === "cancelled" || news.state === "failed") {
      this.done(null, byId("render-state").textContent);
    }
  }

  async #look(path) {
    if (this.#looking || this.#stopping) return;
    this.#looking = true;
    try {
      const blob = await (await request(path)).blob();
      if (blob.size && this.isRunning && !this.#result) {
        this.#show(blob);
        this.grown({ blob, title: this.#job.title });
      }
    } catch {
      // The next event asks again.
    }
    this.#looking = false;
  }

  #show(blob) {
    const image = byId("render-picture");
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
    image.hidden = false;
  }

  // The loss on a logarithmic scale: equal steps down are equal factors.
  #draw() {
    const losses = this.#losses.map((point) => Math.log(Math.max(1e-6, point.loss)));
    const [low, high] = [Math.min(...losses), Math.max(...losses)];
    const last = Math.max(1, losses.length - 1);
    const points = losses.map((loss, i) => `${(200 * i) / last},${5 + 50 * ((high - loss) / (high - low || 1))}`);
    byId("loss-line").setAttribute("points", points.join(" "));
    const first = this.#losses[0];
    const grew = this.#losses.some((point) => point.scale !== first.scale) ? "; it leaps where a larger picture begins" : "";
    const words = first ? `Loss: from ${first.loss.toPrecision(2)} to ${this.#losses.at(-1).loss.toPrecision(2)}${grew}` : "";
    byId("loss").setAttribute("aria-label", words || "Loss");
    byId("loss-text").textContent = words;
  }

  async #cancel() {
    this.#stopping = true;
    byId("render-state").textContent = "Cancelling…";
    try {
      await endJob(this.#job.id);
    } catch (error) {
      this.failed(error);
    }
  }

  // The picture is not what is shown: offers to show it.
  offer() {
    byId("render-show").hidden = false;
  }

  #close() {
    byId("render-box").hidden = true;
  }
}
