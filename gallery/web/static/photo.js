// Photos as the browser can read them: upright, and small enough to send at every move.

import { DRAFT_SIDE, FULL_SIDE } from "./requests.js";

async function shrink(bitmap, side, clear) {
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(16, Math.round(bitmap.width * scale));
  canvas.height = Math.max(16, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, clear ? "image/png" : "image/jpeg", 0.93));
}

// Returns {file, full, draft, name, width, height}.
export async function readPhoto(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error("This browser cannot read that file as a picture. JPEG, PNG, WebP and AVIF work.");
  }
  if (Math.min(bitmap.width, bitmap.height) < 16) {
    throw new Error("That picture is too small: each side needs 16 pixels at least.");
  }
  const clear = ["image/png", "image/webp", "image/gif"].includes(file.type);
  const [full, draft] = await Promise.all(
    [FULL_SIDE, DRAFT_SIDE].map((side) => shrink(bitmap, side, clear)),
  );
  const { width, height } = bitmap;
  bitmap.close();
  return { file, full, draft, name: file.name || "photo.jpg", width, height };
}
