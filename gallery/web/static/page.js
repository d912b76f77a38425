// The page: photo and styles in, painting out.

import { ApiError, isPassing, json, onLocked, request, site } from "./api.js";
import { Brush, maskName } from "./brush.js";
import { Cards } from "./cards.js";
import { changes, Controls, read } from "./controls.js";
import { Details } from "./details.js";
import { Film, isFilm } from "./film.js";
import { Viewer } from "./viewer.js";
import { Gallery } from "./gallery.js";
import { Inside } from "./inside.js";
import { Learn } from "./learn.js";
import { Live } from "./live.js";
import { Many } from "./many.js";
import { MAX_PARTS, Mix, partOf } from "./mix.js";
import { Notices } from "./notices.js";
import { People } from "./people.js";
import { StylizeRequests } from "./requests.js";
import { readPhoto } from "./photo.js";
import { Recording } from "./record.js";
import { Render } from "./render.js";
import { Saving } from "./saving.js";
import { translate } from "./texts.js";
import { Where } from "./where.js";

const byId = (id) => document.getElementById(id);
const FIRST = "cafe-terrace-at-night";
const MAX_TRIES = 24;

const notices = new Notices();
const notice = (about, error, retry) => notices.tell(about, error, retry);
const viewer = new Viewer();
const requests = new StylizeRequests({
  painted,
  working: (on) => (byId("working").hidden = !on),
  failed: (error) => notice("paint", error, isPassing(error) ? () => requests.again() : null),
});
const cards = new Cards({ isBusy: () => requests.isBusy || live.isOn });
const learn = new Learn({ learnt, failed: (error) => notice("learn", error) });
const details = new Details({ use: (part) => mix.use(part), learn, failed: (error) => notice("details", error) });
const mix = new Mix({ changed: (moving) => paint(moving), like: (part) => gallery.like(part), details, cards });
const gallery = new Gallery({ use: (part) => mix.use(part), add: (part) => addPart(part), glance, details, cards, failed: (error) => notice("gallery", error) });
const controls = new Controls({ changed: (moving) => paint(moving) });
const brush = new Brush({ changed: () => paint(true), say, toggled: (on) => {
  viewer.bare(on);
  if (on) byId("brush-box").scrollIntoView({ block: "nearest" });
} });
const live = new Live({
  settings: () => ({ parts: mix.parts, ...controls.values }),
  show: (blob, rate, way) => {
    viewer.show(blob, mix.title, true);
    recording.take(blob);
    byId("rate").textContent = `${rate.toFixed(1)} per second`;
    byId("rate").dataset.way = way;
  },
  failed: (error) => notice("paint", error),
});
const recording = new Recording({ say });
const people = new People();
const inside = new Inside({ failed: (error) => notice("inside", error) });
const saving = new Saving({ say, notice });
const many = new Many({ open: (next) => take(next), saving, notice, say, isBusy: () => requests.isBusy || live.isOn });
const render = new Render({
  grown: ({ blob, title }) => growing && show(blob, { ...growing, title }, "growing"),
  done: rendered,
  show: () => goBack(tries.find((each) => each.name === bestName)),
  failed: (error) => notice("render", error),
});
const where = new Where({ say, changed: () => photo && paint(), failed: (error) => notice("device", error) });
const film = new Film({
  settings: pass,
  open: (frame) => take(frame),
  say,
  failed: (error) => notice("film", error),
});
const tries = [];
let wanted = null; // The settings of the pass that is to be shown; none while another picture is.
let growing = null; // The settings of a render whose picture is shown.
let ordered = null; // The settings of the render that runs.
let bestName = ""; // Of the last render in the history.
let photo = null;
let opening = false;
let example = null;
let glanced = null; // The style of the card that is pointed at.
let linked = ""; // Strokes of a link that wait for a photo.

// Photo

