// What a painting is: its picture where that is at hand, else its colours; its facts, a link, and learning it.

import { json, serviceLimits, showPicture, site } from "./api.js";

const byId = (id) => document.getElementById(id);
const LONG = 500; // Milliseconds of a long press.
const SLIP = 10; // Pixels that a finger may move meanwhile.
const COMMONS = "https://commons.wikimedia.org/w/index.php?";

export class Details {
  #part = null;

  constructor({ use, learn, failed }) {
    Object.assign(this, { use, learn, failed });
    const then = (id, act) => byId(id).addEventListener("click", () => {
      byId("details").close();
      act?.(this.#part);
    });
    then("details-use", (part) => this.use(part));
    then("details-close");
    then("learn", (part) => this.learn.start(part, Number(byId("learn-steps").value)));
    byId("learn-steps").addEventListener("change", () => this.#estimate());
  }

  // A style in use, or one on a card.
  async show(part) {
    this.#part = part;
    let facts;
    try {
      facts = part.file ? { title: part.name, colors: [], styles: [], picture: part.chip } : await json(`/paintings/${encodeURIComponent(part.style)}`);
      this.failed(null);
    } catch (error) {
      this.failed(error);
      return;
    }
    if (part !== this.#part) return; // Another one was asked for meanwhile.
    byId("details-title").textContent = facts.title;
    byId("details-by").textContent = [part.by, facts.styles.join(", "), facts.medium].filter(Boolean).join(" · ");
    byId("details-rights").textContent = [facts.rights, facts.credit].filter(Boolean).join(" · ");
    this.#draw(facts);
    const link = byId("details-page");
    link.hidden = Boolean(part.file);
    link.href = part.page || COMMONS + new URLSearchParams({ search: `${facts.title} ${facts.artist}` });
    link.textContent = part.page ? "Its page" : "Look for it on Wikimedia Commons";
    await this.#offer(part, facts);
    if (!byId("details").open) byId("details").showModal();
  }

  // What shows a painting beside its card: an element that fills by itself.
  peek(painting) {
    if (painting.picture) {
      const image = Object.assign(new Image(), { alt: "", className: "itself" });
      showPicture(image, painting.picture).catch(() => {});
      return image;
    }
    const strip = Object.assign(document.createElement("span"), { className: "strip" });
    json(`/paintings/${encodeURIComponent(painting.slug)}`).then(({ colors }) => fill(strip, colors), () => {});
    return strip;
  }

  #draw({ picture, colors, title }) {
    const [image, strip] = [byId("details-picture"), byId("details-colors")];
    image.hidden = !picture;
    strip.hidden = Boolean(picture) || !colors.length;
    byId("details-none").hidden = Boolean(picture);
    byId("details-none").textContent = colors.length ? "Its colours. The picture itself is not at hand here." : "The picture itself is not at hand here.";
    if (picture) {
      image.alt = title;
      showPicture(image, picture).catch(() => {});
    }
    fill(strip, colors);
  }

  // The button where it can be learnt; else why not, in a line.
  async #offer(part, facts) {
    const { learns } = await serviceLimits().catch(() => ({ learns: false }));
    const isBusy = this.learn.isRunning;
    let why = "Then it is painted in its own brush strokes, and not only in its colours and contrasts.";
    if (facts.learnt) why = "It was learnt: it is painted in its own brush strokes.";
    else if (site) why = ""; // Plain files learn nothing.
    else if (!learns) why = "To learn paintings, the service needs PyTorch, and you a key of its administrators.";
    else if (!facts.picture) why = "It cannot be learnt here without its picture. Give one as “Your own painting”, and learn that.";
    else if (isBusy) why = "Another painting is being learnt. One at a time.";
    else if (part.file) why += " It joins the gallery; its picture is not kept.";
    byId("learn-why").textContent = why;
    byId("learn-row").hidden = facts.learnt || !learns || !facts.picture || isBusy;
    this.#estimate();
  }

  #estimate() {
    byId("learn-time").textContent = this.learn.estimate(Number(byId("learn-steps").value));
  }
}

// Calls `act` where a finger rests, in place of the click.
export function onLongPress(element, act) {
  let timer = 0;
  let start = null;
  let isLong = false;
  const end = () => clearTimeout(timer);
  element.addEventListener("pointerdown", (event) => {
    isLong = false;
    if (event.pointerType !== "touch") return;
    start = event;
    timer = setTimeout(() => {
      isLong = true;
      act();
    }, LONG);
  });
  element.addEventListener("pointermove", (event) => {
    if (start && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > SLIP) end();
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) element.addEventListener(name, end);
  // Else the browser offers to save the picture of the card.
  element.addEventListener("contextmenu", (event) => event.pointerType === "touch" && event.preventDefault());
  element.addEventListener("click", (event) => {
    if (!isLong) return;
    isLong = false;
    event.stopImmediatePropagation();
  }, true);
}

function fill(strip, colors) {
  strip.replaceChildren(...colors.map((color) => {
    const field = document.createElement("span");
    field.style.background = color;
    return field;
  }));
}
