// Requests to the service, or to what answers in its place; every failure is an ApiError with a code.

const ROOT = "/api/v1";
const KEY = "adain-key";
const PATIENCE = 90_000; // Milliseconds: longer than the service lets a request wait.

// The version of a site of plain files, which has no service; else "".
export const site = document.documentElement.dataset.site ?? "";

export class ApiError extends Error {
  constructor(code, detail, seconds = 0) {
    super(detail);
    this.code = code;
    this.seconds = seconds;
  }
}

// Whether the same request may do later.
export function isPassing(error) {
  return error instanceof ApiError && ["offline", "busy", "too-many-requests"].includes(error.code);
}

let askForKey = null;

export function onLocked(ask) {
  askForKey = ask;
}

const catalogue = () => import("./site/catalogue.js");

export async function request(path, options = {}) {
  if (site) return (await catalogue()).answer(path, options);
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const { patience = PATIENCE, signal, ...rest } = options;
  const signals = [signal, patience && AbortSignal.timeout(patience)].filter(Boolean);
  let answer;
  try {
    answer = await fetch(path.startsWith(ROOT) ? path : ROOT + path, { ...rest, headers, signal: signals.length ? AbortSignal.any(signals) : undefined });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("offline", "The service does not answer.");
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && askForKey) {
    // Another request may have asked meanwhile: then that key is tried, before one is asked for again.
    if (sessionStorage.getItem(KEY) === key) sessionStorage.setItem(KEY, await askForKey(key !== null));
    return request(path, options);
  }
  const problem = await answer.json().catch(() => ({}));
  const seconds = Number(answer.headers.get("Retry-After")) || 0;
  throw new ApiError(problem.code ?? "internal-error", problem.detail ?? answer.statusText, seconds);
}

export async function json(path) {
  return (await request(path)).json();
}

// An <img> sends no key, so where there is one its picture is fetched here.
export async function showPicture(image, path) {
  if (path.startsWith("blob:") || !sessionStorage.getItem(KEY)) {
    image.src = path;
    return;
  }
  const blob = await (await request(path)).blob();
  image.src = URL.createObjectURL(blob);
}

// The query and the body that ask for a picture; values have the names of the API.
export function order({ photo, parts, masks = [], ...values }) {
  const query = new URLSearchParams(Object.entries(values).map(([name, value]) => [name, String(value)]));
  const own = parts.find((part) => part.file);
  for (const part of parts) {
    if (!part.file) query.append("style", masks.length ? part.style : `${part.style}=${part.weight}`);
    else if (!masks.length) query.set("painting_weight", String(part.weight));
  }
  if (!own && !masks.length) return { query, body: photo };
  const body = new FormData();
  body.append("photo", photo, "photo");
  if (own) body.append("painting", own.file, "painting");
  // The service counts the painting that was sent along as the last style.
  const ordered = [...masks.filter((_, i) => !parts[i].file), ...masks.filter((_, i) => parts[i].file)];
  for (const mask of ordered) body.append("mask", mask, "mask.png");
  return { query, body };
}

// What paints in place of the service: a device, and whether it does so alone; else `failed` is told when it fails.
let painter = null;
let isAlone = false;
let deviceFailed = () => {};

export function paintWith(device, { alone = false, failed = () => {} } = {}) {
  painter = device;
  isAlone = alone;
  deviceFailed = failed;
}

// A visitor who wants pictures painted on the device sends none before that is ready, or has failed.
let decided = Promise.resolve();

export function paintAfter(decision) {
  decided = decision.catch(() => {});
}

// Whether pictures are painted on this device.
export function paintsHere() {
  return painter !== null;
}

// `print` is a picture that is saved: where there is a service, it paints that. Of the `example` a site holds a picture that
// is painted already, to show until the device is ready.
export async function stylize({ signal, told, print = false, example = false, ...settings }) {
  if (example && site && !painter?.isOpen && isPlain(settings)) {
    const painted = await (await catalogue()).painted(settings.parts[0].style);
    if (painted) return painted;
  }
  await decided;
  if (painter && (isAlone || (!print && !needsService(settings)))) {
    try {
      return new Response((await painter.stylize({ signal, told, flatten: isAlone, ...settings })).blob);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (isAlone) throw new ApiError(error.code ?? "failed", error.message);
      // The service can. What asked it for a style in vain asks again, and is told.
      if (!(error instanceof ApiError) && error.code !== "beyond-device") deviceFailed(new ApiError(error.code ?? "failed", error.message));
    }
  }
  const { query, body } = order({ format: "jpeg", quality: 90, ...settings });
  return request(`/stylize?${query}`, { method: "POST", body, signal });
}

