// Keeps what a visitor has seen, so that the site works without a network; and isolates the page,
// so that the network may use several cores, whatever headers the host gives.

const KEPT = 'adain-site';
const LASTING = /\?[0-9a-f]{12}(-again)?$/;  // Of this version alone.
const HEADERS = { 'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp', 'Cross-Origin-Resource-Policy': 'same-origin' };

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', event => {
  const { request } = event;
  if (request.method !== 'GET' || !request.url.startsWith(self.registration.scope)) return;
  event.respondWith(answer(request).then(isolated));
});

// What a page has fetched before this was there.
self.addEventListener('message', event => event.waitUntil(keepSeen(event.data)));

async function keepSeen(addresses) {
  const cache = await caches.open(KEPT).catch(() => null);
  const here = addresses.map(each => new URL(each, self.registration.scope))
    .filter(each => each.href.startsWith(self.registration.scope));
  for (const { href } of cache ? here : []) {
    if (await cache.match(href)) continue;
    const response = await fetch(href).catch(() => null);
    if (response?.ok) await keep(cache, new Request(href), response);
  }
  for (const page of await self.clients.matchAll()) page.postMessage('kept');
}

/** What lasts is named with the version of the site, and asked for once; the rest is asked anew. */
async function answer(request) {
  const cache = await caches.open(KEPT).catch(() => null);  // Private windows may have none.
  const kept = await cache?.match(request);
  if (kept && LASTING.test(request.url)) return kept;
  try {
    const response = await fetch(request);
    if (response.ok && cache) keep(cache, request, response.clone());
    return kept && response.status >= 500 ? kept : response;
  } catch (error) {
    if (kept) return kept;
    throw error;
  }
}

async function keep(cache, request, response) {
  try {
    const former = await cache.keys(request, { ignoreSearch: true });
    await cache.put(request, response);
    for (const each of former) if (bare(each.url) !== bare(request.url)) await cache.delete(each);
  } catch {
    // No room: the site works all the same while there is a network.
    for (const page of await self.clients.matchAll()) page.postMessage('no-room');
  }
}

function bare(address) {
  return address.split('#')[0];
}

function isolated(response) {
  if (!response.status) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
