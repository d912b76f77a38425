// Photos: upright, and small enough to send at every move. What this browser cannot read, the service may.

import { ApiError, isPassing, readByService, site } from "./api.js";
import { DRAFT_SIDE, FULL_SIDE } from "./requests.js";

const CARD_SIDE = 224;

async function shrink(bitmap, side, clear, quality = 0.93) {
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(16, Math.round(bitmap.width * scale));
  canvas.height = Math.max(16, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, clear ? "image/png" : "image/jpeg", quality));
}

// Returns {file, full, draft, card, name, width, height}; `file` is what came, the others are smaller copies.
export async function readPhoto(file) {
  let bitmap;
  let size = null;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    size = await askService(file);
    bitmap = await createImageBitmap(size.blob);
  }
  const { width, height } = size ?? bitmap;
  if (Math.min(width, height) < 16) {
    throw new Error("That picture is too small: each side needs 16 pixels at least.");
  }
  const clear = ["image/png", "image/webp", "image/gif"].includes(file.type);
  const [full, draft, card] = await Promise.all(
    [FULL_SIDE, DRAFT_SIDE, CARD_SIDE].map((side) => shrink(bitmap, side, clear)),
  );
  bitmap.close();
  return { file, full, draft, card, name: file.name || "photo.jpg", width, height };
}

async function askService(file) {
  if (site) throw new Error("This browser cannot read that file as a picture. JPEG, PNG, WebP and AVIF work; an iPhone takes JPEG with Settings > Camera > Formats > Most Compatible.");
  try {
    return await readByService(file);
  } catch (error) {
    if (isPassing(error) || (error instanceof ApiError && error.code.endsWith("too-large"))) throw error;
    const why = error instanceof ApiError ? ` (${error.message})` : "";
    throw new Error(`Neither this browser nor the service can read that file as a picture${why}. JPEG, PNG, WebP and AVIF work.`);
  }
}

// A photo within the limits of the service: the file itself where it fits, else a smaller copy.
export async function fitted(photo, { side, sent }) {
  if (!sent) return photo.file;
  const bitmap = await createImageBitmap(photo.file, { imageOrientation: "from-image" }).catch(() => {
    throw new Error("This photo is too large for the service, and this browser cannot make it smaller. Save it as a smaller JPEG first.");
  });
  const blob = await shrink(bitmap, side, false, 0.95);
  bitmap.close();
  return blob;
}
