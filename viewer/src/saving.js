// The dialog that saves a picture or a turntable video.
import { text } from "./labels.js";
import { element } from "./panel.js";
import { takePicture } from "./picture.js";
import { Cancelled, chooseFormats, recordTurn } from "./turntable.js";

const LARGE = 3840; // pixels, the longer side of 4K
const SIZES = [[720, 720], [1080, 1080], [1280, 720], [1920, 1080], [1080, 1920]];
const LONGEST = 60; // seconds

const $ = (id) => document.getElementById(id);

export class Saving {
  constructor(viewer, say) {
    Object.assign(this, { viewer, say, kind: "picture", cancelled: null });
    for (const kind of ["picture", "video"]) $(`kind-${kind}`).addEventListener("click", () => this.setKind(kind));
    $("saving-go").addEventListener("click", () => this.save());
    $("saving").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.matches("input, select")) this.save();
    });
    $("saving").addEventListener("close", () => this.cancelled?.abort());
    const fill = (id, options) => $(id).replaceChildren(
      ...options.map(([value, name]) => element("option", { value, textContent: name })),
    );
    this.fill = fill;
    fill("picture-back", [["shown", text("save.back.shown")], ["clear", text("save.back.clear")]]);
    this.formats = [];
    this.ready = chooseFormats().then((formats) => {
      this.formats = formats;
      fill("video-format", formats.map(({ name }, index) => [index, name ?? text("save.frames")]));
    });
  }

  async open(kind = this.kind) {
    await this.ready;
    const { clientWidth, clientHeight } = $("canvas");
    const sized = (name, factor) => {
      const [width, height] = [clientWidth, clientHeight].map((side) => Math.round(side * factor));
      return [factor, text(`save.${name}`, { width: String(width), height: String(height) })];
    };
    const { ratio } = this.viewer.stage;
    const chosen = $("picture-size").selectedIndex;
    this.fill("picture-size", [
      sized("shown", ratio),
      sized("twice", 2 * ratio),
      sized("large", LARGE / Math.max(clientWidth, clientHeight)),
    ]);
    $("picture-size").selectedIndex = Math.max(chosen, 0);
    const pixels = ([width, height]) => text("save.pixels", { width: String(width), height: String(height) });
    if (!$("video-size").length) this.fill("video-size", SIZES.map((size) => [size.join(), pixels(size)]));
    this.setKind(kind);
    $("saving").showModal();
    $("saving-go").focus();
  }

  setKind(kind) {
    this.kind = kind;
    for (const name of ["picture", "video"]) {
      $(`kind-${name}`).setAttribute("aria-pressed", String(name === kind));
      $(`${name}-fields`).hidden = name !== kind;
    }
    this.note(kind === "video" && this.formats.length === 1 ? text("save.noEncoder") : "");
  }

  note(words) {
    $("saving-note").textContent = words;
  }

  async save() {
    if (this.cancelled) return; // one is being made
    this.cancelled = new AbortController();
    try {
      const made = await (this.kind === "picture" ? this.makePicture() : this.makeVideo());
      this.cancelled = null; // so that closing the dialog cancels nothing
      if (made) this.deliver(made);
    } catch (error) {
      this.note(error instanceof Cancelled ? "" : text("save.failed", { reason: error.message }));
    } finally {
      this.cancelled = null;
      this.setBusy(false);
    }
  }

  async makePicture() {
    const ratio = Number($("picture-size").value);
    const clear = $("picture-back").value === "clear";
    return { blob: await takePicture(this.viewer, { ratio, clear }), suffix: "png" };
  }

  async makeVideo() {
    const given = $("video-seconds").value.trim();
    const seconds = Number(given.replace(",", ".") || NaN);
    const good = seconds >= 1 && seconds <= LONGEST;
    $("video-seconds").setAttribute("aria-invalid", String(!good));
    if (!good) {
      this.note(text("save.badSeconds", { given }));
      return null;
    }
    const [width, height] = $("video-size").value.split(",").map(Number);
    const format = this.formats[$("video-format").value];
    this.setBusy(true);
    const blob = await recordTurn(this.viewer, { seconds, width, height, format }, this.cancelled.signal, (done, count) => {
      $("saving-progress").value = done / count;
      this.note(text("save.progress", { done, count }));
    });
    return { blob, suffix: format.suffix };
  }

  setBusy(busy) {
    $("saving-progress").hidden = !busy;
    for (const control of document.querySelectorAll("#saving select, #saving input, #saving button:not(.close)")) {
      control.disabled = busy;
    }
  }

  deliver({ blob, suffix }) {
    const name = `${this.viewer.scene.title}.${suffix}`;
    const link = element("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000); // some browsers read it later
    $("saving").close();
    this.say(text("save.done", { name }));
  }
}
