// The paintings as tiles: search, artists, movements, "more like this", endless.

import { isPassing, json, showPicture } from "./api.js";
import { onLongPress } from "./details.js";
import { partOf } from "./mix.js";

const byId = (id) => document.getElementById(id);
const PAGE = 24;
const LIKED = "adain-favourites";
const GLANCE = 120; // Milliseconds on a card before it is tried.
const AGAIN = 2000; // Milliseconds after which the service is asked again.

export class Gallery {
  #next = null;
  #ahead = null;
  #learnt = new Set();
  #fresh = false; // The next page takes the place of the tiles.
  #loading = false;
  #again = 0;
  #run = 0;

  constructor({ use, add, glance, details, cards, failed }) {
    Object.assign(this, { use, add, glance, details, cards, failed });
    this.liked = recalled();
    byId("favourites").addEventListener("click", () => this.#showLiked());
    this.#tellLiked();
    this.tiles = byId("tiles");
    this.used = new Set();
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    let typing = 0;
    byId("words").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.search(), 250);
    });
    byId("artist").addEventListener("change", () => this.#choose("artist", "movement"));
    byId("movement").addEventListener("change", () => this.#choose("movement", "artist"));
    byId("more").addEventListener("click", () => this.#load());
    byId("group-style").addEventListener("click", () => this.use(this.group));
    this.tiles.addEventListener("keydown", (event) => this.#arrow(event));
    const watch = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.#load();
    }, { rootMargin: "500px" });
    watch.observe(byId("more").parentElement);
  }

  async open() {
    await this.search();
    await this.#groups("artist", "/artists");
    await this.#groups("movement", "/styles");
  }

  async #groups(id, path) {
    try {
      for (const group of (await json(path)).groups) {
        const option = new Option(`${group.name} (${group.paintings})`, group.slug);
        option.dataset.name = group.name;
        byId(id).append(option);
      }
    } catch (error) {
      this.failed(error);
      if (isPassing(error)) setTimeout(() => this.#groups(id, path), AGAIN);
    }
  }

  search() {
    const words = byId("words").value.trim();
    const artist = byId("artist").selectedOptions[0];
    const movement = byId("movement").selectedOptions[0];
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (words) query.set("q", words);
    if (artist.value) query.set("artist", artist.value);
    if (movement.value) query.set("style", movement.value);
    const group = artist.value ? artist : movement.value ? movement : null;
    this.#offer(group, artist.value ? "artist" : "style");
    const title = group ? group.dataset.name : "All paintings";
    byId("favourites").setAttribute("aria-pressed", "false");
    const path = `/paintings?${query}`;
    return this.#open(path, words ? `“${words}”${group ? ` in ${title}` : ""}` : title, `${path}&learnt=true`);
  }

  like(part) {
    byId("words").value = byId("artist").value = byId("movement").value = "";
    this.#offer(null);
    byId("gallery").scrollIntoView({ behavior: "smooth", block: "start" });
    return this.#open(`/paintings/${encodeURIComponent(part.style)}/similar?limit=48`, `Like ${part.name}`);
  }

  mark(styles) {
    this.used = new Set(styles);
    for (const button of this.tiles.querySelectorAll(".use")) {
      const used = this.used.has(button.dataset.style);
      const out = used && this.used.size > 1;
      const add = button.nextElementSibling;
      button.setAttribute("aria-pressed", String(used));
      add.textContent = out ? "−" : "+";
      add.setAttribute("aria-label", `${out ? "Take out" : "Mix in"} ${add.dataset.name}`);
    }
  }

  // Favourites are kept in this browser.
  #like(painting, button) {
    const known = this.liked.findIndex((each) => each.slug === painting.slug);
    if (known >= 0) this.liked.splice(known, 1);
    else this.liked.unshift(painting);
    button.setAttribute("aria-pressed", String(known < 0));
    try {
      localStorage.setItem(LIKED, JSON.stringify(this.liked));
    } catch {
      // No room, or none allowed: then they last as long as the page.
    }
    this.#tellLiked();
  }

  #tellLiked() {
    byId("favourites").hidden = !this.liked.length && byId("favourites").getAttribute("aria-pressed") !== "true";
    byId("favourites").textContent = `Favourites (${this.liked.length})`;
  }

  #showLiked() {
    const on = byId("favourites").getAttribute("aria-pressed") !== "true";
    byId("words").value = byId("artist").value = byId("movement").value = "";
    if (!on) {
      this.search();
      this.#tellLiked();
      return;
    }
    this.#run += 1;
    this.#next = null;
    this.#offer(null);
    byId("favourites").setAttribute("aria-pressed", "true");
    byId("heading").textContent = "Favourites";
    byId("nothing").hidden = true;
    byId("more").hidden = true;
    this.tiles.replaceChildren(...this.liked.map((painting) => this.#tile(painting)));
    this.tiles.querySelector(".use")?.setAttribute("tabindex", "0");
    this.mark(this.used);
  }

  #choose(one, other) {
    if (byId(one).value) byId(other).value = "";
    this.search();
  }

  #offer(group, kind) {
    const button = byId("group-style");
    button.hidden = !group;
    if (!group) return;
    this.group = { style: `${kind}:${group.value}`, name: group.dataset.name, by: "all paintings together" };
    button.textContent = `Paint like all of ${group.dataset.name}`;
  }

  // What is `ahead` comes before the first page, and not again.
  async #open(path, title, ahead = null) {
    this.#run += 1;
    this.#next = path;
    this.#ahead = ahead;
    this.#fresh = true;
    this.#loading = false;
    byId("heading").textContent = title;
    this.tiles.setAttribute("aria-busy", "true");
    await this.#load();
  }

  async #load() {
    if (!this.#next || this.#loading) return;
    clearTimeout(this.#again);
    this.#loading = true;
    const run = this.#run;
    try {
      // Learnt paintings look best, so they come first.
      const [page, ahead] = await Promise.all([json(this.#next), this.#ahead ? json(this.#ahead) : null]);
      if (run !== this.#run) return;
      if (this.#fresh) this.#learnt = new Set(ahead?.paintings.filter((each) => each.learnt).map((each) => each.slug));
      const learnt = (ahead?.paintings ?? []).filter((each) => each.learnt);
      this.#ahead = null;
      if (this.#fresh) this.tiles.replaceChildren();
      this.#fresh = false;
      this.#next = page.next;
      const first = this.tiles.children.length === 0;
      const others = page.paintings.filter((each) => !this.#learnt.has(each.slug));
      this.tiles.append(...[...learnt, ...others].map((painting) => this.#tile(painting)));
      this.mark(this.used);
      if (first) this.tiles.querySelector(".use")?.setAttribute("tabindex", "0");
      byId("nothing").hidden = this.tiles.children.length > 0;
      byId("more").hidden = !this.#next;
      byId("more").textContent = "Show more";
      this.failed(null);
    } catch (error) {
      if (run !== this.#run) return;
      this.failed(error);
      byId("more").hidden = false;
      byId("more").textContent = "Try again";
      if (isPassing(error)) this.#again = setTimeout(() => this.#load(), 1000 * error.seconds || AGAIN);
    } finally {
      if (run === this.#run) this.#loading = false;
      this.tiles.removeAttribute("aria-busy");
    }
  }

  // Text comes from anywhere, so it only ever becomes text.
  #tile(painting) {
    const by = [painting.artist, painting.years].filter(Boolean).join(", ");
    const part = partOf(painting);
    const item = document.createElement("li");
    item.className = "tile";
    const use = document.createElement("button");
    use.type = "button";
    use.className = "use";
    use.dataset.style = painting.slug;
    use.tabIndex = -1;
    use.setAttribute("aria-pressed", String(this.used.has(painting.slug)));
    use.title = [painting.title, by, painting.styles.join(", ")].filter(Boolean).join("\n");
    const image = new Image();
    image.alt = "";
    image.className = "card waiting";
    image.decoding = "async";
    image.loading = "lazy";
    image.width = 256;
    image.height = 208;
    let tries = 0;
    image.addEventListener("load", () => image.src.startsWith("blob:") || image.classList.remove("waiting"));
    image.addEventListener("error", () => {
      if (image.src.startsWith("blob:")) return;
      if ((tries += 1) > 4) image.classList.remove("waiting");
      else setTimeout(() => showPicture(image, `${painting.preview}?again=${tries}`).catch(() => {}), 1500 * tries);
    });
    this.cards.add(image, painting.slug, painting.preview);
    const text = document.createElement("span");
    text.className = "text";
    text.append(span("name", painting.title), span("by", by));
    use.append(image, text);
    if (painting.learnt) use.append(learntMark());
    onLongPress(use, () => this.details.show(part));
    this.#point(use, part, painting);
    use.addEventListener("click", (event) => (event.shiftKey ? this.add(part) : this.use(part)));
    const add = document.createElement("button");
    add.type = "button";
    add.className = "add";
    add.textContent = "+";
    add.dataset.name = painting.title;
    add.tabIndex = -1;
    add.setAttribute("aria-label", `Mix in ${painting.title}`);
    add.addEventListener("click", () => this.add(part));
    const like = document.createElement("button");
    like.type = "button";
    like.className = "like";
    like.textContent = "♥";
    like.tabIndex = -1;
    like.setAttribute("aria-label", `Favourite: ${painting.title}`);
    like.setAttribute("aria-pressed", String(this.liked.some((each) => each.slug === painting.slug)));
    like.addEventListener("click", () => this.#like(painting, like));
    const about = document.createElement("button");
    about.type = "button";
    about.className = "about";
    about.textContent = "i";
    about.tabIndex = -1;
    about.title = "The painting itself (I)";
    about.setAttribute("aria-label", `About ${painting.title}`);
    about.addEventListener("click", () => this.details.show(part));
    item.append(use, add, like, about);
    return item;
  }

  // A painting was learnt just now; one that is not among the tiles becomes the first.
  learnt(painting) {
    const use = this.tiles.querySelector(`.use[data-style="${CSS.escape(painting.slug)}"]`);
    if (!use) this.tiles.prepend(this.#tile(painting));
    else if (!use.querySelector(".learnt")) use.append(learntMark());
    this.mark(this.used);
  }

  // Pointing at a card tries it on the example, and shows the painting itself, or its colours.
  #point(use, part, painting) {
    let timer = 0;
    let shown = null;
    use.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "touch") return;
      timer = setTimeout(() => {
        this.glance(part);
        shown ??= this.details.peek(painting);
        use.append(shown);
      }, GLANCE);
    });
    use.addEventListener("pointerleave", () => {
      clearTimeout(timer);
      this.glance(null);
      shown?.remove();
      shown = null;
    });
  }

  // One tab stop for all tiles; arrows move between them, + mixes one in.
  #arrow(event) {
    const buttons = [...this.tiles.querySelectorAll(".use")];
    const here = buttons.indexOf(event.target.closest(".tile")?.querySelector(".use"));
    if (here < 0) return;
    if (event.key === "+") {
      event.preventDefault();
      buttons[here].nextElementSibling.click();
      return;
    }
    const more = { "*": ".like", i: ".about" }[event.key];
    if (more) {
      buttons[here].parentElement.querySelector(more).click();
      return;
    }
    const top = buttons[0].getBoundingClientRect().top;
    const columns = buttons.filter((each) => each.getBoundingClientRect().top === top).length || 1;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -here, End: buttons.length - 1 - here };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const there = Math.max(0, Math.min(buttons.length - 1, here + steps[event.key]));
    for (const each of buttons) each.tabIndex = each === buttons[there] ? 0 : -1;
    buttons[there].focus();
  }
}

function learntMark() {
  const mark = span("learnt", "Learnt");
  mark.title = "Its brush strokes were learnt from the painting itself";
  return mark;
}

function span(name, text) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}

function recalled() {
  try {
    const known = JSON.parse(localStorage.getItem(LIKED) ?? "[]");
    return known.filter((each) => typeof each.slug === "string" && typeof each.title === "string" && Array.isArray(each.styles));
  } catch {
    return [];
  }
}
