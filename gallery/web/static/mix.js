// The styles in use, up to four, with their shares; two have a balance, three a triangle.

import { showPicture } from "./api.js";

const byId = (id) => document.getElementById(id);
const CORNERS = [[100, 14], [186, 164], [14, 164]];
export const MAX_PARTS = 4;

// A painting of the gallery as a style.
export function partOf(painting, weight = 1) {
  const by = [painting.artist, painting.years].filter(Boolean).join(", ");
  const page = /^https?:/.test(painting.page_url ?? "") ? painting.page_url : "";
  const { slug: style, title: name, picture, preview } = painting;
  return { style, name, by, page, picture, preview, chip: picture ?? preview, weight };
}

export class Mix {
  parts = [];

  constructor({ changed, like, details, cards }) {
    Object.assign(this, { changed, like, details, cards });
    this.pad = byId("pad");
    this.pad.addEventListener("pointerdown", (event) => {
      this.pad.setPointerCapture(event.pointerId);
      this.#point(event, true);
    });
    this.pad.addEventListener("pointermove", (event) => {
      if (this.pad.hasPointerCapture(event.pointerId)) this.#point(event, true);
    });
    this.pad.addEventListener("pointerup", (event) => this.#point(event, false));
    this.pad.addEventListener("keydown", (event) => this.#step(event));
    byId("balance").addEventListener("input", () => {
      const second = Number(byId("balance").value);
      this.parts[0].weight = Math.round(100 * (1 - second)) / 100;
      this.parts[1].weight = second;
      this.#place();
      this.changed(true);
    });
  }

  get title() {
    return this.parts.map((part) => part.name).join(" and ");
  }

  set(parts) {
    this.parts = parts.slice(0, MAX_PARTS);
    this.#draw();
  }

  use(part) {
    this.set([{ ...part, weight: 1 }]);
    this.changed(true);
  }

  // Mixes a style in; one that is there already is taken out, unless it is the last.
  toggle(part) {
    if (this.parts.some((each) => each.style === part.style)) {
      this.remove(part.style);
      return;
    }
    // The network takes one painting of one's own.
    const kept = part.file ? this.parts.filter((each) => !each.file) : this.parts;
    this.set([...kept.slice(0, MAX_PARTS - 1), { ...part, weight: 1 }]);
    this.changed(true);
  }

  remove(style) {
    if (this.parts.length < 2) return;
    this.set(this.parts.filter((each) => each.style !== style));
    this.changed(true);
  }

  // Where masks say what goes where, shares say nothing.
  lock(on) {
    byId("mix").classList.toggle("locked", on);
    for (const part of this.parts) if (part.share) part.share.disabled = on;
    byId("balance-box").hidden = on || this.parts.length !== 2;
    byId("pad-box").hidden = on || this.parts.length !== 3;
  }

  #draw() {
    byId("mix").replaceChildren(...this.parts.map((part) => this.#row(part)));
    this.lock(false);
    this.parts.slice(0, 3).forEach((part, i) => {
      byId(`pad-${i}`).textContent = part.name.length > 14 ? `${part.name.slice(0, 13)}…` : part.name;
    });
    this.parts.slice(0, 2).forEach((part, i) => (byId(`balance-${i}`).textContent = part.name));
    this.#place();
  }

  #row(part) {
    const row = document.createElement("div");
    row.className = "part";
    const picture = document.createElement(part.chip ? "img" : "span");
    picture.className = "blank";
    if (part.chip) {
      picture.alt = "";
      if (part.picture || part.file) showPicture(picture, part.chip).catch(() => {});
      else {
        picture.className = "card";
        this.cards.add(picture, part.style, part.preview);
      }
    }
    const middle = document.createElement("div");
    middle.append(text("name", part.name));
    if (this.parts.length > 2) {
      const share = document.createElement("input");
      Object.assign(share, { type: "range", min: 0, max: 1, step: 0.05, value: part.weight });
      share.setAttribute("aria-label", `Share of ${part.name}`);
      share.addEventListener("input", () => {
        part.weight = Number(share.value);
        if (this.parts.every((each) => each.weight === 0)) part.weight = 0.05;
        this.#place();
        this.changed(true);
      });
      part.share = share;
      middle.append(share);
    } else {
      middle.append(text("by", part.by ?? ""));
    }
    if (part.page) {
      const link = Object.assign(document.createElement("a"), { href: part.page, target: "_blank", rel: "noopener noreferrer", className: "page", textContent: "About it" });
      link.setAttribute("aria-label", `About ${part.name}, on another site`);
      middle.append(link);
    }
    const ends = document.createElement("div");
    ends.className = "ends";
    if (part.preview) ends.append(this.#button("Similar", `More like ${part.name}`, () => this.like(part)));
    if (this.parts.length > 1) {
      ends.append(this.#button("✕", `Take ${part.name} out`, () => {
        this.remove(part.style);
        byId("mix").querySelector("button")?.focus();
      }));
    }
    row.append(/^(artist|style):/.test(part.style) ? picture : this.#chip(part, picture), middle, ends);
    return row;
  }

  #chip(part, picture) {
    const button = this.#button("", `About ${part.name}: the painting itself`, () => this.details.show(part));
    button.className = "chip";
    button.title = "The painting itself";
    button.append(picture);
    return button;
  }

  #button(label, meaning, click) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.setAttribute("aria-label", meaning);
    button.addEventListener("click", click);
    return button;
  }

  #place() {
    const sum = this.parts.reduce((all, part) => all + part.weight, 0) || 1;
    if (this.parts.length === 2) {
      const second = this.parts[1].weight / sum;
      byId("balance").value = second;
      byId("balance").setAttribute("aria-valuetext", `${Math.round(100 * second)} percent ${this.parts[1].name}`);
    }
    if (this.parts.length !== 3) return;
    const at = (axis) => this.parts.reduce((all, part, i) => all + (part.weight / sum) * CORNERS[i][axis], 0);
    byId("pad-point").setAttribute("cx", at(0));
    byId("pad-point").setAttribute("cy", at(1));
  }

  // Barycentric coordinates of the point are the shares.
  #shares(x, y, moving) {
    const [[ax, ay], [bx, by], [cx, cy]] = CORNERS;
    const area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
    const a = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / area;
    const b = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / area;
    const shares = [a, b, 1 - a - b].map((share) => Math.max(0, share));
    const sum = shares[0] + shares[1] + shares[2];
    this.parts.forEach((part, i) => {
      part.weight = Math.round((100 * shares[i]) / sum) / 100;
      part.share.value = part.weight;
    });
    this.#place();
    this.changed(moving);
  }

  #point(event, moving) {
    const box = this.pad.getBoundingClientRect();
    this.#shares(((event.clientX - box.left) / box.width) * 200, ((event.clientY - box.top) / box.height) * 180, moving);
  }

  #step(event) {
    const moves = { ArrowLeft: [-9, 0], ArrowRight: [9, 0], ArrowUp: [0, -9], ArrowDown: [0, 9] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const at = (name) => Number(byId("pad-point").getAttribute(name));
    this.#shares(at("cx") + moves[event.key][0], at("cy") + moves[event.key][1], true);
  }
}

function text(name, words) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = words;
  return element;
}