function isPlain({ parts, masks = [], alpha = 1, stroke = 1, preserve_color = "none", photorealistic = false }) {
  return parts.length === 1 && !masks.length && alpha === 1 && stroke === 1 && preserve_color === "none" && !photorealistic;
}

const ON_DEVICE = ["photo", "parts", "masks", "alpha", "stroke", "preserve_color", "photorealistic", "keep", "max_side", "format", "quality"];

function needsService({ keep = "none", ...settings }) {
  return keep !== "none" || Object.keys(settings).some((name) => !ON_DEVICE.includes(name));
}

// The vector of what a name stands for, and what was learnt of it: {vector, adapter}.
const styles = new Map();

export function styleOf(name) {
  if (!styles.has(name)) {
    const found = readStyle(name);
    styles.set(name, found);
    found.catch(() => styles.delete(name));
    if (styles.size > 200) styles.delete(styles.keys().next().value);
  }
  return styles.get(name);
}

// Asks for it again, as for a painting that was learnt just now.
export function forgetStyle(name) {
  styles.delete(name);
}

async function readStyle(name) {
  const { readTensors } = await import("./device/tensors.js");
  if (site) {
    const { vector, adapter } = await (await catalogue()).styleOf(name);
    return { vector, adapter: adapter && readTensors(adapter).tensors };
  }
  const answer = await request(`/style?${new URLSearchParams({ style: name })}`);
  const { vector, ...adapter } = readTensors(await answer.arrayBuffer()).tensors;
  return { vector: vector.values, adapter: Object.keys(adapter).length ? adapter : null };
}

// The service and its limits: {max_side, max_pixels, max_body, ...}.
let limits = null;

export async function serviceLimits() {
  limits ??= await json("");
  return limits;
}

// A picture that only the service can read: {blob, width, height} of it, upright; the blob is a small JPEG.
export async function readByService(file) {
  const answer = await request("/photo", { method: "POST", body: file });
  const [width, height] = answer.headers.get("X-Picture-Size").split("x").map(Number);
  return { blob: await answer.blob(), width, height };
}

// A frame of a film that only the service can read, and its length.
export async function readFrame(file, at) {
  const answer = await request(`/frame?at=${at}`, { method: "POST", body: file });
  return { blob: await answer.blob(), seconds: Number(answer.headers.get("X-Film-Seconds")) };
}

// Server-sent events of a job, read by fetch because EventSource cannot send a key.
export async function* jobEvents(id) {
  const answer = await request(`/jobs/${id}/events`, { patience: 0 });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      text += read.value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events.filter((each) => each.startsWith("data: "))) yield JSON.parse(event.slice(6));
    }
  } catch {
    throw new ApiError("offline", "The service does not answer.");
  }
}

export async function startJob(settings) {
  const { query, body } = order(settings);
  return (await request(`/jobs?${query}`, { method: "POST", body })).json();
}

// Adds a painting to the gallery, and returns what the gallery says of it.
export async function addPainting(title, file) {
  return (await request(`/paintings?${new URLSearchParams({ title })}`, { method: "POST", body: file })).json();
}

// Begins a job that learns a painting from its picture.
export async function startLearning(slug, picture, steps) {
  return (await request(`/paintings/${encodeURIComponent(slug)}/learn?steps=${steps}`, { method: "POST", body: picture })).json();
}

export function endJob(id) {
  return request(`/jobs/${id}`, { method: "DELETE" });
}

// The socket for live frames.
export function liveSocket() {
  if (site) throw new ApiError("not-here", "A site has no service.");
  const key = sessionStorage.getItem(KEY);
  const place = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${ROOT}/live`;
  return new WebSocket(place, key ? ["adain", key] : ["adain"]);
}
