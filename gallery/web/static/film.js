// A film: one of its frames is a photo like any other, painted at once; the film itself is a job of the service, of
// which a second is to be seen first.

import { readFrame, serviceLimits, site, startJob } from "./api.js";
import { JobBox } from "./jobbox.js";
import { readPhoto } from "./photo.js";
import { save, stem } from "./saving.js";

const byId = (id) => document.getElementById(id);
const LOOK = 1; // Seconds that are painted for a look.
const LOOK_SIDE = 640;
const PATIENCE = 6000; // Milliseconds that this browser has for a frame before the service is asked.
const SUFFIXES = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|m2?ts|3gp|og[vm]|wmv|flv)$/i;

export function isFilm(file) {
  return file.type.startsWith("video/") || SUFFIXES.test(file.name);
}

export class Film {
  #box;
  #film = null; // {file, seconds, at} of the photo that is shown.
  #limits = null;
  #moves = 0;
  #job = null; // {name, stem} of the last one.
  #since = null; // {time, progress} of the first news of it.

  // `settings` gives {parts, masks, values}; `open` shows another frame as the photo.
  constructor({ settings, open, say, failed }) {
    Object.assign(this, { settings, open, say, failed });
    this.#box = new JobBox("film", {
      begun: (job) => {
        this.#job = job;
        this.#since = null;
        this.#allow();
      },
      running: (news) => this.#words(news),
      ended: (end) => this.#ended(end),
      failed,
    });
    this.#box.part("picture").alt = "The frame that is being painted";
    this.#box.part("save").textContent = "Download the film";
    this.#box.part("save").addEventListener("click", () => save(new File([this.#box.result], this.#job.name, { type: this.#box.result.type })));
    byId("film-look").addEventListener("click", () => this.#start(true));
    byId("film-paint").addEventListener("click", () => this.#start(false));
    byId("film-at").addEventListener("input", () => this.#move(Number(byId("film-at").value)));
    this.#box.resume();
  }

  // Returns its first frame as a photo.
  async read(file) {
    const { blob, seconds } = await frameOf(file, 0);
    return photoOf({ file, seconds, at: 0 }, blob);
  }

  // Offers to paint the film of a photo, if it has one.
  async use({ film = null }) {
    if (film?.file !== this.#film?.file) {
      byId("film-result").hidden = true;
      byId("film-result").removeAttribute("src");
    }
    this.#film = film;
    byId("film-desk").hidden = film === null || Boolean(site);
    if (byId("film-desk").hidden) return;
    byId("film-at").max = Math.max(0, film.seconds - 0.05).toFixed(2);
    byId("film-at").value = film.at;
    byId("film-at-value").textContent = `${film.at.toFixed(1)} s`;
    try {
      this.#limits = (await serviceLimits()).films;
    } catch (error) {
      this.failed(error);
      return;
    }
    this.#allow();
  }

  #allow() {
    const film = this.#film;
    if (!film) return;
    const why = !this.#limits ? "Films are not painted by this service."
      : film.file.size > this.#limits.bytes ? `This film is too large: the service takes at most ${Math.floor(this.#limits.bytes / 2 ** 20)} MB.`
      : "";
    const { end } = why ? film : this.#part(false);
    const isPart = !why && (film.at > 0 || end !== undefined) && film.seconds > this.#limits.seconds;
    byId("film-text").textContent = why || (isPart ? `The service paints ${this.#limits.seconds} of its ${Math.round(film.seconds)} seconds: those from this frame on.` : "");
    byId("film-look").disabled = byId("film-paint").disabled = Boolean(why) || this.#box.isRunning;
  }

  // The part of the film that is painted.
  #part(isLook) {
    const { seconds, at } = this.#film;
    if (isLook) return { begin: Math.max(0, Math.min(at, seconds - LOOK)), end: Math.max(LOOK, Math.min(at + LOOK, seconds)) };
    const most = this.#limits.seconds;
    return seconds > most ? { begin: Math.min(at, seconds - most), end: Math.min(at + most, seconds) } : {};
  }

  // Shows another frame; only the last that was asked for counts.
  async #move(at) {
    const film = this.#film;
    const move = (this.#moves += 1);
    byId("film-at-value").textContent = `${at.toFixed(1)} s`;
    await new Promise((resolve) => setTimeout(resolve, 120));
    if (move !== this.#moves) return;
    try {
      const { blob } = await frameOf(film.file, at);
      const photo = await photoOf({ ...film, at }, blob);
      if (move === this.#moves && this.#film === film) this.open(photo);
    } catch (error) {
      this.failed(error);
    }
  }

  async #start(isLook) {
    const film = this.#film;
    const { parts, masks, values, title } = this.settings();
    byId("film-look").disabled = byId("film-paint").disabled = true;
    this.failed(null);
    try {
      const container = document.createElement("video").canPlayType('video/mp4; codecs="avc1.640028"') ? "mp4" : "webm";
      const order = { ...values, ...this.#part(isLook), container, method: "film", stable: byId("film-stable").checked };
      if (isLook) order.max_side = LOOK_SIDE;
      const { id } = await startJob({ photo: film.file, parts, masks: await masks, ...order });
      const name = `${stem(film.file)}.${parts.map((part) => part.style).join("+").replaceAll(":", "-")}.${container}`;
      this.#box.follow({ id, title: isLook ? `A second of ${film.file.name}` : `${film.file.name} in the style of ${title}`, name });
    } catch (error) {
      this.failed(error);
      this.#allow();
    }
  }

  #words({ progress }) {
    const now = { time: performance.now(), progress };
    this.#since ??= now;
    const done = progress - this.#since.progress;
    const left = done > 0 ? ((now.time - this.#since.time) / done) * (1 - progress) / 1000 : 0;
    const words = left > 90 ? `, about ${Math.round(left / 60)} minutes left` : left > 0 ? `, about ${Math.max(1, Math.round(left))} seconds left` : "";
    return `${Math.round(100 * progress)} %${words}`;
  }

  #ended({ result, words }) {
    this.#allow();
    this.#box.part("save").hidden = !result;
    if (!result) {
      this.say(words);
      return;
    }
    const video = byId("film-result");
    URL.revokeObjectURL(video.src);
    video.src = URL.createObjectURL(result);
    video.hidden = false;
    video.muted = true; // Else browsers do not let it begin.
    video.play().catch(() => {});
    byId("film-desk").hidden = false;
    this.say("The film is painted.");
  }
}

async function photoOf(film, blob) {
  const photo = await readPhoto(new File([blob], `${stem(film.file)}.jpg`, { type: "image/jpeg" }));
  photo.film = film;
  return photo;
}

// A frame as a picture: by this browser, or by the service where it cannot read the film.
async function frameOf(file, at) {
  return (await browserFrame(file, at).catch(() => null)) ?? readFrame(file, at);
}

async function browserFrame(file, at) {
  const video = document.createElement("video");
  const url = URL.createObjectURL(file);
  try {
    Object.assign(video, { muted: true, preload: "auto", src: url });
    await once(video, "loadeddata");
    if (!Number.isFinite(video.duration) || !video.videoWidth) return null;
    if (at > 0) {
      video.currentTime = at;
      await once(video, "seeked");
    }
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
    return { blob, seconds: video.duration };
  } finally {
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(url);
  }
}

function once(target, name) {
  return new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true });
    target.addEventListener("error", () => reject(new Error("not readable")), { once: true });
    setTimeout(() => reject(new Error("too slow")), PATIENCE);
  });
}