async function open(files) {
  const [file] = files;
  viewer.wait(true);
  opening = true;
  if (live.isOn) await endLive();
  let opened;
  try {
    opened = files.length > 1 ? await many.read(files) : isFilm(file) ? await film.read(file) : await readPhoto(file);
    if (files.length === 1) notice("photo", null);
  } catch (error) {
    notice("photo", error);
  }
  opening = false;
  if (!opened) {
    viewer.wait(false);
    if (photo) paint();
    else openExample();
    return;
  }
  if (files.length === 1) many.close();
  take(opened);
}

function take(next) {
  put(next);
  byId("palette").hidden = byId("styles").hidden = false;
  paint(true);
}

// The first view: a good photo, painted already.
async function openExample() {
  try {
    example ??= await readPhoto(new File([await (await request("/example")).blob()], "example.jpg", { type: "image/jpeg" }));
  } catch (error) {
    byId("welcome").hidden = false;
    notice("example", error);
    if (isPassing(error)) setTimeout(() => photo ?? openExample(), 2000);
    return;
  }
  notice("example", null);
  example.isExample = true;
  if (!photo && !live.isOn && !opening) take(example);
}

function put(next) {
  photo = next;
  if (brush.isOn) brush.toggle(false);
  viewer.put(photo);
  brush.put(photo);
  cards.use(photo);
  many.mark(photo);
  film.use(photo);
  if (linked && !photo.isExample) {
    brush.set(brush.read(linked));
    linked = "";
  }
}

function paint(moving = false) {
  refresh();
  wanted = pass();
  people.look(photo && !live.isOn && controls.values.keep !== "none" ? photo : null);
  if (photo && mix.parts.length && !live.isOn) requests.want(wanted, moving);
  remember();
}

function refresh() {
  growing = glanced = null;
  gallery.mark(mix.parts.map((part) => part.style));
  brush.use(mix.parts);
  mix.lock(brush.isPainted && !live.isOn);
  byId("brush").hidden = byId("inside").hidden = live.isOn || !photo;
  // Of most paintings only statistics are at hand: one pass looks better than a render from these.
  byId("best").hidden = live.isOn || !photo || !mix.parts.every((part) => part.file || part.picture);
}

function pass() {
  const strokes = brush.isPainted ? [...brush.strokes] : [];
  return { ...wish(), photo, masks: brush.masks(), strokes, title: mix.title };
}

function wish() {
  return { parts: mix.parts.map(({ share, ...part }) => part), values: controls.values };
}

// Tries a style on the example while one points at its card.
function glance(part) {
  if (!part) {
    if (glanced && saving.shown) {
      viewer.show(saving.shown.blob, saving.shown.settings.title);
      byId("status").textContent = said;
    }
    glanced = null;
    return;
  }
  if (!photo?.isExample || growing || live.isOn || brush.isOn || mix.parts.some((each) => each.style === part.style)) return;
  glanced = part.style;
  requests.glance({ parts: [{ ...part, weight: 1 }], values: controls.values, photo, masks: [], strokes: [], title: part.name, glance: part.style });
}

function painted({ blob, settings, moving, milliseconds }) {
  if (opening) return;
  if (settings.glance) {
    if (settings.glance !== glanced) return;
    viewer.show(blob, settings.title, true);
    byId("status").textContent = `As ${settings.title} would paint it.`;
    return;
  }
  if (settings.photo !== photo || !wanted) return;
  show(blob, settings, "pass", moving);
  if (moving) return;
  saving.shown.milliseconds = milliseconds;
  inside.look(photo, settings.parts);
  say(`Painted in the style of ${settings.title}, in ${(milliseconds / 1000).toFixed(1)} seconds.`);
  keep(blob, settings);
  many.paint(settings);
  where.rest(photo);
}

// Whatever is shown is what is saved, copied and sent.
function show(blob, settings, kind, draft = false) {
  viewer.show(blob, settings.title, draft);
  saving.shown = { blob, settings, kind };
}

// The best picture

