// The picture: the photo under the painting, a divider between them, zoom and full screen.

const byId = (id) => document.getElementById(id);

export class Viewer {
  #zoom = 1;
  #x = 0;
  #y = 0;
  #url = null;
  #was = "empty";

  constructor() {
    this.stage = byId("stage");
    this.after = byId("after");
    this.before = byId("before");
    this.split = byId("split");
    this.after.addEventListener("load", () => {
      if (!byId("live-bar").hidden) this.#shape(this.after.naturalWidth, this.after.naturalHeight);
    });
    this.split.addEventListener("input", () => this.#uncover());
    byId("compare").addEventListener("click", () => this.compare());
    byId("zoom-in").addEventListener("click", () => this.zoom(1.5));
    byId("zoom-out").addEventListener("click", () => this.zoom(1 / 1.5));
    byId("full").addEventListener("click", () => this.fullScreen());
    if (!document.fullscreenEnabled) byId("full").hidden = true;
    document.addEventListener("fullscreenchange", () => byId("full").setAttribute("aria-pressed", String(!!document.fullscreenElement)));
    this.stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.stage.addEventListener("dblclick", () => this.zoom(this.#zoom > 1 ? 0 : 2.5));
    this.#drag();
  }

  get isEmpty() {
    return this.stage.dataset.state === "empty";
  }

  // Shows a photo that is not painted yet.
  put(photo) {
    this.stage.dataset.state = "photo";
    byId("welcome").hidden = !photo.isExample;
    for (const id of ["after", "before", "tools", "split", "divider"]) byId(id).hidden = false;
    URL.revokeObjectURL(this.before.src);
    this.before.src = URL.createObjectURL(photo.full);
    this.before.alt = "The photo";
    this.after.src = this.before.src;
    this.after.alt = "The photo, not painted yet";
    this.#shape(photo.width, photo.height);
    this.zoom(0);
    this.cover(0);
  }

  show(blob, title, draft = false) {
    const url = URL.createObjectURL(blob);
    const old = this.#url;
    this.#url = url;
    this.after.src = url;
    this.after.alt = `The photo, painted in the style of ${title}`;
    this.stage.dataset.state = draft ? "draft" : "painted";
    if (old) this.after.addEventListener("load", () => URL.revokeObjectURL(old), { once: true });
  }

  // Shows frames of a camera in place of a photo, or stops to.
  live(on) {
    this.stage.dataset.state = "live";
    byId("welcome").hidden = true;
    byId("live-bar").hidden = !on;
    this.after.hidden = false;
    for (const id of ["before", "tools", "split", "divider"]) byId(id).hidden = on;
  }

  // A photo is being read.
  wait(on) {
    if (on) this.#was = this.stage.dataset.state;
    this.stage.dataset.state = on ? "reading" : this.#was;
  }

  // Nothing lies over the painting while one paints on it.
  bare(on) {
    this.split.hidden = on;
    this.cover(0);
    byId("compare").disabled = on;
  }

  cover(percent) {
    this.split.value = percent;
    this.#uncover();
  }

  compare() {
    this.cover(Number(this.split.value) === 100 ? 0 : 100);
  }

  zoom(factor) {
    this.#zoom = factor ? Math.min(8, Math.max(1, this.#zoom * factor)) : 1;
    if (this.#zoom < 1.05) this.#zoom = 1;
    this.#place();
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else byId("viewer").requestFullscreen().catch(() => {});
  }

  #shape(width, height) {
    this.stage.style.setProperty("--ratio", width / height);
  }

  #uncover() {
    const value = Number(this.split.value);
    this.stage.style.setProperty("--split", `${value}%`);
    this.split.setAttribute("aria-valuetext", `${value} percent photo`);
    byId("divider").hidden = this.split.hidden;
    byId("compare").setAttribute("aria-pressed", String(value === 100));
  }

  #place() {
    const { offsetWidth: width, offsetHeight: height } = byId("canvas");
    const room = (this.#zoom - 1) / 2;
    this.#x = Math.max(-room * width, Math.min(room * width, this.#x));
    this.#y = Math.max(-room * height, Math.min(room * height, this.#y));
    byId("canvas").style.transform = `translate(${this.#x}px, ${this.#y}px) scale(${this.#zoom})`;
    this.stage.classList.toggle("zoomed", this.#zoom > 1);
  }

  #wheel(event) {
    if (this.isEmpty || !(event.ctrlKey || event.metaKey || this.#zoom > 1)) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 400));
  }

  // Drags the picture when it is enlarged, else the divider; two fingers enlarge it.
  #drag() {
    const down = new Map();
    const apart = () => {
      const [one, two] = [...down.values()];
      return Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
    };
    this.stage.addEventListener("pointerdown", (event) => {
      if (this.isEmpty || event.button || event.target.closest("button, input")) return;
      down.set(event.pointerId, event);
      this.stage.setPointerCapture(event.pointerId);
    });
    this.stage.addEventListener("pointermove", (event) => {
      const last = down.get(event.pointerId);
      if (!last) return;
      const before = down.size === 2 ? apart() : 0;
      if (down.size === 1 && this.#zoom === 1 && Math.abs(event.clientX - last.clientX) <= 2) return;
      down.set(event.pointerId, event);
      if (down.size === 2) {
        this.zoom(apart() / Math.max(1, before));
      } else if (this.#zoom > 1) {
        this.#x += event.clientX - last.clientX;
        this.#y += event.clientY - last.clientY;
        this.#place();
      } else {
        const box = byId("canvas").getBoundingClientRect();
        this.cover(Math.round((100 * (event.clientX - box.left)) / box.width));
      }
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(name, (event) => down.delete(event.pointerId));
    }
  }
}
