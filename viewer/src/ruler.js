// Measures between two points of the splats; a length once given sets the scale of all others.
import { significant, text } from "./labels.js";

const AIM_STEP = 6; // CSS pixels, a key press
const NAMESPACE = "http://www.w3.org/2000/svg";

const $ = (id) => document.getElementById(id);

export class Ruler {
  // `onOpen` is called when measuring starts.
  constructor(stage, layers, onOpen) {
    Object.assign(this, { stage, layers, onOpen });
    this.points = []; // up to two Vector3 in the object's frame
    this.scale = null; // { factor, unit }: lengths are units of the object times the factor
    this.aim = null; // where keys aim, in CSS pixels of the canvas
    this.stage.after.push(() => this.draw());
    $("ruler-clear").addEventListener("click", () => this.clear());
    $("ruler-stop").addEventListener("click", () => this.close());
    $("ruler-set").addEventListener("click", () => this.setScale());
    $("ruler-length").addEventListener("keydown", (event) => event.key === "Enter" && this.setScale());
    $("ruler").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
  }

  get active() {
    return !$("ruler").hidden;
  }

  toggle() {
    if (this.active) this.close();
    else this.open();
  }

  open() {
    if (!this.layers.count) return;
    this.onOpen();
    $("ruler").hidden = false;
    $("measure").setAttribute("aria-pressed", "true");
    document.documentElement.classList.add("measuring");
    this.tell();
  }

  close() {
    if (!this.active) return;
    if ($("ruler").contains(document.activeElement)) this.stage.canvas.focus();
    $("ruler").hidden = true;
    $("measure").setAttribute("aria-pressed", "false");
    document.documentElement.classList.remove("measuring");
    this.aim = null;
    this.points = [];
    this.stage.request();
  }

  clear() {
    this.points = [];
    this.stage.canvas.focus();
    this.tell();
  }

  // Whether the key was taken.
  onKey(event) {
    if (!this.active) return false;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.shiftKey && steps[event.key]) {
      const { clientWidth: width, clientHeight: height } = this.stage.canvas;
      const [x, y] = this.aim ?? [width / 2, height / 2];
      const [right, down] = steps[event.key];
      const within = (value, most) => Math.min(Math.max(value, 0), most);
      this.aim = [within(x + AIM_STEP * right, width), within(y + AIM_STEP * down, height)];
      this.stage.request();
      return true;
    }
    if (event.key !== "Enter" || event.target.matches("button, input, select")) return false;
    const { clientWidth: width, clientHeight: height } = this.stage.canvas;
    this.aim ??= [width / 2, height / 2];
    this.pick(...this.aim);
    return true;
  }

  // Sets a point where the canvas shows a surface; a third starts anew.
  pick(x, y) {
    const point = this.layers.surface(x, y);
    if (!point) return this.note(text("ruler.miss"));
    if (this.points.length === 2) this.points = [];
    this.points.push(point);
    this.tell();
  }

  // In units of the object, or null.
  get distance() {
    const [from, to] = this.points;
    return to ? from.distanceTo(to) : null;
  }

  length(units) {
    if (!this.scale) return text("ruler.units", { number: significant(units) });
    const { factor, unit } = this.scale;
    return text("ruler.length", { number: significant(units * factor), unit });
  }

  setScale() {
    const given = $("ruler-length").value.trim();
    const length = Number(given.replace(",", ".") || NaN);
    const good = length > 0 && Number.isFinite(length);
    $("ruler-length").setAttribute("aria-invalid", String(!good));
    if (!this.distance) return this.note(text("ruler.needsDistance"));
    if (!good) return this.note(text("ruler.badLength", { given }));
    this.scale = { factor: length / this.distance, unit: $("ruler-unit").value };
    this.tell();
  }

  note(words) {
    $("ruler-note").textContent = words;
    this.stage.request();
  }

  tell() {
    const { distance } = this;
    const count = this.points.length;
    $("ruler-text").textContent = count === 2
      ? text("ruler.distance", { distance: this.length(distance) })
      : text(count ? "ruler.second" : "ruler.first");
    $("ruler-scale").hidden = count < 2;
    $("ruler-clear").hidden = count === 0;
    this.note(this.scale ? text("ruler.scaled", { length: this.length(1) }) : "");
    if (count === 2) this.stage.onSay($("ruler-text").textContent);
  }

  // What lies over the canvas, in CSS pixels: { points, label }, for the page and for pictures.
  marks() {
    const points = this.points.map((point) => this.layers.project(point));
    const shown = points.every(Boolean);
    return { points: shown ? points : [], label: shown && points[1] ? this.length(this.distance) : null };
  }

  draw() {
    const { points, label } = this.marks();
    const aim = this.active && this.aim;
    $("lines").toggleAttribute("hidden", !points.length && !aim);
    const group = $("lines").firstElementChild;
    group.replaceChildren();
    const add = (tag, attributes) => {
      const made = document.createElementNS(NAMESPACE, tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      group.append(made);
      return made;
    };
    const [from, to] = points;
    for (const kind of to ? ["halo", "ink"] : []) {
      add("line", { class: kind, x1: from.x, y1: from.y, x2: to.x, y2: to.y });
    }
    for (const { x, y } of points) add("circle", { cx: x, cy: y, r: 5 });
    if (aim) {
      const [x, y] = aim;
      const d = `M${x - 14} ${y}h10m8 0h10M${x} ${y - 14}v10m0 8v10`;
      for (const kind of ["halo", "ink"]) add("path", { class: kind, d });
    }
    if (label) add("text", { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 - 10 }).textContent = label;
  }

  // The same on a picture of `factor` pixels to a CSS pixel.
  paint(context, factor) {
    const { points: [from, to], label } = this.marks();
    const style = getComputedStyle(document.documentElement);
    const [ink, back] = ["--accent", "--back"].map((name) => style.getPropertyValue(name));
    context.save();
    context.scale(factor, factor);
    context.lineCap = "round";
    for (const [width, color] of to ? [[5, back], [2, ink]] : []) {
      Object.assign(context, { lineWidth: width, strokeStyle: color });
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.lineTo(to.x, to.y);
      context.stroke();
    }
    for (const point of [from, to].filter(Boolean)) {
      Object.assign(context, { lineWidth: 2, strokeStyle: back, fillStyle: ink });
      context.beginPath();
      context.arc(point.x, point.y, 5, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    }
    if (label) {
      const font = `600 14px ${getComputedStyle(document.body).fontFamily}`;
      Object.assign(context, { font, textAlign: "center", lineJoin: "round", lineWidth: 4, strokeStyle: back, fillStyle: ink });
      const [x, y] = [(from.x + to.x) / 2, (from.y + to.y) / 2 - 10];
      context.strokeText(label, x, y);
      context.fillText(label, x, y);
    }
    context.restore();
  }
}
