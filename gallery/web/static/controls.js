// What is made of the photo besides its styles; each value has the name that the API gives it.

const byId = (id) => document.getElementById(id);
const COLORS = ["none", "luminance", "linear", "histogram"];
// Beyond these faces break into blocks or look like hammered metal, and dark colours turn into others.
const ALPHA = [0, 1.2];
const STROKE = [0.5, Math.round(100 * 2 ** 0.5) / 100];
export const PLAIN = { alpha: 1, stroke: 1, preserve_color: "none", photorealistic: false, keep: "none" };

export class Controls {
  constructor({ changed }) {
    for (const id of ["alpha", "stroke"]) {
      byId(id).addEventListener("input", () => {
        this.#tell();
        changed(true);
      });
    }
    byId("colors").addEventListener("change", () => changed(false));
    byId("photorealistic").addEventListener("change", () => changed(false));
    byId("faces").addEventListener("change", () => changed(false));
    byId("plain").addEventListener("click", () => {
      this.set(PLAIN);
      changed(false);
    });
    this.set(PLAIN);
  }

  get values() {
    return {
      alpha: Number(byId("alpha").value),
      stroke: Math.round(100 * 2 ** Number(byId("stroke").value)) / 100,
      preserve_color: byId("colors").value,
      photorealistic: byId("photorealistic").checked,
      keep: byId("faces").checked ? "face" : "none",
    };
  }

  set({ alpha, stroke, preserve_color, photorealistic, keep }) {
    byId("alpha").value = alpha;
    byId("stroke").value = Math.log2(stroke);
    byId("colors").value = preserve_color;
    byId("photorealistic").checked = photorealistic;
    byId("faces").checked = keep === "face";
    this.#tell();
  }

  #tell() {
    const { alpha, stroke } = this.values;
    byId("alpha-value").textContent = `${Math.round(100 * alpha)} %`;
    byId("stroke-value").textContent = `× ${stroke}`;
    byId("stroke").setAttribute("aria-valuetext", `${stroke} times`);
  }
}

// Those that are not plain, as text.
export function changes(values) {
  return Object.entries(values).filter(([name, value]) => value !== PLAIN[name]).map(([name, value]) => [name, String(value)]);
}

// What a link says; whatever is wrong in it is left plain, and what goes too far goes as far as it may.
export function read(query) {
  const number = (name, [low, high]) => {
    const value = Number(query.get(name) || NaN);
    return Number.isNaN(value) ? PLAIN[name] : Math.max(low, Math.min(value, high));
  };
  const colors = query.get("preserve_color");
  return {
    alpha: number("alpha", ALPHA),
    stroke: number("stroke", STROKE),
    preserve_color: COLORS.includes(colors) ? colors : "none",
    photorealistic: query.get("photorealistic") === "true",
    keep: query.get("keep") === "face" ? "face" : "none",
  };
}