async function best() {
  const { parts, values } = wish();
  const masks = await brush.masks();
  const strokes = masks.length ? [...brush.strokes] : [];
  // Each style needs a place; the first one is where no other is.
  const isUsed = (i) => i === 0 || !masks.length || strokes.some((stroke) => stroke.style === parts[i].style);
  const settings = { parts, values, photo, strokes, title: mix.title, best: true };
  const used = { parts: parts.filter((_, i) => isUsed(i)), masks: masks.filter((_, i) => isUsed(i)) };
  growing = ordered = settings;
  wanted = null;
  if (!(await render.start({ photo, ...used, values, title: mix.title }))) growing = ordered = null;
  else if (growing === settings) say("Painting in best quality. What is shown is not done yet.");
}

function rendered(picture, words = "") {
  if (words) say(words);
  const settings = ordered;
  ordered = null;
  if (!settings) return; // It was begun before the page was reloaded.
  if (picture) bestName = keep(picture.blob, settings);
  if (growing === settings) {
    growing = null;
    const before = tries.find((each) => !each.best && each.photo === photo);
    if (picture) {
      show(picture.blob, settings, "best");
      say(`Painted in best quality, in the style of ${settings.title}.`);
      remember();
    } else if (before) {
      wanted = before;
      show(before.blob, before, "pass");
      say(`${words} What is shown is one pass, in the style of ${before.title}.`);
    }
  } else if (picture) {
    render.offer();
  }
}

// History

function keep(blob, settings) {
  const name = settingsText(settings.parts, settings.values) + JSON.stringify([settings.strokes, settings.best]);
  const known = tries.findIndex((each) => each.name === name && each.photo === settings.photo);
  if (known >= 0) URL.revokeObjectURL(tries.splice(known, 1)[0].url);
  tries.unshift({ ...settings, name, blob, url: URL.createObjectURL(blob) });
  for (const old of tries.splice(MAX_TRIES)) URL.revokeObjectURL(old.url);
  byId("history-box").hidden = tries.length < 2;
  byId("history").replaceChildren(...tries.map((each) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const image = new Image();
    button.type = "button";
    button.title = `${each.title}, ${each.best ? "best quality" : `${Math.round(100 * each.values.alpha)} %`}`;
    button.setAttribute("aria-label", `Back to ${button.title}`);
    image.src = each.url;
    image.alt = "";
    button.append(image);
    button.addEventListener("click", () => goBack(each));
    item.append(button);
    return item;
  }));
  return name;
}

function goBack(each) {
  if (!each) return;
  if (each.photo !== photo) put(each.photo);
  controls.set(each.values);
  mix.set(each.parts.map((part) => ({ ...part })));
  brush.use(mix.parts);
  brush.set(each.strokes);
  if (!each.best) {
    paint();
    return;
  }
  refresh();
  requests.forget();
  wanted = null;
  show(each.blob, each, "best");
  say(`Painted in best quality, in the style of ${each.title}.`);
  remember();
}

// Settings in the address, as text, and as a command

function settingsText(parts, values) {
  const query = new URLSearchParams();
  for (const part of parts) if (!part.file) query.append("style", parts.length > 1 ? `${part.style}=${part.weight}` : part.style);
  for (const [name, value] of changes(values)) query.set(name, value);
  return query.toString();
}

function remember() {
  if (!mix.parts.length) return; // What the address says is not known yet.
  const regions = linked || brush.text;
  const text = settingsText(mix.parts, controls.values) + (regions ? `&regions=${regions}` : "");
  history.replaceState(null, "", text ? `#${text}` : location.pathname);
  byId("command-text").textContent = commandLine();
}

