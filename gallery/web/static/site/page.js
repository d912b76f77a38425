// The page of a site: a photo, the cards of paintings, strength, save.

const SHOWN = 1024;      // Longest side of the picture on the page.
const DRAFT = 256;       // The same while the strength is moved.
const SAVED = 4096;      // The same of a file that is saved.
const SLOW = 250;        // Milliseconds of a picture beyond which a draft comes first.
const CARDS = 60;        // Cards that are added at a time.

let site;  // What site.json says.

const $ = id => document.getElementById(id);
const at = path => new URL(`../${path}${site ? `?${site.version}` : ''}`, import.meta.url).href;

const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
const waiting = new Map();
let asked = 0;

worker.addEventListener('message', ({ data }) => {
  const { done, failed } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.error) failed(new Error(data.error));
  else done(data);
});
worker.addEventListener('error', () => {
  for (const { failed } of waiting.values()) failed(new Error('This browser cannot paint here'));
  waiting.clear();
});

/** Ask the worker. */
function ask(message) {
  return new Promise((done, failed) => {
    waiting.set(++asked, { done, failed });
    worker.postMessage({ id: asked, ...message });
  });
}

const state = { photo: null, name: 'photo', style: null, took: 0, painted: null };
const paintings = [];
let loadedShards = 0, shown = 0;

async function start() {
  site = await json('site.json');
  const engine = ask({ kind: 'open', version: site.version });
  const example = fetch(at('example.jpg')).then(answer => answer.blob()).then(decode);
  await loadShard();
  showCards();
  state.photo = await example;
  show(state.photo);
  say('Fetching the network, once …');
  await engine;
  await choose(paintings[0]);
}

async function json(path) {
  const answer = await fetch(at(path));
  if (!answer.ok) throw new Error(`${path} is not there (${answer.status})`);
  return answer.json();
}

/** Read the facts of the next paintings. */
async function loadShard() {
  const number = loadedShards++;
  const facts = await json(`paintings/${number}.json`);
  paintings.push(...facts.map((each, row) => ({ ...each, number, row, rows: facts.length })));
}

const vectors = new Map();

/** Return the style of a painting: its vector, and what was learnt of it. */
async function styleOf(painting) {
  if (painting.vector) return painting;
  if (!vectors.has(painting.number)) {
    const got = fetch(at(`vectors/${painting.number}.bin`)).then(answer => answer.arrayBuffer());
    vectors.set(painting.number, got);
    got.catch(() => vectors.delete(painting.number));
  }
  const all = new Float32Array(await vectors.get(painting.number));
  const length = all.length / painting.rows;
  painting.vector = all.slice(painting.row * length, (painting.row + 1) * length);
  painting.adapter = !painting.learnt ? null
    : await fetch(at(`adapters/${painting.slug}.safetensors`)).then(answer => answer.arrayBuffer());
  return painting;
}

// Cards

function found() {
  const words = fold($('search').value).split(/\s+/).filter(Boolean);
  return paintings.filter(each => {
    each.words ??= fold([each.title, each.artist, ...each.styles ?? []].join(' '));
    return words.every(word => each.words.includes(word));
  });
}

function fold(text) {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}

function showCards(more = false) {
  if (!more) {
    $('cards').replaceChildren();
    shown = 0;
  }
  const list = found();
  for (const painting of list.slice(shown, shown + CARDS)) $('cards').append(card(painting));
  shown = Math.min(list.length, shown + CARDS);
  $('more').hidden = shown === list.length && paintings.length === site.paintings;
  if (!list.length) say('No painting has these words.');
}

function card(painting) {
  const picture = new Image();
  picture.loading = 'lazy';
  picture.alt = '';
  picture.src = at(`previews/${painting.slug}.jpg`);
  const text = document.createElement('span'), artist = document.createElement('small');
  artist.textContent = painting.artist ?? '';
  text.append(painting.title, artist);
  const button = document.createElement('button');
  button.type = 'button';
  button.setAttribute('aria-pressed', String(painting === state.style));
  button.append(picture, text);
  button.addEventListener('click', () => choose(painting).catch(fail));
  painting.button = button;
  const item = document.createElement('li');
  item.append(button);
  return item;
}

async function choose(painting) {
  state.style?.button?.setAttribute('aria-pressed', 'false');
  state.style = painting;
  painting.button?.setAttribute('aria-pressed', 'true');
  tell(painting);
  await styleOf(painting);
  await repaint();
}

function tell({ title, artist, years, page, credit, rights }) {
  $('facts').replaceChildren(
    [title, artist, years, credit, rights].filter(Boolean).join(' · '));
  if (page && /^https?:/.test(page)) {
    const link = document.createElement('a');
    link.href = page;
    link.rel = 'noreferrer';
    link.textContent = 'The painting';
    $('facts').append(' · ', link);
  }
}

