// What is shown goes out: downloaded, copied, sent. One pass is painted anew in the size of the photo; a
// picture in best quality is saved as it is.

import { endJob, jobEvents, paintsHere, request, serviceLimits, site, startJob, stylize } from "./api.js";
import { fitted } from "./photo.js";

const byId = (id) => document.getElementById(id);
const BIG = 3e6; // Pixels from which a picture is a job: with progress, and no limit of time.
const ENLARGED = { here: 2e6, there: 2e7 }; // Pixels a second, about.
const WHO = site ? "this device" : "the service";
const SUFFIX = { jpeg: "jpg", png: "png" };

export class Saving {
  shown = null; // {blob, settings, kind, milliseconds}; kind is "pass", "best" or "growing".
  #job = null;
  #stop = new AbortController();

  constructor({ say, notice }) {
    Object.assign(this, { say, notice });
    for (const button of byId("download").querySelectorAll("button")) {
      button.addEventListener("click", () => this.download(button.dataset.format));
    }
    byId("download").addEventListener("toggle", () => byId("download").open && this.#tellSize());
    byId("copy-picture").addEventListener("click", () => this.#copy());
    byId("share-picture").addEventListener("click", () => this.#share());
    byId("share-picture").hidden = !navigator.canShare?.({ files: [new File([""], "a.png", { type: "image/png" })] });
    byId("job-stop").addEventListener("click", () => this.#cancel());
  }

  // The size that a photo is painted in, and why it is not its own.
  async plan(photo) {
    const { max_side: longest, max_pixels: pixels, max_body: bytes } = await serviceLimits();
    const own = Math.max(photo.width, photo.height);
    const reasons = [];
    let side = own;
    if (photo.width * photo.height > pixels) {
      side = Math.floor(own * Math.sqrt(pixels / (photo.width * photo.height))) - 1;
      reasons.push(`${WHO} takes at most ${Math.round(pixels / 1e6)} megapixels`);
    }
    const sent = side < own || photo.file.size > bytes;
    if (side > longest) {
      side = longest;
      reasons.splice(0, 1, `${WHO} paints at most ${longest} pixels a side`);
    }
    const scale = side / own;
    return { width: Math.round(photo.width * scale), height: Math.round(photo.height * scale), side, sent, reason: reasons[0] ?? "" };
  }

  // Returns what is shown as a picture file; `told` hears the share that is done.
  async file(format, told) {
    const { blob, kind, settings } = this.shown;
    const data = kind === "pass" ? await this.paint(settings, format, told) : await converted(blob, format);
    return new File([data], `${name(settings)}${kind === "best" ? ".best" : ""}.${SUFFIX[format]}`, { type: data.type });
  }

  // Paints a photo in full size.
  async paint({ photo, parts, values, masks }, format, told) {
    const plan = await this.plan(photo);
    const order = { photo: await fitted(photo, plan), parts, masks: (await masks) ?? [], ...values, format, quality: 95 };
    if (site || plan.width * plan.height < BIG) return (await stylize({ ...order, print: true, told, signal: this.#stop.signal })).blob();
    const { id } = await startJob(order);
    this.#job = id;
    if (this.#stop.signal.aborted) this.#cancel();
    try {
      for (let state = "queued"; state !== "done"; ) {
        for await (const news of jobEvents(id)) {
          state = news.state;
          byId("job-state").textContent = state === "queued" ? "Waiting for its turn…" : `Painting ${plan.width} × ${plan.height} pixels…`;
          if (state === "failed") throw new Error(`It failed: ${news.detail}`);
          if (state === "cancelled") throw new DOMException("Cancelled.", "AbortError");
        }
      }
      return await (await request(`/jobs/${id}/result`)).blob();
    } finally {
      this.#job = null;
      endJob(id).catch(() => {}); // It is forgotten after a day anyway.
    }
  }

  // Runs work with its progress and a way to stop it in view; returns whether it was done.
  async follow(title, work) {
    if (!byId("job").hidden) {
      this.say("One moment: another download is on its way.");
      return false;
    }
    byId("job").hidden = false;
    byId("job-title").textContent = title;
    byId("job-state").textContent = "";
    byId("job-progress").removeAttribute("value");
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    try {
      await work({
        isStopped: () => signal.aborted,
        progress: (part, words) => {
          byId("job-progress").value = part;
          byId("job-state").textContent = words;
        },
      });
      this.notice("download", null);
      if (signal.aborted) this.say("Cancelled.");
      return !signal.aborted;
    } catch (error) {
      if (error.name === "AbortError") this.say("Cancelled.");
      else this.notice("download", error);
      return false;
    } finally {
      byId("job").hidden = true;
    }
  }

  async download(format) {
    byId("download").open = false;
    const done = await this.follow("Download", async ({ isStopped, progress }) => {
      const file = await this.file(format, (share) => progress(share, "Painting…"));
      if (!isStopped()) save(file);
    });
    if (done) this.say("Downloaded.");
  }

  async #tellSize() {
    const text = byId("size-text");
    text.textContent = "";
    if (!this.shown) return;
    const { kind, blob, settings, milliseconds = 0 } = this.shown;
    if (kind !== "pass") {
      const bitmap = await createImageBitmap(blob);
      text.textContent = `${bitmap.width} × ${bitmap.height} pixels, as it is shown.${kind === "best" ? " Best quality has at most 1024 pixels a side." : " It is not done yet."}`;
      bitmap.close();
      return;
    }
    try {
      const { width, height, reason } = await this.plan(settings.photo);
      const own = `${settings.photo.width} × ${settings.photo.height}`;
      // It is painted as what is shown was, then enlarged.
      const seconds = Math.round(milliseconds / 1000 + (width * height) / (paintsHere() ? ENLARGED.here : ENLARGED.there));
      text.textContent = (reason ? `${width} × ${height} pixels, not ${own}: ${reason}.` : `${own} pixels, the size of the photo.`)
        + (seconds > 2 ? ` Takes about ${seconds} seconds.` : "");
    } catch (error) {
      this.notice("download", error);
    }
  }

  async #copy() {
    byId("share").open = false;
    try {
      await navigator.clipboard.write([new ClipboardItem({ "image/png": converted(this.shown.blob, "png") })]);
      this.say("Picture copied.");
      this.notice("copy", null);
    } catch {
      this.notice("copy", new Error("This browser does not let a page copy pictures. Download it instead."));
    }
  }

  async #share() {
    byId("share").open = false;
    try {
      const { blob, settings } = this.shown;
      await navigator.share({ files: [new File([await converted(blob, "jpeg")], `${name(settings)}.jpg`, { type: "image/jpeg" })] });
    } catch (error) {
      if (error.name !== "AbortError") this.notice("copy", error);
    }
  }

  #cancel() {
    this.#stop.abort();
    byId("job-state").textContent = "Cancelling…";
    if (this.#job) endJob(this.#job).catch((error) => this.notice("download", error));
  }
}

export function save(file) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function stem(photo) {
  return photo.name.replace(/\.[^.]*$/, "");
}

function name({ photo, parts }) {
  return `${stem(photo)}.${parts.map((part) => part.style).join("+").replaceAll(":", "-")}`;
}

async function converted(blob, format) {
  if (blob.type === `image/${format}`) return blob;
  const bitmap = await createImageBitmap(blob);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return new Promise((resolve) => canvas.toBlob(resolve, `image/${format}`, 0.95));
}
