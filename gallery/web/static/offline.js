// Keeps the page's own files, so that it opens while the service is away and can say so.
// Pictures and answers of the API are never kept.

const KEPT = "adain-page";
const FILES = ["/", ...[
  "api.js", "brush.js", "cards.js", "controls.js", "details.js", "film.js", "gallery.js", "icon-192.png", "icon-512.png", "icon-maskable.png",
  "icon.svg", "inside.js", "jobbox.js", "learn.js", "live.js", "manifest.webmanifest", "many.js", "mix.js", "notices.js", "page.js", "people.js", "photo.js", "record.js",
  "render.js", "requests.js", "saving.js", "style.css", "texts.js", "viewer.js", "where.js", "zip.js",
].map((name) => `/static/${name}`)];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(FILES)));
});

self.addEventListener("fetch", (event) => {
  const { pathname } = new URL(event.request.url);
  if (event.request.method === "GET" && FILES.includes(pathname)) event.respondWith(newest(event.request, pathname));
});

// What the service has, else what it had.
async function newest(request, path) {
  const cache = await caches.open(KEPT);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(path, answer.clone());
    return answer;
  } catch (error) {
    const kept = await cache.match(path);
    if (kept) return kept;
    throw error;
  }
}
