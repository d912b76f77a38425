// Faces that are kept: how many were found in the photo, and where, tinted over the picture.

import { request } from "./api.js";

const byId = (id) => document.getElementById(id);
const SHOWN = 2500; // Milliseconds for which they are shown when they were looked for.
const TINT = [64, 224, 160];

export class People {
  #photo = null;
  #hiding = 0;

  #label = byId("faces").closest("label");

  constructor() {
    for (const name of ["pointerenter", "focusin"]) this.#label.addEventListener(name, () => this.#show(true));
    for (const name of ["pointerleave", "focusout"]) this.#label.addEventListener(name, () => this.#show(false));
  }

  // Looks for the faces of a photo; null is one of which none are kept.
  async look(photo) {
    if (photo === this.#photo) return;
    this.#photo = photo;
    this.#show(false);
    byId("found").width = 0;
    byId("faces-found").textContent = "";
    if (!photo) return;
    try {
      const answer = await request("/regions?part=face", { method: "POST", body: photo.full });
      const faces = Number(answer.headers.get("X-Faces"));
      const mask = await createImageBitmap(await answer.blob());
      if (photo !== this.#photo) return;
      draw(byId("found"), mask);
      byId("faces-found").textContent = faces > 1 ? `${faces} faces found` : faces ? "1 face found" : "No face found, nothing is kept";
      if (!faces) return;
      this.#show(true);
      this.#hiding = setTimeout(() => this.#show(this.#label.matches(":hover")), SHOWN);
    } catch {
      if (photo === this.#photo) this.#photo = null; // The next look may do.
    }
  }

  #show(on) {
    clearTimeout(this.#hiding);
    byId("found").hidden = !on || !byId("found").width;
  }
}

// A tint where the mask is white, and a line where it begins.
function draw(canvas, mask) {
  const { width, height } = mask;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(mask, 0, 0);
  const image = context.getImageData(0, 0, width, height);
  const levels = Uint8Array.from({ length: width * height }, (_, i) => image.data[4 * i]);
  const line = Math.max(1, Math.round(Math.max(width, height) / 400));
  levels.forEach((level, i) => {
    const across = i % width >= line ? levels[i - line] : level;
    const down = i >= line * width ? levels[i - line * width] : level;
    const isRim = level > 127 !== across > 127 || level > 127 !== down > 127;
    image.data.set(isRim ? [255, 255, 255, 255] : [...TINT, Math.round(0.4 * level)], 4 * i);
  });
  context.putImageData(image, 0, 0);
}