// Painting

let wanted = 0;

function request(side, draft) {
  const { vector, adapter, slug } = state.style;
  const alpha = $('strength').value / 100;
  const photo = state.sent === state.photo ? null : state.photo;
  state.sent = state.photo;  // Once: it is large.
  return ask({ kind: 'paint', photo, vector, adapter, key: slug, alpha, side, draft });
}

/** Paint anew; what was asked for meanwhile is left out. */
async function repaint(draft = false) {
  const mine = ++wanted;
  await new Promise(done => setTimeout(done));
  if (mine !== wanted || !state.photo || !state.style?.vector) return;
  say('Painting …');
  const quick = draft && state.took > SLOW;
  const { picture, milliseconds } = await request(quick ? DRAFT : SHOWN, quick);
  if (mine !== wanted) return;
  if (!quick) state.took = milliseconds;
  state.painted = picture;
  show(picture);
  $('save').disabled = false;
  say(quick ? 'A draft …' : `Painted on this device in ${Math.round(milliseconds)} ms.`);
}

function show({ data, width, height }) {
  const canvas = $('picture');
  canvas.width = width;
  canvas.height = height;
  canvas.getContext('2d').putImageData(new ImageData(data, width, height), 0, 0);
}

/** Return the pixels of a picture file, on white where it is transparent. */
async function decode(blob) {
  const bitmap = await createImageBitmap(blob);
  const scale = Math.min(1, SAVED / Math.max(bitmap.width, bitmap.height));
  const width = Math.round(bitmap.width * scale), height = Math.round(bitmap.height * scale);
  if (Math.min(width, height) < 16) throw new Error('the picture is too small: 16 pixels at least');
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}

async function takePhoto(file) {
  state.photo = await opened(file);
  state.name = file.name.replace(/\.[^.]*$/, '');
  show(state.photo);
  await repaint();
}

async function takeStyle(file) {
  const painting = await opened(file);
  say('Looking at the painting …');
  const { vector } = await ask({ kind: 'measure', painting });
  await choose({ slug: file.name, title: file.name, vector, adapter: null });
}

function opened(file) {
  return decode(file).catch(error => {
    throw new Error(`${file.name}: this browser cannot open it as a picture (${error.message}); `
      + 'save it as JPEG or PNG first');
  });
}

async function save() {
  say('Painting in full size …');
  const { picture } = await request(SAVED, false);
  const canvas = document.createElement('canvas');
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext('2d')
    .putImageData(new ImageData(picture.data, picture.width, picture.height), 0, 0);
  const blob = await new Promise(done => canvas.toBlob(done, 'image/jpeg', 0.94));
  if (!blob) throw new Error('this browser has no memory for the full size');
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${state.name}.${state.style.slug}.jpg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`Saved: ${picture.width} × ${picture.height}.`);
}

function say(text) {
  $('said').textContent = text;
}

function fail(error) {
  say(`That did not work: ${error.message}.`);
}

// What a person does

const pick = (id, take) => $(id).addEventListener('change', ({ target }) => {
  const [file] = target.files;
  target.value = '';
  if (file) take(file).catch(fail);
});
pick('photo', takePhoto);
pick('own', takeStyle);
$('strength').addEventListener('input', () => repaint(true).catch(fail));
$('strength').addEventListener('change', () => repaint().catch(fail));
$('save').addEventListener('click', () => save().catch(fail));
for (const [name, which] of [['pointerdown', 'photo'], ['pointerup', 'painted'],
  ['pointerleave', 'painted'], ['keydown', 'photo'], ['keyup', 'painted']]) {
  $('compare').addEventListener(name, () => state[which] && show(state[which]));
}
$('search').addEventListener('input', async () => {
  try {
    showCards();
    while (paintings.length < site.paintings && shown < CARDS && $('search').value) {
      await loadShard();
      showCards();
    }
  } catch (error) {
    fail(error);
  }
});
$('more').addEventListener('click', async () => {
  try {
    if (shown === found().length) await loadShard();
    showCards(true);
  } catch (error) {
    fail(error);
  }
});
document.addEventListener('dragover', event => {
  event.preventDefault();
  document.body.classList.add('dropping');
});
document.addEventListener('dragleave', () => document.body.classList.remove('dropping'));
document.addEventListener('drop', event => {
  event.preventDefault();
  document.body.classList.remove('dropping');
  const [file] = event.dataTransfer.files;
  if (file) takePhoto(file).catch(fail);
});

start().catch(error => fail(new Error(
  `${error.message}. Check the connection and reload the page; a browser of 2023 or later is needed`)));
navigator.serviceWorker?.register(new URL('../offline.js', import.meta.url)).catch(() => {});
