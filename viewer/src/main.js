// Starts the viewer: connects the stage, the layers and the page's controls.
import { readBytes, readScene } from "./payload.js";
import { Layers } from "./layers.js";
import { LAYERS, fillFacts, fillHelp, fillLayers, fillStrip } from "./panel.js";
import { Stage } from "./stage.js";

const STEP = Math.PI / 24;
const $ = (id) => document.getElementById(id);
const root = document.documentElement;

function say(text) {
  $("status").textContent = text;
}

class Viewer {
  constructor(scene) {
    this.scene = scene;
    this.chosen = -1;
    this.stage = new Stage($("canvas"), scene.home);
    this.layers = new Layers(this.stage, scene, readBytes("splats"));
    this.boxes = fillLayers(scene, (name, shown) => this.show(name, shown));
    this.buttons = fillStrip(scene.views, this.layers.thumbnails(), (index) => this.choose(index));
    this.stage.onRelease = () => this.leave();
    this.stage.before.push(() => this.placeImage());
    this.listen();
    this.ready = this.start();
  }

  async start() {
    await this.layers.ready;
    await this.settle();
    root.classList.add("ready");
    say(`${this.scene.title}: ${this.scene.caption}`);
  }

  // Resolves when the canvas shows all that was asked for.
  async settle() {
    let quiet = 0;
    this.stage.request();
    while (quiet < 3) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      quiet = this.layers.busy ? 0 : quiet + 1;
    }
  }

  show(name, shown) {
    const box = this.boxes[name];
    if (!box) return;
    box.checked = shown;
    this.layers.show(name, shown);
    if (name === "cameras" && shown) this.stage.fit(this.layers.eyes());
    const { label } = LAYERS.find((layer) => layer.name === name);
    say(`${label} ${shown ? "shown" : "hidden"}`);
  }

  choose(index) {
    const { views } = this.scene;
    if (!views.length) return;
    const again = index === this.chosen;
    this.leave();
    if (again) return void this.stage.reset();
    this.chosen = index;
    this.buttons[index].setAttribute("aria-pressed", "true");
    this.buttons[index].scrollIntoView({ block: "nearest", inline: "nearest" });
    this.stage.stand(views[index], this.layers.displayedPose(index));
    $("image").src = views[index].image;
    $("compare").hidden = false;
    this.setTurning(false);
    say(`Input view ${index + 1} of ${views.length}: ${views[index].name}`);
  }

  leave() {
    if (this.chosen < 0) return;
    this.buttons[this.chosen].setAttribute("aria-pressed", "false");
    this.chosen = -1;
    $("compare").hidden = true;
    this.setImage(0);
  }

  // How much of the input image lies over the splats, 0 to 1.
  setImage(amount) {
    $("blend").value = amount;
    $("image").style.opacity = amount;
    $("image").hidden = this.chosen < 0 || amount === 0;
    this.placeImage();
  }

  placeImage() {
    if (this.chosen < 0 || $("image").hidden) return;
    const frame = this.stage.frameOf(this.scene.views[this.chosen]);
    for (const side of ["left", "top", "width", "height"]) {
      $("image").style[side] = `${frame[side]}px`;
    }
  }

  setBackground(name) {
    root.dataset.background = name;
    say(`${name} background`);
  }

  get background() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    return root.dataset.background ?? (dark ? "dark" : "light");
  }

  setTurning(turning) {
    if (this.stage.turning !== turning) this.stage.toggleTurning();
    $("turn").setAttribute("aria-pressed", String(turning));
  }

  setDetails(open) {
    $("details").hidden = !open;
    $("toggle-details").setAttribute("aria-expanded", String(open));
  }

  reset() {
    this.leave();
    this.setTurning(false);
    this.stage.reset();
    say("First view");
  }

  saveImage() {
    this.stage.draw(); // the drawing buffer is only kept until the next task
    $("canvas").toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${this.scene.title}.png`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  listen() {
    const canvas = $("canvas");
    const keys = {
      ArrowLeft: () => this.stage.turn(-STEP, 0),
      ArrowRight: () => this.stage.turn(STEP, 0),
      ArrowUp: () => this.stage.turn(0, -STEP),
      ArrowDown: () => this.stage.turn(0, STEP),
      "+": () => this.stage.zoom(0.9),
      "=": () => this.stage.zoom(0.9),
      "-": () => this.stage.zoom(1 / 0.9),
      0: () => this.reset(),
      Home: () => this.reset(),
      t: () => this.setTurning(!this.stage.turning),
      "[": () => this.step(-1),
      "]": () => this.step(1),
      f: () => this.chosen >= 0 && this.setImage($("blend").value > 0.5 ? 0 : 1),
      b: () => this.setBackground(this.background === "dark" ? "light" : "dark"),
      x: () => this.saveImage(),
      d: () => this.setDetails($("details").hidden),
      "?": () => $("help").showModal(),
    };
    for (const { name, key } of LAYERS) {
      keys[key] = () => this.show(name, !this.boxes[name]?.checked);
    }
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
      const inField = event.target.matches("input[type=range]");
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (!keys[key] || (inField && key.startsWith("Arrow"))) return;
      event.preventDefault();
      keys[key]();
    });

    let pressed = null;
    canvas.addEventListener("pointerdown", (event) => {
      pressed = event;
      this.setTurning(false);
      root.classList.add("used");
    });
    canvas.addEventListener("pointerup", (event) => {
      const moved = pressed && Math.hypot(event.x - pressed.x, event.y - pressed.y);
      if (moved === null || moved > 4) return;
      const index = this.layers.pick(event.offsetX, event.offsetY);
      if (index >= 0) this.choose(index);
    });
    $("turn").addEventListener("click", () => this.setTurning(!this.stage.turning));
    $("home").addEventListener("click", () => this.reset());
    $("shade").addEventListener("click", keys.b);
    $("save").addEventListener("click", () => this.saveImage());
    $("ask").addEventListener("click", () => $("help").showModal());
    $("toggle-details").addEventListener("click", keys.d);
    $("blend").addEventListener("input", () => this.setImage(Number($("blend").value)));
  }

  step(by) {
    const count = this.scene.views.length;
    if (!count) return;
    const from = this.chosen < 0 && by < 0 ? 0 : this.chosen;
    this.choose((from + by + count) % count);
  }
}

async function main() {
  const scene = readScene();
  fillFacts(scene);
  if (!scene.splats.count) $("notice").hidden = false;
  fillHelp();
  try {
    const viewer = new Viewer(scene);
    window.geolrm = viewer; // for the console and for tests
    viewer.setDetails(matchMedia("(min-width: 1080px) and (min-height: 620px)").matches);
    await viewer.ready;
  } catch (error) {
    root.classList.add("failed");
    say("This browser cannot render splats (WebGL 2 is needed), so this is a still image.");
    console.error(error);
  }
}

main();
