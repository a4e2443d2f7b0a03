// An input photograph over the splats, at its camera: side by side with a divider, or blended.
import { text } from "./labels.js";

const STEP = 0.02; // of the picture's width, an arrow key
const FAR = 0.1; // a page key

const $ = (id) => document.getElementById(id);

export class Comparison {
  constructor(stage) {
    this.stage = stage;
    this.view = null;
    this.mode = "wipe";
    this.amounts = { wipe: 0.5, blend: 0.5 }; // how much is photograph, 0 to 1
    for (const mode of ["wipe", "blend"]) $(`mode-${mode}`).addEventListener("click", () => this.setMode(mode));
    $("blend").addEventListener("input", () => this.set(Number($("blend").value)));
    this.listen();
    stage.before.push(() => this.place());
  }

  get amount() {
    return this.amounts[this.mode];
  }

  open(view) {
    this.view = view;
    $("image").src = view.image;
    $("compare").hidden = false;
    this.setMode(this.mode);
  }

  close() {
    this.view = null;
    for (const id of ["compare", "image", "divider"]) $(id).hidden = true;
  }

  setMode(mode) {
    this.mode = mode;
    for (const name of ["wipe", "blend"]) $(`mode-${name}`).setAttribute("aria-pressed", String(name === mode));
    $("blend").hidden = mode !== "blend";
    if (this.view) this.set(this.amount);
  }

  // How much of the picture is photograph: its left part, or its share in the blend.
  set(amount) {
    amount = Math.min(Math.max(amount, 0), 1);
    this.amounts[this.mode] = amount;
    const wiped = this.mode === "wipe";
    const shown = text("percent", { percent: Math.round(100 * amount) });
    $("image").hidden = amount === 0;
    $("image").style.opacity = wiped ? 1 : amount;
    $("image").style.clipPath = wiped ? `inset(0 ${100 * (1 - amount)}% 0 0)` : "none";
    $("divider").hidden = !wiped;
    $("divider").setAttribute("aria-valuenow", Math.round(100 * amount));
    $("divider").setAttribute("aria-valuetext", shown);
    $("blend").value = amount;
    $("blend").setAttribute("aria-valuetext", shown);
    this.place();
  }

  // All photograph, or all splats.
  flip() {
    if (this.view) this.set(this.amount > 0.5 ? 0 : 1);
  }

  // The photograph's rectangle is the one that the camera's projection fills.
  place() {
    if (!this.view) return;
    const { left, top, width, height } = this.stage.frameOf(this.view);
    Object.assign($("image").style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    Object.assign($("divider").style, { left: `${left + this.amounts.wipe * width}px`, top: `${top}px`, height: `${height}px` });
  }

  listen() {
    const divider = $("divider");
    let offset = 0; // from the pointer to the line, so that it does not jump when it is taken
    const put = (x) => {
      const { left, width } = this.stage.frameOf(this.view);
      this.set((x - left - this.stage.canvas.getBoundingClientRect().left) / width);
    };
    divider.addEventListener("pointerdown", (event) => {
      const box = divider.getBoundingClientRect();
      offset = box.left + box.width / 2 - event.clientX;
      divider.setPointerCapture(event.pointerId);
    });
    divider.addEventListener("pointermove", (event) => {
      if (divider.hasPointerCapture(event.pointerId)) put(event.clientX + offset);
    });
    divider.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP, PageDown: -FAR, PageUp: FAR }[event.key];
      const to = { Home: 0, End: 1 }[event.key] ?? (by && this.amount + by);
      if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation(); // the page's own arrows turn the object
      this.set(to);
    });
  }
}
