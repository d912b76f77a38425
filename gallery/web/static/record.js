// Records what the camera view shows as a WebM film, in the browser: nothing is sent for it.

import { save } from "./saving.js";

const byId = (id) => document.getElementById(id);
const KINDS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const BITS = 6e6; // A second; strokes need more than what films usually have.

export class Recording {
  #recorder = null;
  #canvas = document.createElement("canvas");

  constructor({ say }) {
    this.say = say;
    this.kind = globalThis.MediaRecorder ? KINDS.find((kind) => MediaRecorder.isTypeSupported(kind)) : undefined;
    byId("record").hidden = !this.kind;
    byId("record").addEventListener("click", () => (this.#recorder ? this.stop() : this.#start()));
  }

  // Takes a painted frame, as a picture file; it is shown until the next one comes.
  async take(blob) {
    if (!this.#recorder) return;
    const bitmap = await createImageBitmap(blob);
    this.#canvas.getContext("2d").drawImage(bitmap, 0, 0, this.#canvas.width, this.#canvas.height);
    bitmap.close();
  }

  // Ends the film and saves it, if there is one.
  stop() {
    this.#recorder?.stop();
    this.#recorder = null;
    byId("record").textContent = "Record";
    byId("record").setAttribute("aria-pressed", "false");
  }

  // A film has one size: that of what is shown as it begins.
  #start() {
    const { naturalWidth: width, naturalHeight: height } = byId("after");
    Object.assign(this.#canvas, { width: width || 320, height: height || 240 });
    this.#canvas.getContext("2d").drawImage(byId("after"), 0, 0);
    const parts = [];
    const recorder = (this.#recorder = new MediaRecorder(this.#canvas.captureStream(), { mimeType: this.kind, videoBitsPerSecond: BITS }));
    recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
    recorder.addEventListener("stop", () => {
      for (const track of recorder.stream.getTracks()) track.stop();
      const type = this.kind.split(";")[0];
      save(new File(parts, `live.${type.split("/")[1]}`, { type }));
      this.say("The recording is saved.");
    });
    recorder.start(1000);
    byId("record").textContent = "End and save";
    byId("record").setAttribute("aria-pressed", "true");
  }
}
