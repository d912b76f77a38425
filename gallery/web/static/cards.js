// The visitor's own photo on the cards that are in view, each in its style, and on the chips of the styles in use: one request at a time, none
// while the large picture is painted, given up when the card leaves the view.

import { isPassing, showPicture, stylize } from "./api.js";

const KEPT = 300; // Painted cards of one photo.

export class Cards {
  #photo = null;
  #url = ""; // Of the photo itself, until a card is painted.
  #painted = new Map(); // From a style to the URL of its card.
  #inView = new Set();
  #now = null; // {image, stop}
  #running = false;

  constructor({ isBusy }) {
    this.isBusy = isBusy;
    this.watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting && target.isConnected) this.#inView.add(target);
        else this.#inView.delete(target);
        if (!isIntersecting && this.#now?.image === target) this.#now.stop.abort();
      }
      this.#run();
    });
  }

  // Puts a picture on a card; `preview` is the example in its style.
  add(image, style, preview) {
    Object.assign(image.dataset, { style, preview });
    this.#fill(image);
    this.watch.observe(image);
  }

  // Of the example most cards have a picture already.
  #isShown(preview) {
    return this.#photo.isExample === true && preview !== "";
  }

  // Shows a photo on all cards.
  use(photo) {
    if (photo === this.#photo) return;
    this.#now?.stop.abort();
    for (const url of [...this.#painted.values(), this.#url]) if (url) URL.revokeObjectURL(url);
    this.#painted.clear();
    this.#photo = photo;
    this.#url = photo ? URL.createObjectURL(photo.card) : "";
    for (const image of document.querySelectorAll(".card")) this.#fill(image);
    this.#run();
  }

  // A style is painted in another way from now on.
  forget(style) {
    URL.revokeObjectURL(this.#painted.get(style));
    this.#painted.delete(style);
    for (const image of document.querySelectorAll(".card")) {
      if (image.dataset.style !== style) continue;
      image.dataset.preview += `${image.dataset.preview.includes("?") ? "&" : "?"}anew`;
      this.#fill(image);
    }
    this.#run();
  }

  #fill(image) {
    const { style, preview } = image.dataset;
    const known = this.#painted.get(style);
    image.classList.toggle("waiting", !known);
    if (known || (this.#photo && !this.#isShown(preview))) image.src = known ?? this.#url;
    else if (preview) showPicture(image, preview).catch(() => {});
  }

  #next() {
    return this.#photo && [...this.#inView].find((image) => image.isConnected && !image.dataset.failed && !this.#isShown(image.dataset.preview) && !this.#painted.has(image.dataset.style));
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    for (let image = this.#next(); image; image = this.#next()) {
      if (this.isBusy()) {
        await new Promise((resolve) => setTimeout(resolve, 150));
        continue;
      }
      const photo = this.#photo;
      const { style } = image.dataset;
      this.#now = { image, stop: new AbortController() };
      try {
        const answer = await stylize({ photo: photo.card, parts: [{ style, weight: 1 }], quality: 80, signal: this.#now.stop.signal });
        const blob = await answer.blob();
        if (photo === this.#photo) this.#keep(image, URL.createObjectURL(blob));
      } catch (error) {
        if (isPassing(error)) await new Promise((resolve) => setTimeout(resolve, 1000 * (error.seconds || 3)));
        else if (error.name !== "AbortError") image.dataset.failed = "yes";
      }
      this.#now = null;
    }
    this.#running = false;
  }

  #keep(image, url) {
    this.#painted.set(image.dataset.style, url);
    for (const each of document.querySelectorAll(".card")) if (each.dataset.style === image.dataset.style) this.#fill(each);
    if (this.#painted.size <= KEPT) return;
    const old = [...this.#painted.keys()].find((style) => ![...this.#inView].some((each) => each.dataset.style === style));
    if (!old) return;
    URL.revokeObjectURL(this.#painted.get(old));
    this.#painted.delete(old);
  }
}
