// The page: photo and styles in, painting out.

import { ApiError, isPassing, json, onLocked, request, stylize } from "./api.js";
import { Brush, maskName } from "./brush.js";
import { changes, Controls, read } from "./controls.js";
import { Viewer } from "./viewer.js";
import { Gallery } from "./gallery.js";
import { Inside } from "./inside.js";
import { Live } from "./live.js";
import { MAX_PARTS, Mix } from "./mix.js";
import { StylizeRequests } from "./requests.js";
import { readPhoto } from "./photo.js";
import { Render } from "./render.js";

const byId = (id) => document.getElementById(id);
const FIRST = "cafe-terrace-at-night";
const MAX_TRIES = 24;

const viewer = new Viewer();
const mix = new Mix({ changed: (moving) => paint(moving), like: (part) => gallery.like(part) });
const gallery = new Gallery({ use: (part) => mix.use(part), add: (part) => addPart(part), failed: (error) => notice("gallery", error) });
const controls = new Controls({ changed: (moving) => paint(moving) });
const brush = new Brush({ changed: () => paint(true), say, toggled: (on) => {
  viewer.bare(on);
  if (on) byId("brush-box").scrollIntoView({ block: "nearest" });
} });
const requests = new StylizeRequests({ painted, working: (on) => (byId("working").hidden = !on), failed: (error) => notice("paint", error) });
const live = new Live({
  settings: () => ({ parts: mix.parts, ...controls.values }),
  show: (blob, rate, way) => {
    viewer.show(blob, mix.title, true);
    byId("rate").textContent = `${rate.toFixed(1)} per second`;
    byId("rate").dataset.way = way;
  },
  failed: (error) => notice("paint", error),
});
const inside = new Inside({ failed: (error) => notice("inside", error) });
const render = new Render({
  grown: ({ blob, title }) => growing && viewer.show(blob, title),
  done: rendered,
  failed: (error) => notice("render", error),
  say,
});
const tries = [];
let growing = null; // The settings of a render whose picture is shown.
let photo = null;
let linked = ""; // Strokes of a link that wait for a photo.
let last = null; // What is shown: {blob, settings}

// Photo

async function open(file) {
  if (live.isOn) await endLive();
  try {
    photo = await readPhoto(file);
  } catch (error) {
    notice("photo", error);
    return;
  }
  notice("photo", null);
  put(photo);
  byId("palette").hidden = false;
  paint(true);
}

function put(shown) {
  photo = shown;
  if (brush.isOn) brush.toggle(false);
  viewer.put(photo);
  brush.put(photo);
  if (linked) brush.set(brush.read(linked));
  linked = "";
}

function paint(moving = false) {
  growing = null;
  gallery.mark(mix.parts.map((part) => part.style));
  brush.use(mix.parts);
  mix.lock(brush.isPainted && !live.isOn);
  byId("brush").hidden = byId("best").hidden = byId("inside").hidden = live.isOn || !photo;
  if (photo && mix.parts.length && !live.isOn) {
    const strokes = brush.isPainted ? [...brush.strokes] : [];
    requests.want({ ...wish(), photo, masks: brush.masks(), strokes, title: mix.title }, moving);
  }
  remember();
}

function wish() {
  return { parts: mix.parts.map(({ share, ...part }) => part), values: controls.values };
}

function painted({ blob, settings, moving, milliseconds }) {
  if (settings.photo !== photo || growing) return;
  viewer.show(blob, settings.title, moving);
  if (moving) return;
  last = { blob, settings };
  inside.look(photo, settings.parts);
  say(`Painted in the style of ${settings.title}, in ${Math.round(milliseconds)} ms.`);
  keep(blob, settings);
}

// The best picture

async function best() {
  const { parts, values } = wish();
  const masks = await brush.masks();
  const strokes = masks.length ? [...brush.strokes] : [];
  // Each style needs a place; the first one is where no other is.
  const isUsed = (i) => i === 0 || !masks.length || strokes.some((stroke) => stroke.style === parts[i].style);
  growing = { parts, values, photo, strokes, title: mix.title, best: true };
  const used = { parts: parts.filter((_, i) => isUsed(i)), masks: masks.filter((_, i) => isUsed(i)) };
  await render.start({ photo, ...used, values, title: mix.title });
}

function rendered(picture) {
  if (!growing) return;
  if (picture) {
    viewer.show(picture.blob, picture.title);
    keep(picture.blob, growing);
  } else if (last) {
    viewer.show(last.blob, last.settings.title);
  }
  growing = null;
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
    button.addEventListener("click", () => {
      if (each.photo !== photo) put(each.photo);
      controls.set(each.values);
      mix.set(each.parts.map((part) => ({ ...part })));
      brush.use(mix.parts);
      brush.set(each.strokes);
      if (each.best) {
        viewer.show(each.blob, each.title);
        remember();
      } else {
        paint();
      }
    });
    item.append(button);
    return item;
  }));
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
  const words = ["adain", "stylize", photo?.name ?? "photo.jpg"];
  for (const part of mix.parts) {
    const name = part.file ? part.name : part.style;
    words.push("--style", mix.parts.length > 1 && !brush.isPainted ? `${name}=${part.weight}` : name);
  }
  if (brush.isPainted) mix.parts.forEach((_, i) => words.push("--mask", maskName(i)));
  for (const [name, value] of changes(controls.values)) {
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
  if (photo) brush.set(brush.read(linked));
  if (photo) linked = "";
  paint();
}

