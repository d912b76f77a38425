// What the network sees in the photo, and what the style puts in the place of its statistics.

import { order, request } from "./api.js";

const byId = (id) => document.getElementById(id);
const COUNT = 16;

export class Inside {
  #wish = null;
  #shown = null;
  #running = false;
  #layers = [];

  constructor({ failed }) {
    this.failed = failed;
    byId("inside").addEventListener("toggle", () => this.#run());
    byId("layer").addEventListener("change", () => {
      this.#shown = null;
      this.#run();
    });
  }

  look(photo, parts) {
    this.#wish = { photo, parts };
    this.#run();
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    while (byId("inside").open && this.#wish && this.#shown !== this.#wish) {
      const wish = this.#wish;
      this.#shown = wish;
      try {
        await this.#maps(wish);
        await this.#statistics(wish);
        this.failed(null);
      } catch (error) {
        this.failed(error);
      }
    }
    this.#running = false;
  }

  async #maps({ photo }) {
    const layer = byId("layer").value;
    const answer = await request(`/features?layer=${layer}&count=${COUNT}`, { method: "POST", body: photo.draft });
    const image = byId("maps");
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(await answer.blob());
    image.alt = `Where the ${COUNT} strongest channels of ${layer} respond in the photo: ${answer.headers.get("X-Channels")}`;
  }

  async #statistics({ photo, parts }) {
    const { query, body } = order({ photo: photo.draft, parts });
    const answer = await request(`/statistics?${query}`, { method: "POST", body });
    this.#layers = (await answer.json()).layers;
    // The styles replace four layers; the fifth is only looked at.
    const layer = this.#layers.find((each) => each.name === byId("layer").value) ?? this.#layers.at(-1);
    for (const kind of ["mean", "std"]) {
      const sorted = layer.photo[kind].map((value, i) => [value, layer.style[kind][i]]).sort(([a], [b]) => a - b);
      const top = Math.max(1e-9, ...sorted.flat());
      const line = (side) => sorted.map((pair, i) => `${(200 * i) / Math.max(1, sorted.length - 1)},${58 - 54 * (pair[side] / top)}`).join(" ");
      byId(`${kind}-photo`).setAttribute("points", line(0));
      byId(`${kind}-style`).setAttribute("points", line(1));
      const distance = sorted.reduce((sum, [a, b]) => sum + Math.abs(a - b), 0) / sorted.reduce((sum, [a]) => sum + Math.abs(a), 1e-9);
      const name = { mean: "Means", std: "Standard deviations" }[kind];
      byId(`${kind}-text`).textContent = `${name} of the ${sorted.length} channels of ${layer.name}, the photo's in order; the style's are ${Math.round(100 * distance)} % away`;
    }
  }
}
