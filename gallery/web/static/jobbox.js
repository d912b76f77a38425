// A job of the service in a box of its own: progress, losses, the picture as it grows, and cancel. It is followed
// until it ends, also after the page was reloaded.

import { endJob, jobEvents, request } from "./api.js";

const OPEN = ["queued", "running"];
const AGAIN = 1500; // Milliseconds after which the service is asked again.

export class JobBox {
  #name;
  #job = null; // {id, title, ...}
  #losses = [];
  #looking = false;
  #stopping = false;
  #result = null;

  // `begun` and `ended` are told of each job, `ended` with its result if it is done; `running` gives the words for news of
  // one that goes on, `grown` gets its previews.
  constructor(name, { begun, running, grown = () => {}, ended, failed }) {
    Object.assign(this, { begun, running, grown, ended, failed });
    this.#name = name;
    const box = document.getElementById("job-template").content.firstElementChild.cloneNode(true);
    box.id = `${name}-box`;
    for (const part of box.querySelectorAll("[data-part]")) part.id = `${name}-${part.dataset.part}`;
    for (const part of [box, this.#within(box, "progress")]) part.setAttribute("aria-labelledby", `${name}-title`);
    document.getElementById("jobs").append(box);
    this.box = box;
    this.part("stop").addEventListener("click", () => this.#cancel());
    this.part("close").addEventListener("click", () => this.close());
  }

  #within(box, part) {
    return box.querySelector(`[data-part="${part}"]`);
  }

  part(name) {
    return this.#within(this.box, name);
  }

  get isRunning() {
    return this.#job !== null;
  }

  get result() {
    return this.#result;
  }

  // Takes up a job that was begun before the page was reloaded.
  resume() {
    const known = localStorage.getItem(this.#key);
    if (known) this.follow(JSON.parse(known));
  }

  async follow(job) {
    localStorage.setItem(this.#key, JSON.stringify(job));
    this.#job = job;
    this.#result = null;
    this.#losses = [];
    this.#stopping = false;
    this.box.hidden = this.part("stop").hidden = false;
    for (const part of ["save", "show", "close", "picture"]) this.part(part).hidden = true;
    this.part("title").textContent = job.title;
    this.#draw();
    this.begun(job);
    let state = "queued";
    while (OPEN.includes(state)) {
      try {
        state = await this.#listen(job);
        this.failed(null);
      } catch (error) {
        if (error.code === "job-not-found") state = "gone";
        else this.failed(error);
      }
      if (OPEN.includes(state)) await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
    this.#job = null;
    localStorage.removeItem(this.#key);
    this.part("stop").hidden = true;
    this.part("close").hidden = false;
    if (state === "gone") this.close();
    this.ended({ state, job, result: this.#result, words: this.part("state").textContent });
  }

  close() {
    this.box.hidden = true;
  }

  get #key() {
    return `adain-${this.#name}`;
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
    this.part("progress").value = news.progress;
    this.part("state").textContent = {
      queued: () => "Waiting for its turn…",
      running: () => (this.#stopping ? "Cancelling…" : this.running(news)),
      done: () => "Done.",
      failed: () => `It failed: ${news.detail}`,
      cancelled: () => "Cancelled.",
    }[news.state]();
    this.#draw();
    if (news.state === "done") {
      this.#result = await (await request(news.result)).blob();
      if (this.#result.type.startsWith("image/")) this.#show(this.#result);
    } else if (news.state === "running" && news.preview) {
      this.#look(news.preview);
    }
  }

  async #look(path) {
    if (this.#looking || this.#stopping) return;
    this.#looking = true;
    try {
      const blob = await (await request(path)).blob();
      if (blob.size && this.isRunning && !this.#result) {
        this.#show(blob);
        this.grown(blob);
      }
    } catch {
      // The next event asks again.
    }
    this.#looking = false;
  }

  #show(blob) {
    const image = this.part("picture");
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
    this.part("loss-line").setAttribute("points", points.join(" "));
    const first = this.#losses[0];
    const grew = this.#losses.some((point) => point.scale !== first.scale) ? "; it leaps where a larger picture begins" : "";
    const words = first ? `Loss: from ${first.loss.toPrecision(2)} to ${this.#losses.at(-1).loss.toPrecision(2)}${grew}` : "";
    this.part("loss").setAttribute("aria-label", words || "Loss");
    this.part("loss-text").textContent = words;
  }

  async #cancel() {
    this.#stopping = true;
    this.part("state").textContent = "Cancelling…";
    try {
      await endJob(this.#job.id);
    } catch (error) {
      this.failed(error);
    }
  }
}
