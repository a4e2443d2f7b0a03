// One turn around the object as a video, in even steps however long a frame takes to draw.
import { zipSync } from "fflate";
import { createFile } from "mp4box";
import { compose, pageBackground, toBlob } from "./picture.js";

const FPS = 30;
const TICKS = 512; // of the file's clock, a frame
const CODEC = "avc1.640028"; // H.264, high profile, up to 1920 x 1080 at 30 frames a second
const BITS = 0.15; // a pixel and frame
const KEY_EVERY = 30; // frames
const WAITING = 4; // frames that the encoder may be behind

export class Cancelled extends Error {}

// What this browser can write; frames as a zip file always.
export async function chooseFormats() {
  const frames = { suffix: "zip", Writer: FrameWriter };
  // Not MediaRecorder: it keeps the time of the clock, so a slow frame would stand for longer.
  const can = await window.VideoEncoder?.isConfigSupported(settings(1920, 1080)).catch(() => null);
  return can?.supported ? [{ name: "MP4", suffix: "mp4", Writer: VideoWriter }, frames] : [frames];
}

// Resolves to a Blob. `signal` cancels it with Cancelled; `onFrame(done, count)` tells how far it is.
export async function recordTurn(viewer, { seconds, width, height, format }, signal, onFrame) {
  const { stage } = viewer;
  viewer.setTurning(false);
  stage.release();
  const start = stage.camera.position.clone();
  const count = Math.round(seconds * FPS);
  const sheet = Object.assign(document.createElement("canvas"), { width, height });
  const writer = new format.Writer(sheet);
  try {
    return await stage.sized({ width, height }, async () => {
      for (let index = 0; index < count; index++) {
        if (signal.aborted) throw new Cancelled();
        stage.orbit(start, (2 * Math.PI * index) / count);
        await viewer.sorted();
        compose(viewer, pageBackground(), sheet);
        await writer.add(index);
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

function settings(width, height) {
  const bitrate = Math.round(width * height * FPS * BITS);
  return { codec: CODEC, width, height, bitrate, framerate: FPS, avc: { format: "avc" } };
}

class VideoWriter {
  constructor(canvas) {
    this.canvas = canvas;
    this.file = createFile();
    this.samples = 0;
    this.encoder = new VideoEncoder({
      output: (chunk, about) => this.take(chunk, about),
      error: (error) => (this.error = error),
    });
    this.encoder.configure(settings(canvas.width, canvas.height));
  }

  take(chunk, { decoderConfig } = {}) {
    const { width, height } = this.canvas;
    this.track ??= this.file.addTrack({
      type: "avc1", width, height, timescale: FPS * TICKS, avcDecoderConfigRecord: decoderConfig.description,
    });
    const data = new Uint8Array(chunk.byteLength);
    chunk.copyTo(data);
    const cts = Math.round((chunk.timestamp * FPS) / 1e6) * TICKS;
    const dts = TICKS * this.samples++;
    this.file.addSample(this.track, data, { duration: TICKS, dts, cts, is_sync: chunk.type === "key" });
  }

  async add(index) {
    const frame = new VideoFrame(this.canvas, { timestamp: Math.round((index * 1e6) / FPS) });
    this.encoder.encode(frame, { keyFrame: index % KEY_EVERY === 0 });
    frame.close();
    do {
      await new Promise((resolve) => setTimeout(resolve)); // also lets a click on Cancel come in
      if (this.error) throw this.error;
    } while (this.encoder.encodeQueueSize > WAITING);
  }

  async finish() {
    await this.encoder.flush();
    if (this.error) throw this.error;
    return new Blob([this.file.getBuffer().buffer], { type: "video/mp4" });
  }

  close() {
    if (this.encoder.state !== "closed") this.encoder.close();
  }
}

class FrameWriter {
  constructor(canvas) {
    this.canvas = canvas;
    this.files = {};
  }

  async add(index) {
    const blob = await toBlob(this.canvas);
    const name = `frame_${String(index).padStart(4, "0")}.png`;
    this.files[name] = new Uint8Array(await blob.arrayBuffer());
  }

  finish() {
    return new Blob([zipSync(this.files, { level: 0 })], { type: "application/zip" });
  }

  close() {}
}
