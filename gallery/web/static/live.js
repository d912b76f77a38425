// The camera, painted as it goes. Frames go through a WebSocket, two at a time so that the network
// always has one; where there is no socket each is a request, or the device paints it. A new frame is taken only when an old
// one has come back, so the picture never lags behind.

import { liveSocket, paintsHere, stylize } from "./api.js";

const SIDE = 320;
const LEAST_SIDE = 128; // On a device that is slow.
const RATE = 8; // Pictures a second that a device should hold.
const ARRIVALS = 12; // Of which the rate is the mean.
const AGAIN = 3000; // Milliseconds before another socket is tried.

export class Live {
  #stream = null;
  #video = document.createElement("video");
  #canvas = document.createElement("canvas");
  #wire = null;
  #tried = 0;
  #arrivals = [];
  #side = SIDE;

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
    this.#arrivals = [];
    await this.#connect();
    this.#run(true);
  }

  async #connect() {
    const stream = this.#stream;
    this.#tried = performance.now();
    const wire = await connect(this.failed).catch(() => null);
    if (this.#stream !== stream) {
      wire?.close();
      return;
    }
    this.#wire = wire;
    if (wire) this.#run(false);
  }

  // Ends it; returns the last frame as a picture file.
  async stop() {
    const frame = await this.#frame(1024, 0.95);
    for (const track of this.#stream.getTracks()) track.stop();
    this.#stream = this.#video.srcObject = null;
    this.#wire?.close();
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

  async #run(first) {
    const stream = this.#stream;
    while (this.#stream === stream) {
      const { parts, ...values } = this.settings();
      const wire = this.#wire?.isOpen && !paintsHere() && !parts.some((part) => part.file) ? this.#wire : null;
      if (!wire && !first) return;
      if (!this.#wire?.isOpen && !paintsHere() && performance.now() > this.#tried + AGAIN) this.#connect();
      try {
        const begun = performance.now();
        const photo = await this.#frame(paintsHere() ? this.#side : SIDE, 0.85);
        if (this.#stream !== stream) return;
        if (wire && !wire.isOpen) continue;
        const blob = wire
          ? await wire.paint({ style: parts.map((part) => `${part.style}=${part.weight}`), ...values, quality: 80 }, photo)
          : await (await stylize({ photo, parts, ...values, quality: 80 })).blob();
        if (this.#stream !== stream) return;
        this.show(blob, this.#rate(), wire ? "socket" : paintsHere() ? "device" : "requests");
        if (paintsHere()) this.#fit(performance.now() - begun);
        this.failed(null);
      } catch (error) {
        if (this.#stream !== stream) return;
        if (wire && !wire.isOpen) continue;
        this.failed(error);
        await new Promise((resolve) => setTimeout(resolve, 1000 * (error.seconds || 1)));
      }
    }
  }

  // Frames are as large as the device can paint them at the rate.
  #fit(milliseconds) {
    const wanted = this.#side * Math.sqrt(1000 / RATE / milliseconds);
    this.#side = Math.round(Math.min(SIDE, Math.max(LEAST_SIDE, 0.7 * this.#side + 0.3 * wanted)));
  }

  #rate() {
    this.#arrivals = [...this.#arrivals, performance.now()].slice(-ARRIVALS);
    const [oldest] = this.#arrivals;
    return this.#arrivals.length > 1 ? (1000 * (this.#arrivals.length - 1)) / (this.#arrivals.at(-1) - oldest) : 0;
  }
}

function connect(failed) {
  return new Promise((resolve, reject) => {
    const socket = liveSocket();
    const wire = new Wire(socket, failed);
    socket.addEventListener("open", () => resolve(wire));
    socket.addEventListener("close", reject);
  });
}

// Answers come in the order of the frames.
class Wire {
  #waiting = [];
  #told = "";

  constructor(socket, failed) {
    this.socket = socket;
    socket.binaryType = "blob";
    socket.addEventListener("message", ({ data }) => {
      if (data instanceof Blob) {
        this.#waiting.shift()?.resolve(new Blob([data], { type: "image/jpeg" }));
        return;
      }
      const news = JSON.parse(data);
      if (!news.code) return;
      if (news.frame) this.#waiting.shift()?.reject(new Error(news.detail));
      else failed(new Error(news.detail));
    });
    socket.addEventListener("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("The connection was closed."));
    });
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  paint(settings, frame) {
    const text = JSON.stringify(settings);
    if (text !== this.#told) this.socket.send((this.#told = text));
    this.socket.send(frame);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  close() {
    this.socket.close();
  }
}
