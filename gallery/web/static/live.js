// The camera, painted as it goes: the newest frame is sent when the last one has come back, so
// frames are dropped and the picture never lags behind by more than one.

import { stylize } from "./api.js";

const SIDE = 320;

export class Live {
  #stream = null;
  #video = document.createElement("video");
  #canvas = document.createElement("canvas");

  constructor({ settings, show, failed }) {
    Object.assign(this, { settings, show, failed });
    this.#video.muted = this.#video.playsInline = true;
  }

  get isOn() {
    return this.#stream !== null;
  }

  async start() {
    const video = { width: { ideal: 640 }, facingMode: "user" };
    this.#stream = await navigator.mediaDevices.getUserMedia({ video });
    this.#video.srcObject = this.#stream;
    await this.#video.play();
    this.#run();
  }

  // Ends it; returns the last frame as a picture file.
  async stop() {
    const frame = await this.#frame(1024, 0.95);
    for (const track of this.#stream.getTracks()) track.stop();
    this.#stream = this.#video.srcObject = null;
    return new File([frame], "camera.jpg", { type: "image/jpeg" });
  }

  async #frame(side, quality) {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const scale = Math.min(1, side / Math.max(width, height));
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    this.#canvas.getContext("2d").drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
    return new Promise((resolve) => this.#canvas.toBlob(resolve, "image/jpeg", quality));
  }

  async #run() {
    let rate = 0;
    let last = performance.now();
    while (this.isOn) {
      try {
        const photo = await this.#frame(SIDE, 0.85);
        const answer = await stylize({ ...this.settings(), photo, quality: 80 });
        const blob = await answer.blob();
        const now = performance.now();
        const current = 1000 / (now - last);
        rate = rate ? 0.8 * rate + 0.2 * current : current;
        last = now;
        if (this.isOn) this.show(blob, rate);
        this.failed(null);
      } catch (error) {
        if (!this.isOn) return;
        this.failed(error);
        await new Promise((resolve) => setTimeout(resolve, 1000 * (error.seconds || 1)));
        last = performance.now();
      }
    }
  }
}
