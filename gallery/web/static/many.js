// Several photos at once: all are seen in the chosen style, one click makes one the large picture, and all
// are saved as one ZIP file in full size.

import { isPassing, stylize } from "./api.js";
import { readPhoto } from "./photo.js";
import { save, stem } from "./saving.js";
import { zip } from "./zip.js";

const byId = (id) => document.getElementById(id);
const MOST = 50;

export class Many {
  #photos = []; // {photo, image, button, url}
  #settings = null;
  #run = 0;

  constructor({ open, saving, notice, say, isBusy }) {
    Object.assign(this, { open, saving, notice, say, isBusy });
    byId("many-zip").addEventListener("click", () => this.#save());
    byId("many-close").addEventListener("click", () => this.close());
  }

  get isOn() {
    return this.#photos.length > 0;
  }

  // Reads files; those that are no photos are told. Returns the first photo.
  async read(files) {
    this.close();
    const failed = [];
    for (const [i, file] of files.slice(0, MOST).entries()) {
      this.say(`Reading photo ${i + 1} of ${Math.min(MOST, files.length)}…`);
      try {
        this.#add(await readPhoto(file));
      } catch {
        failed.push(file.name);
      }
    }
    const words = [failed.length ? `Cannot be read: ${failed.join(", ")}.` : "", files.length > MOST ? `The first ${MOST} of ${files.length} photos were taken.` : ""];
    this.notice("photo", words.join("") ? new Error(words.filter(Boolean).join(" ")) : null);
    byId("many-box").hidden = !this.isOn;
    byId("many-title").textContent = `${this.#photos.length} photos`;
    return this.#photos[0]?.photo ?? null;
  }

  close() {
    this.#run += 1;
    for (const { url } of this.#photos) URL.revokeObjectURL(url);
    this.#photos = [];
    byId("many").replaceChildren();
    byId("many-box").hidden = true;
  }

  mark(photo) {
    for (const each of this.#photos) each.button.setAttribute("aria-pressed", String(each.photo === photo));
  }

  // Shows all in a style, one after the other, while nothing else is painted.
  async paint(settings) {
    this.#settings = settings;
    this.#run += 1;
    const run = this.#run;
    for (let i = 0; i < this.#photos.length; ) {
      const each = this.#photos[i];
      await new Promise((resolve) => setTimeout(resolve, this.isBusy() ? 200 : 0));
      if (run !== this.#run) return;
      if (this.isBusy()) continue;
      try {
        const blob = await (await stylize({ photo: each.photo.card, parts: settings.parts, ...settings.values, quality: 85 })).blob();
        if (run !== this.#run) return;
        this.#show(each, blob);
        i += 1;
      } catch (error) {
        if (!isPassing(error)) i += 1;
        else await new Promise((resolve) => setTimeout(resolve, 1000 * (error.seconds || 2)));
      }
    }
  }

  #add(photo) {
    const [item, button, image] = ["li", "button", "img"].map((kind) => document.createElement(kind));
    button.type = "button";
    button.setAttribute("aria-label", `Show ${photo.name}`);
    button.title = photo.name;
    image.alt = "";
    button.append(image);
    item.append(button);
    const each = { photo, image, button, url: null };
    button.addEventListener("click", () => this.open(photo));
    this.#photos.push(each);
    this.#show(each, photo.card);
    byId("many").append(item);
  }

  #show(each, blob) {
    if (each.url) URL.revokeObjectURL(each.url);
    each.url = each.image.src = URL.createObjectURL(blob);
  }

  async #save() {
    const photos = this.#photos.map((each) => each.photo);
    const { parts, values } = this.#settings;
    byId("many-zip").disabled = true;
    await this.saving.follow(`${photos.length} photos`, async ({ progress, isStopped }) => {
      const files = [];
      for (const [i, photo] of photos.entries()) {
        progress(i / photos.length, `${i + 1} of ${photos.length}`);
        const blob = await this.saving.paint({ photo, parts, values }, "jpeg");
        if (isStopped()) return;
        files.push(new File([blob], `${stem(photo)}.jpg`, { type: "image/jpeg" }));
      }
      save(new File([await zip(files)], "painted.zip", { type: "application/zip" }));
    });
    byId("many-zip").disabled = false;
  }
}