function commandLine() {
  const quote = (word) => (/^[\w.:=+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
  const isBest = saving.shown?.kind === "best" && saving.shown.settings.photo === photo && !growing;
  const words = photo?.film ? ["adain", "video", photo.film.file.name, "painted.mp4"] : ["adain", isBest ? "render" : "stylize", photo?.name ?? "photo.jpg"];
  for (const part of mix.parts) {
    const name = part.file ? part.name : part.style;
    words.push("--style", mix.parts.length > 1 && !brush.isPainted ? `${name}=${part.weight}` : name);
  }
  if (brush.isPainted) mix.parts.forEach((_, i) => words.push("--mask", maskName(i)));
  for (const [name, value] of changes(controls.values)) {
    if (isBest && ["alpha", "stroke", "keep"].includes(name)) continue; // A render has none.
    words.push(`--${name.replace("_", "-")}`, ...(value === "true" ? [] : [value]));
  }
  return words.map(quote).join(" ");
}

async function recall() {
  const query = new URLSearchParams(location.hash.slice(1));
  controls.set(read(query));
  const known = [];
  const missing = (error) => {
    if (isPassing(error)) throw error;
    return null;
  };
  try {
    for (const text of query.getAll("style").slice(0, MAX_PARTS)) {
      const [, style, weight] = /^(.*?)(?:=([\d.]+))?$/.exec(text) ?? [];
      if (style) known.push(await part(style, Number(weight ?? 1)).catch(missing));
    }
    if (!known.some(Boolean)) known.push(await part(FIRST, 1).catch(missing) ?? await firstPainting().catch(missing));
  } catch {
    setTimeout(recall, 2000); // The service is away.
    return;
  }
  if (!mix.parts.length) mix.set(known.filter(Boolean));
  brush.use(mix.parts);
  linked = query.get("regions") ?? "";
  if (photo && !photo.isExample) {
    brush.set(brush.read(linked));
    linked = "";
  }
  paint();
}

async function part(style, weight) {
  if (/^(artist|style):/.test(style)) {
    const [kind, slug] = style.split(":", 2);
    const { groups } = await json(kind === "artist" ? "/artists" : "/styles");
    const name = groups.find((group) => group.slug === slug)?.name ?? slug;
    return { style, weight, name, by: "all paintings together" };
  }
  return partOf(await json(`/paintings/${encodeURIComponent(style)}`), weight);
}

async function firstPainting() {
  return partOf((await json("/paintings?limit=1")).paintings[0], 1);
}

function addPart(part) {
  const isFull = mix.parts.length >= MAX_PARTS && !mix.parts.some((each) => each.style === part.style);
  mix.toggle(part);
  notice("mix", isFull ? new Error("Four styles are the most that can be mixed; the last one was replaced.") : null);
  say(`Mixing ${mix.title}.`);
}

// What was learnt is painted with at once; a file of the visitor's own is a painting of the gallery now.
function learnt(painting, style) {
  cards.forget(painting.slug);
  gallery.learnt(painting);
  if (!mix.parts.some((each) => each.style === style)) return;
  mix.set(mix.parts.map((each) => (each.style === style ? partOf(painting, each.weight) : each)));
  paint();
}

// Words to the user

let said = "";

function say(text) {
  said = byId("status").textContent = text;
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    prompt(what, text);
  }
  byId("share").open = false;
}

// Ways for a photo to come in

// Pictures where there are any, else whatever came: the service may read it.
function pictures(items) {
  const all = [...(items ?? [])];
  const known = all.filter((file) => file.type.startsWith("image/") || isFilm(file) || /\.(hei[cf]|avif|tiff?)$/i.test(file.name));
  return known.length ? known : all.slice(0, 1);
}

function connectPhotos() {
  byId("pick").addEventListener("click", () => byId("file").click());
  for (const button of byId("another").querySelectorAll("button")) {
    button.addEventListener("click", () => {
      byId("another").open = false;
      byId(button.dataset.way).click();
    });
  }
  for (const id of ["file", "snap"]) {
    byId(id).addEventListener("change", (event) => {
      const files = [...event.target.files];
      if (files.length) open(files);
      event.target.value = "";
    });
  }
  document.addEventListener("paste", (event) => {
    const files = pictures(event.clipboardData?.files);
    if (files.length) open(files);
  });
  const stage = byId("stage");
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      stage.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) stage.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    const files = pictures(event.dataTransfer?.files);
    if (!files.length) return;
    if (event.target.closest?.("#gallery")) ownPainting(files[0]);
    else open(files);
  });
  connectCamera();
  connectLive();
}

