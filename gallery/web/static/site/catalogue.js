// The answers of a service, from the plain files of a site; see gallery/use_cases/site.py.

import { ApiError, site } from "../api.js";

const PAGE = 24;
const SIMILAR = 24;
const MAX_SIDE = 4096; // Of a picture that is saved,
const MAX_PIXELS = 16e6; // and its pixels: phones have no canvas for more.

const ROUTES = [
  [/^$/, () => json({ max_side: MAX_SIDE, max_pixels: MAX_PIXELS, max_body: Infinity, max_styles: 4, formats: ["jpeg", "png"], learns: false, paints_on_device: true })],
  [/^\/example$/, () => file("example.jpg")],
  [/^\/network$/, () => file("network.safetensors")],
  [/^\/texts$/, async () => ((await read("site.json")).texts ? file("texts.json") : json({ lang: "", texts: {} }))],
  [/^\/artists$/, async () => json({ groups: (await read("groups.json")).artist })],
  [/^\/styles$/, async () => json({ groups: (await read("groups.json")).style })],
  [/^\/paintings$/, list],
  [/^\/paintings\/([^/]+)$/, async (_, slug) => json(painting(await find(slug)))],
  [/^\/paintings\/([^/]+)\/similar$/, similar],
];

/** Answer what a service is asked; fails as `request` does. */
export async function answer(path, { method = "GET" } = {}) {
  const { pathname, searchParams } = new URL(`http://site${path}`);
  const place = pathname === "/" ? "" : pathname;
  for (const [pattern, make] of method === "GET" ? ROUTES : []) {
    const found = pattern.exec(place);
    if (found) return make(searchParams, ...found.slice(1).map(decodeURIComponent));
  }
  throw new ApiError("not-here", "This site is made of plain files; that takes a service of adain.");
}

/** Return the vector of what a name stands for, and what was learnt of it, as a file. */
export async function styleOf(name) {
  const group = /^(artist|style):(.+)$/.exec(name);
  if (group) {
    const { vector, learnt } = await read(`groups/${group[1]}-${group[2]}.json`);
    return { vector: Float32Array.from(vector), adapter: learnt ? await bytes(`adapters/${group[1]}-${group[2]}.safetensors`) : null };
  }
  const { number, slug, learnt } = await find(name);
  const { vectors: count, paintings } = await read("site.json");
  const first = number - (number % count);
  const vectors = new Float32Array(await bytes(`vectors/${first / count}.bin`));
  const length = vectors.length / Math.min(count, paintings - first);
  const row = number - first;
  return { vector: vectors.slice(row * length, (row + 1) * length), adapter: learnt ? await bytes(`adapters/${slug}.safetensors`) : null };
}

/** Return the example as a painting would have it, if that is here: of one painting it is. */
export async function painted(style) {
  const { first } = await read("site.json");
  return style === first ? file("first.jpg") : null;
}

// Files

const kept = new Map(); // What was read, by its path.

export function address(path) {
  return new URL(`../../${path}?${site}`, import.meta.url).href;
}

async function file(path) {
  let answer;
  try {
    answer = await fetch(address(path));
  } catch {
    throw new ApiError("offline", "There is no connection.");
  }
  if (answer.ok) return answer;
  if (answer.status >= 500) throw new ApiError("offline", "The web space does not answer.");
  throw new ApiError("not-here", `${path} is missing: this site was not copied whole.`);
}

function once(path, take) {
  if (!kept.has(path)) {
    const got = file(path).then(take);
    kept.set(path, got);
    got.catch(() => kept.delete(path));
  }
  return kept.get(path);
}

const read = (path) => once(path, (answer) => answer.json());
const bytes = (path) => once(path, (answer) => answer.arrayBuffer());
const part = (number) => read(`paintings/${number}.json`);

function json(value) {
  return new Response(JSON.stringify(value), { headers: { "Content-Type": "application/json" } });
}

// Paintings

async function at(number) {
  const { shard } = await read("site.json");
  return { number, ...(await part(Math.floor(number / shard)))[number % shard] };
}

function painting({ number, preview, ...facts }) {
  const picture = { preview: preview === false ? "" : address(`previews/${facts.slug}.jpg`), picture: null };
  return { id: number, artist: "", years: "", styles: [], page_url: "", rights: "", credit: "", learnt: false, colors: [], ...facts, ...picture };
}

async function find(slug) {
  const [number] = (await index(slug))[slug] ?? [];
  if (number === undefined) throw new ApiError("style-not-found", `There is no painting ${slug} here.`);
  return at(number);
}

async function list(query) {
  const { paintings, learnt } = await read("site.json");
  let numbers = null; // All of them.
  for (const kind of ["artist", "style"]) {
    if (query.get(kind)) numbers = (await read(`groups/${kind}-${query.get(kind)}.json`)).numbers;
  }
  for (const word of words(query.get("q") ?? "")) {
    const found = await withWord(word);
    numbers = numbers === null ? [...found].sort((a, b) => a - b) : numbers.filter((each) => found.has(each));
  }
  // Those that were learnt come first.
  if (query.get("learnt")) numbers = numbers === null ? [...Array(learnt).keys()] : numbers.filter((each) => each < learnt);
  const count = numbers?.length ?? paintings;
  const start = Number(query.get("after") ?? 0);
  const end = Math.min(count, start + Number(query.get("limit") ?? PAGE));
  const page = await Promise.all([...Array(Math.max(0, end - start)).keys()].map((i) => at(numbers ? numbers[start + i] : start + i)));
  query.set("after", String(end));
  return json({ paintings: page.map(painting), next: end < count ? `/paintings?${query}` : null });
}

async function similar(query, slug) {
  const { number } = await find(slug);
  const { shard } = await read("site.json");
  const near = (await read(`similar/${Math.floor(number / shard)}.json`))[number % shard];
  const found = await Promise.all(near.slice(0, Number(query.get("limit") ?? SIMILAR)).map(at));
  return json({ paintings: found.map(painting), next: null });
}

// Words, in files by their first two letters

function words(text) {
  const plain = text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  return plain.split(/[^\p{L}\p{N}]+/u).filter((word) => word.length > 1);
}

async function index(word) {
  const { letters } = await read("site.json");
  const name = /^[a-z0-9]{2}/.test(word) ? word.slice(0, 2) : "other";
  return letters.includes(name) ? read(`words/${name}.json`) : {};
}

async function withWord(word) {
  const known = Object.entries(await index(word)).filter(([each]) => each.startsWith(word));
  return new Set(known.flatMap(([, numbers]) => numbers));
}