async function part(style, weight) {
  if (/^(artist|style):/.test(style)) {
    const [kind, slug] = style.split(":", 2);
    const { groups } = await json(kind === "artist" ? "/artists" : "/styles");
    const name = groups.find((group) => group.slug === slug)?.name ?? slug;
    return { style, weight, name, by: "all paintings together" };
  }
  return describe(await json(`/paintings/${encodeURIComponent(style)}`), weight);
}

async function firstPainting() {
  return describe((await json("/paintings?limit=1")).paintings[0], 1);
}

function describe(painting, weight) {
  const by = [painting.artist, painting.years].filter(Boolean).join(", ");
  return { style: painting.slug, name: painting.title, by, preview: painting.picture ?? painting.preview, weight };
}

function addPart(part) {
  const isFull = mix.parts.length >= MAX_PARTS && !mix.parts.some((each) => each.style === part.style);
  mix.toggle(part);
  notice("mix", isFull ? new Error("Four styles are the most that can be mixed; the last one was replaced.") : null);
  say(`Mixing ${mix.title}.`);
}

// Words to the user

const troubles = new Map();

function notice(about, error) {
  if (error) troubles.set(about, error);
  else if (!troubles.delete(about)) return;
  const [worst] = troubles.values();
  const texts = {
    offline: "The service does not answer. Trying again…",
    busy: "Others are painting too. One moment…",
    "too-many-requests": "That was very fast. One moment…",
    "body-too-large": "This photo is too large to send.",
    "picture-too-large": "This photo has too many pixels.",
  };
  byId("notice").hidden = !worst;
  byId("notice-text").textContent = worst ? (worst instanceof ApiError ? texts[worst.code] : null) ?? worst.message : "";
}

function say(text) {
  byId("status").textContent = text;
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

async function download(format) {
  byId("download").open = false;
  say("Painting in full size…");
  try {
    const parts = mix.parts;
    const masks = await brush.masks();
    const answer = await stylize({ photo: photo.file, parts, masks, ...controls.values, format, quality: 95 });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    const stem = photo.name.replace(/\.[^.]*$/, "");
    link.download = `${stem}.${parts.map((part) => part.style).join("+").replaceAll(":", "-")}.${format === "jpeg" ? "jpg" : format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say("Downloaded.");
    notice("download", null);
  } catch (error) {
    notice("download", error);
    say("");
  }
}

// Ways for a photo to come in

function firstFile(items) {
  return [...(items ?? [])].find((file) => file.type.startsWith("image/")) ?? items?.[0];
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
      if (event.target.files[0]) open(event.target.files[0]);
      event.target.value = "";
    });
  }
  byId("try").addEventListener("click", async () => {
    try {
      open(new File([await (await request("/example")).blob()], "example.jpg", { type: "image/jpeg" }));
    } catch (error) {
      notice("photo", error);
    }
  });
  document.addEventListener("paste", (event) => {
    const file = firstFile(event.clipboardData?.files);
    if (file) open(file);
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
    const file = firstFile(event.dataTransfer?.files);
    if (!file) return;
    if (event.target.closest?.("#gallery")) ownPainting(file);
    else open(file);
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
    byId("palette").hidden = false;
    paint();
    say("Painting what the camera sees.");
  });
  byId("keep").addEventListener("click", async () => open(await endLive()));
  byId("live-stop").addEventListener("click", async () => {
    await endLive();
    notice("paint", null);
    if (!photo) {
      viewer.clear();
      byId("palette").hidden = true;
      return;
    }
    put(photo);
    paint();
  });
}

async function endLive() {
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
    canvas.toBlob((blob) => open(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
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
    mix.use({ style: "own", file: full, name: file.name, by: "your own painting" });
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
  for (const button of byId("download").querySelectorAll("button")) {
    button.addEventListener("click", () => download(button.dataset.format));
  }
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
    if (event.key === "/") {
      event.preventDefault();
      byId("words").focus();
    }
    if (!photo || event.target.closest(".tile")) return;
    const keys = { "+": () => viewer.zoom(1.5), "-": () => viewer.zoom(1 / 1.5), f: () => viewer.fullScreen(), o: () => viewer.compare() };
    keys[event.key]?.();
  });
  byId("notice-close").addEventListener("click", () => {
    troubles.clear();
    byId("notice").hidden = true;
  });
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

navigator.serviceWorker?.register("/offline.js").catch(() => {}); // It only makes the page open sooner.
connectPhotos();
connectControls();
gallery.open();
recall();
