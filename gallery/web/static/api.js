// Requests to the service; every failure is an ApiError with a code.

const ROOT = "/api/v1";
const KEY = "adain-key";
const PATIENCE = 90_000; // Milliseconds: longer than the service lets a request wait.

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

export async function request(path, options = {}) {
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

export function stylize({ signal, ...settings }) {
  const { query, body } = order({ format: "jpeg", quality: 90, ...settings });
  return request(`/stylize?${query}`, { method: "POST", body, signal });
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

export function endJob(id) {
  return request(`/jobs/${id}`, { method: "DELETE" });
}

// The socket for live frames.
export function liveSocket() {
  const key = sessionStorage.getItem(KEY);
  const place = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${ROOT}/live`;
  return new WebSocket(place, key ? ["adain", key] : ["adain"]);
}