function connectLive() {
  for (const button of [byId("live"), byId("another").querySelector("[data-way=live]")]) {
    button.hidden = !navigator.mediaDevices?.getUserMedia;
  }
  byId("live").addEventListener("click", async () => {
    try {
      await live.start();
    } catch {
      notice("photo", new Error("The camera cannot be used. Allow it for this page, or choose a photo."));
      return;
    }
    if (brush.isOn) brush.toggle(false);
    viewer.live(true);
    byId("rate").textContent = "";
    byId("palette").hidden = byId("styles").hidden = false;
    paint();
    say("Painting what the camera sees.");
  });
  byId("keep").addEventListener("click", async () => open([await endLive()]));
  byId("live-stop").addEventListener("click", async () => {
    await endLive();
    notice("paint", null);
    viewer.wait(true);
    if (photo ?? example) take(photo ?? example);
    else openExample();
  });
}

async function endLive() {
  recording.stop();
  const file = await live.stop();
  viewer.live(false);
  return file;
}

function connectCamera() {
  const dialog = byId("camera");
  const video = byId("video");
  byId("take").addEventListener("click", async () => {
    // Phones have a camera of their own behind the file picker.
    if (!navigator.mediaDevices?.getUserMedia || matchMedia("(pointer: coarse)").matches) {
      byId("snap").click();
      return;
    }
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 } } });
      dialog.showModal();
      await video.play();
    } catch {
      byId("snap").click();
    }
  });
  byId("shoot").addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => open([new File([blob], "camera.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.95);
    dialog.close();
  });
  byId("shut").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  });
}

async function ownPainting(file) {
  try {
    const { full } = await readPhoto(file);
    mix.use({ style: "own", file: full, name: file.name, by: "your own painting", chip: URL.createObjectURL(full) });
  } catch (error) {
    notice("photo", error);
  }
}

function connectControls() {
  byId("own").addEventListener("click", () => byId("own-file").click());
  byId("own-file").addEventListener("change", (event) => {
    if (event.target.files[0]) ownPainting(event.target.files[0]);
    event.target.value = "";
  });
  byId("best").addEventListener("click", best);
  byId("link").addEventListener("click", () => {
    copy(location.href, brush.isPainted && !brush.text ? "Link without the regions" : "Link");
  });
  byId("command").addEventListener("click", () => copy(commandLine(), "Command"));
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll(".menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const menu of document.querySelectorAll(".menu[open]")) menu.open = false;
    if (event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "?") byId("keys").showModal();
    if (event.key === "/") {
      event.preventDefault();
      byId("words").focus();
    }
    if (!photo || event.target.closest(".tile")) return;
    const keys = { "+": () => viewer.zoom(1.5), "-": () => viewer.zoom(1 / 1.5), f: () => viewer.fullScreen(), o: () => viewer.compare() };
    keys[event.key]?.();
  });
  byId("help").addEventListener("click", () => byId("keys").showModal());
  // The address holds the settings, so these links must not change it.
  for (const jump of document.querySelectorAll(".jump")) {
    jump.addEventListener("click", (event) => {
      event.preventDefault();
      byId("gallery").scrollIntoView({ behavior: "smooth", block: "start" });
      byId("gallery").focus({ preventScroll: true });
    });
  }
  addEventListener("hashchange", () => {
    mix.set([]);
    recall();
  });
  addEventListener("offline", () => notice("net", new ApiError("offline", "")));
  addEventListener("online", () => notice("net", null));
}

onLocked((again) => new Promise((resolve) => {
  const dialog = byId("door");
  if (again) byId("key").setAttribute("aria-invalid", "true");
  if (!dialog.open) dialog.showModal();
  dialog.addEventListener("close", () => resolve(byId("key").value), { once: true });
}));

navigator.serviceWorker?.addEventListener("message", ({ data }) => data === "no-room" && notice("room", new Error("This browser has no room to keep the page: without a connection it will not open.")));
navigator.serviceWorker?.register(new URL("../offline.js", import.meta.url)).catch(() => {}); // It only makes the page open sooner.
if (site) {
  byId("command").hidden = true; // It is for who has the program,
  byId("file").accept = "image/*"; // which reads films, too.
  json("/texts").then((texts) => texts.lang && translate(texts)).catch(() => {}); // English will do.
}
connectPhotos();
connectControls();
gallery.open();
recall();
openExample();
