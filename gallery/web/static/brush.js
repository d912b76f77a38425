// Where each style goes: soft strokes on the photo, for each style and for the bare photo.
//
// Each style has a layer of weights; a stroke adds to its own and takes as much from all others, so
// that at each place they sum to one. The first style is everywhere until another one is painted.
// Strokes are kept, so undo is to paint all but the last one again.

const byId = (id) => document.getElementById(id);
const SIDE = 512;
const STEP = 0.02; // How far a key moves the brush, in widths of the photo.
const MAX_TEXT = 6000;
const SIGNS = 36 ** 2 - 1;
export const PHOTO = "";
const PIGMENTS = ["#3d5a9e", "#d08a1d", "#3f8a57", "#a3356b"];
const BARE = "#8d8578";

export class Brush {
  strokes = [];
  #parts = [];
  #layers = new Map();
  #stroke = null;
  #files = null;
  #at = { x: 0.5, y: 0.5 };
  #chosen = PHOTO;

  constructor({ changed, say, toggled }) {
    Object.assign(this, { changed, say, toggled });
    this.canvas = byId("regions");
    this.canvas.addEventListener("pointerdown", (event) => this.#press(event));
    this.canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => this.#lift());
    this.canvas.addEventListener("pointerleave", () => (byId("tip").hidden = true));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => (byId("tip").hidden = true));
    byId("brush").addEventListener("click", () => this.toggle());
    byId("brush-done").addEventListener("click", () => this.toggle(false));
    byId("undo").addEventListener("click", () => this.undo());
    byId("clear").addEventListener("click", () => this.clear());
    byId("brush-size").addEventListener("input", () => this.#size());
    byId("regions-save").addEventListener("click", () => this.#save());
    this.#size();
  }

  get isOn() {
    return !this.canvas.hidden;
  }

  // Strokes of styles that are not in use, or of the first style on itself, change nothing.
  get isPainted() {
    const first = this.#parts[0]?.style;
    return this.strokes.some((stroke) => stroke.style !== first && this.#layers.has(stroke.style));
  }

  toggle(on = !this.isOn) {
    this.canvas.hidden = byId("brush-box").hidden = !on;
    byId("tip").hidden = true;
    byId("brush").setAttribute("aria-pressed", String(on));
    this.toggled(on);
    if (on) this.canvas.focus({ preventScroll: true });
    else byId("brush").focus({ preventScroll: true });
    if (on) this.#draw();
  }

  put(photo) {
    const scale = SIDE / Math.max(photo.width, photo.height);
    this.canvas.width = Math.max(1, Math.round(photo.width * scale));
    this.canvas.height = Math.max(1, Math.round(photo.height * scale));
    this.set([]);
  }

  set(strokes) {
    this.strokes = [...strokes];
    this.#replay();
  }

  // The strokes as signs for a link, none where they are too many: for each its style, its size and
  // its places, from half a picture before the photo to half a one behind it.
  get text() {
    if (!this.isPainted || this.#parts.some((part) => part.file)) return "";
    const styles = [...this.#parts.map((part) => part.style), PHOTO];
    const known = this.strokes.filter((stroke) => styles.includes(stroke.style));
    const text = known.map(({ style, size, points }) => styles.indexOf(style) + [size, ...points.flat()].map(sign).join("")).join(".");
    return text.length <= MAX_TEXT ? text : "";
  }

  read(text) {
    const styles = [...this.#parts.map((part) => part.style), PHOTO];
    const strokes = text.slice(0, MAX_TEXT).split(".").map((signs) => {
      const [size, ...values] = (signs.slice(1).match(/[0-9a-z]{2}/g) ?? []).map(unsign);
      const points = values.flatMap((value, i) => (i % 2 ? [[values[i - 1], value]] : []));
      return { style: styles[Number(signs[0])], size: Math.min(0.6, size), points };
    });
    return strokes.filter(({ style, size, points }) => style !== undefined && size > 0 && points.length);
  }

  use(parts) {
    const same = parts.length === this.#parts.length && parts.every((part, i) => part.style === this.#parts[i].style);
    this.#parts = [...parts];
    if (same) return;
    if (!parts.slice(1).some((part) => part.style === this.#chosen)) this.#chosen = parts[1]?.style ?? PHOTO;
    this.#swatches();
    this.#replay();
  }

  undo() {
    if (!this.strokes.length) return;
    this.strokes.pop();
    this.#replay();
    this.say("The last stroke is taken back.");
    this.changed();
  }

  clear() {
    if (!this.strokes.length) return;
    this.set([]);
    this.say("All strokes are taken off.");
    this.changed();
  }

  // One grey picture for each style, or none where nothing is painted.
  async masks() {
    if (!this.isPainted) return [];
    this.#files ??= Promise.all(this.#parts.map((part) => file(this.#grey(this.#layers.get(part.style)))));
    return this.#files;
  }

  // Layers

  #replay() {
    this.#files = null;
    this.#layers = new Map([...this.#parts.map((part) => part.style), PHOTO].map((style) => [style, this.#layer()]));
    const first = this.#layers.get(this.#parts[0]?.style)?.getContext("2d");
    first?.fillRect(0, 0, this.canvas.width, this.canvas.height);
    for (const { style, size, points } of this.strokes) points.forEach((point) => this.#dab(style, size, point));
    this.#draw();
  }

  #layer() {
    const layer = document.createElement("canvas");
    layer.width = this.canvas.width;
    layer.height = this.canvas.height;
    return layer;
  }

  #dab(style, size, [x, y]) {
    if (!this.#layers.has(style)) return;
    const { width, height } = this.canvas;
    const radius = (size * Math.max(width, height)) / 2;
    for (const [each, layer] of this.#layers) {
      const context = layer.getContext("2d");
      const soft = context.createRadialGradient(x * width, y * height, 0, x * width, y * height, radius);
      for (const [at, alpha] of [[0, 0.5], [0.55, 0.35], [1, 0]]) soft.addColorStop(at, `rgba(0, 0, 0, ${alpha})`);
      context.globalCompositeOperation = each === style ? "source-over" : "destination-out";
      context.fillStyle = soft;
      context.fillRect(x * width - radius, y * height - radius, 2 * radius, 2 * radius);
    }
  }

  #grey(layer) {
    const grey = this.#layer();
    const context = grey.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, grey.width, grey.height);
    context.globalCompositeOperation = "destination-in";
    context.drawImage(layer, 0, 0);
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "#000";
    context.fillRect(0, 0, grey.width, grey.height);
    return grey;
  }

  #draw() {
    byId("undo").disabled = byId("clear").disabled = this.strokes.length === 0;
    byId("regions-save").disabled = !this.isPainted;
    if (!this.isOn) return;
    const shown = this.canvas.getContext("2d");
    shown.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const [style, layer] of this.#layers) {
      const tint = this.#layer();
      const context = tint.getContext("2d");
      context.drawImage(layer, 0, 0);
      context.globalCompositeOperation = "source-in";
      context.fillStyle = this.#pigment(style);
      context.fillRect(0, 0, tint.width, tint.height);
      shown.drawImage(tint, 0, 0);
    }
  }

  #pigment(style) {
    return style === PHOTO ? BARE : PIGMENTS[this.#parts.findIndex((part) => part.style === style)];
  }

  // Swatches: what the brush is dipped in

  #swatches() {
    const wells = [...this.#parts.map((part) => [part.style, part.name]), [PHOTO, "Original"]];
    byId("swatches").replaceChildren(...wells.map(([style, name], i) => {
      const label = document.createElement("label");
      const radio = document.createElement("input");
      const dot = document.createElement("canvas");
      Object.assign(radio, { type: "radio", name: "swatch", value: style, checked: style === this.#chosen });
      radio.addEventListener("change", () => (this.#chosen = style));
      Object.assign(dot, { className: "dot", width: 1, height: 1 });
      dot.getContext("2d").fillStyle = this.#pigment(style);
      dot.getContext("2d").fillRect(0, 0, 1, 1);
      const words = document.createElement("span");
      words.textContent = name;
      label.title = `${name} (${i + 1})`;
      label.append(radio, dot, words);
      return label;
    }));
  }

  #choose(index) {
    const radio = byId("swatches").querySelectorAll("input")[index];
    if (!radio) return;
    radio.checked = true;
    this.#chosen = radio.value;
    this.say(`The brush is dipped in ${radio.parentElement.textContent}.`);
  }

  #size() {
    byId("brush-size-value").textContent = `${byId("brush-size").value} %`;
    this.#tip();
  }

  // Strokes

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    this.#at = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  #begin() {
    this.#stroke = { style: this.#chosen, size: Number(byId("brush-size").value) / 100, points: [] };
    this.canvas.classList.add("wet");
    this.#add();
  }

  // Dabs lie a quarter of the brush apart, whatever the speed of the hand.
  #add() {
    const { points, size, style } = this.#stroke;
    const [x, y] = points.at(-1) ?? [this.#at.x, this.#at.y];
    const longest = Math.max(this.canvas.width, this.canvas.height);
    const far = Math.hypot((this.#at.x - x) * this.canvas.width, (this.#at.y - y) * this.canvas.height) / longest;
    const dabs = points.length ? Math.floor((4 * far) / size) : 1;
    for (let i = 1; i <= dabs; i += 1) {
      const point = [x + ((this.#at.x - x) * i) / dabs, y + ((this.#at.y - y) * i) / dabs];
      points.push(point.map((value) => Math.round(1e4 * value) / 1e4));
      this.#dab(style, size, points.at(-1));
    }
    if (dabs) this.#draw();
  }

  #lift() {
    if (!this.#stroke) return;
    this.strokes.push(this.#stroke);
    this.#stroke = null;
    this.#files = null;
    this.canvas.classList.remove("wet");
    this.#draw();
    this.changed();
  }

  #press(event) {
    if (event.button) return;
    event.preventDefault();
    event.stopPropagation();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.#place(event);
    this.#begin();
  }

  #move(event) {
    this.#place(event);
    this.#tip();
    if (this.#stroke) this.#add();
  }

  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.undo();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const size = byId("brush-size");
    if (event.key in moves) {
      const [x, y] = moves[event.key].map((sign) => sign * STEP * (event.shiftKey ? 4 : 1));
      this.#at = { x: Math.min(1, Math.max(0, this.#at.x + x)), y: Math.min(1, Math.max(0, this.#at.y + y)) };
    } else if (event.key === " " || event.key === "Enter") {
      this.#begin();
      this.#lift();
      this.say(`Painted at ${Math.round(100 * this.#at.x)} % from the left, ${Math.round(100 * this.#at.y)} % from the top.`);
    } else if (event.key === "[" || event.key === "]") {
      size.value = Number(size.value) + (event.key === "]" ? 4 : -4);
      this.#size();
    } else if (/^[1-5]$/.test(event.key)) {
      this.#choose(Number(event.key) - 1);
    } else if (event.key === "Escape") {
      this.toggle(false);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (this.isOn) this.#tip();
  }

  // The ring that shows where the brush is and how wide.
  #tip() {
    const tip = byId("tip");
    tip.hidden = !this.isOn;
    if (tip.hidden) return;
    const box = this.canvas.getBoundingClientRect();
    const stage = byId("stage").getBoundingClientRect();
    const wide = (Number(byId("brush-size").value) / 100) * Math.max(box.width, box.height);
    tip.style.width = tip.style.height = `${wide}px`;
    tip.style.left = `${box.left - stage.left + this.#at.x * box.width - wide / 2}px`;
    tip.style.top = `${box.top - stage.top + this.#at.y * box.height - wide / 2}px`;
  }

  // For the command line: --mask takes one grey picture for each style.
  async #save() {
    for (const [i, mask] of (await this.masks()).entries()) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(mask);
      link.download = maskName(i);
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    }
  }
}

function sign(value) {
  const number = Math.round((SIGNS * (Math.min(1.5, Math.max(-0.5, value)) + 0.5)) / 2);
  return number.toString(36).padStart(2, "0");
}

function unsign(signs) {
  return Math.round(1e4 * ((2 * parseInt(signs, 36)) / SIGNS - 0.5)) / 1e4;
}

export function maskName(i) {
  return `mask-${i + 1}.png`;
}

function file(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
