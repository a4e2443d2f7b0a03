// One turn around the object as a video, in even steps however long a frame takes to draw.
import { zipSync } from "fflate";
import { compose, pageBackground, toBlob } from "./picture.js";

const FPS = 30;
const TYPES = [
  { name: "MP4", suffix: "mp4", type: "video/mp4;codecs=avc1.640028" },
  { name: "MP4", suffix: "mp4", type: "video/mp4" },
  { name: "WebM", suffix: "webm", type: "video/webm;codecs=vp9" },
  { name: "WebM", suffix: "webm", type: "video/webm" },
];
const BITS = 0.15; // a pixel and frame

export class Cancelled extends Error {}

// What this browser can write; frames as a zip file always.
export function chooseFormats() {
  const can = (type) => Boolean(window.MediaRecorder?.isTypeSupported(type) && HTMLCanvasElement.prototype.captureStream);
  const first = (name) => TYPES.find((format) => format.name === name && can(format.type));
  return [first("MP4"), first("WebM"), { suffix: "zip" }].filter(Boolean);
}

// Resolves to a Blob. `signal` cancels it with Cancelled; `onFrame(done, count)` tells how far it is.
export async function recordTurn(viewer, { seconds, width, height, format }, signal, onFrame) {
  const { stage } = viewer;
  viewer.setTurning(false);
  stage.release();
  const start = stage.camera.position.clone();
  const count = Math.round(seconds * FPS);
  const sheet = Object.assign(document.createElement("canvas"), { width, height });
  const writer = format.type ? new VideoWriter(sheet, format.type) : new FrameWriter(sheet);
  try {
    return await stage.sized({ width, height }, async () => {
      for (let index = 0; index < count; index++) {
        if (signal.aborted) throw new Cancelled();
        stage.orbit(start, (2 * Math.PI * index) / count);
        await viewer.sorted();
        compose(viewer, pageBackground(), sheet);
        await writer.add();
        onFrame(index + 1, count);
      }
      return writer.finish();
    });
  } finally {
    writer.close();
    stage.orbit(start, 0);
    stage.request();
  }
}

// A recorder keeps the time of the clock, so it is paused while a frame is drawn.
class VideoWriter {
  constructor(canvas, type) {
    this.stream = canvas.captureStream(0);
    [this.track] = this.stream.getVideoTracks();
    const bits = Math.round(canvas.width * canvas.height * FPS * BITS);
    this.recorder = new MediaRecorder(this.stream, { mimeType: type, videoBitsPerSecond: bits });
    this.pieces = [];
    this.recorder.addEventListener("dataavailable", ({ data }) => this.pieces.push(data));
    this.failed = new Promise((_, reject) => {
      this.recorder.addEventListener("error", ({ error }) => reject(error ?? new Error(type)));
    });
    this.failed.catch(() => {}); // is waited for where a frame is added
  }

  async add() {
    if (this.recorder.state === "inactive") this.recorder.start();
    else this.recorder.resume();
    this.track.requestFrame?.() ?? this.stream.requestFrame?.();
    await Promise.race([this.failed, new Promise((resolve) => setTimeout(resolve, 1000 / FPS))]);
    this.recorder.pause();
  }

  async finish() {
    const stopped = new Promise((resolve) => this.recorder.addEventListener("stop", resolve));
    this.recorder.stop();
    await Promise.race([this.failed, stopped]);
    return new Blob(this.pieces, { type: this.recorder.mimeType });
  }

  close() {
    if (this.recorder.state !== "inactive") this.recorder.stop();
    this.track.stop();
  }
}

class FrameWriter {
  constructor(canvas) {
    this.canvas = canvas;
    this.files = {};
  }

  async add() {
    const blob = await toBlob(this.canvas);
    const name = `frame_${String(Object.keys(this.files).length).padStart(4, "0")}.png`;
    this.files[name] = new Uint8Array(await blob.arrayBuffer());
  }

  finish() {
    return new Blob([zipSync(this.files, { level: 0 })], { type: "application/zip" });
  }

  close() {}
}
