// Starts the viewer: connects the stage, the layers and the page's controls.
import { Comparison } from "./compare.js";
import { fillHelp, listenToKeys } from "./keys.js";
import { chooseLanguage, fillTexts, text, textIn } from "./labels.js";
import { Layers } from "./layers.js";
import { caption, fillFacts, fillLayers, fillStrip, nameOfView } from "./panel.js";
import { readScene } from "./payload.js";
import { Ruler } from "./ruler.js";
import { Saving } from "./saving.js";
import { Stage } from "./stage.js";

const $ = (id) => document.getElementById(id);
const root = document.documentElement;

function say(words) {
  $("status").textContent = words;
}

class Viewer {
  constructor(scene) {
    this.scene = scene;
    this.chosen = -1;
    this.textIn = textIn; // for tests
    this.loaded = []; // [splats shown, ms since the page was opened]
    this.stage = new Stage($("canvas"), scene.home);
    this.layers = new Layers(this.stage, scene, (shown) => this.progress(shown));
    this.comparison = new Comparison(this.stage);
    this.ruler = new Ruler(this.stage, this.layers, () => this.setTurning(false));
    this.saving = new Saving(this, say);
    this.boxes = fillLayers(scene, (name, shown) => this.show(name, shown));
    this.buttons = fillStrip(scene.views, this.layers.thumbnails(), (index) => this.choose(index));
    this.listen();
    listenToKeys(this);
    this.ready = this.start();
  }

  async start() {
    await this.layers.ready;
    await this.settle();
    root.classList.add("live", "ready");
    say(`${this.scene.title}: ${caption(this.scene)}`);
  }

  // The first part is shown in place of the poster, and the rest joins it.
  async progress(shown) {
    const { count } = this.scene.splats;
    this.loaded.push([shown, performance.now()]);
    $("progress").hidden = shown === count;
    $("progress").value = shown / count;
    if (shown < count) say(text("loaded", { shown, count }));
    if (root.classList.contains("live")) return;
    await this.sorted();
    root.classList.add("live");
  }

  // Resolves when the canvas shows all that was asked for, with all its pixels.
  async settle() {
    let quiet = 0;
    this.stage.request();
    while (quiet < 3) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      quiet = this.layers.busy ? 0 : quiet + 1;
    }
  }

  // Draws once, with the splats in order for the camera; the drawing holds until the task ends.
  async sorted() {
    const { stage, layers: { spark, count } } = this;
    const sorted = async () => {
      while (spark.sorting || spark.sortDirty) await new Promise((resolve) => setTimeout(resolve));
    };
    if (count) {
      await sorted();
      stage.scene.updateMatrixWorld();
      stage.camera.updateMatrixWorld();
      await spark.update({ scene: stage.scene, camera: stage.camera });
      await sorted();
    }
    stage.draw();
  }

  show(name, shown) {
    const box = this.boxes[name];
    if (!box) return;
    box.checked = shown;
    this.layers.show(name, shown);
    if (name === "cameras" && shown) this.stage.fit(this.layers.eyes());
    say(text(shown ? "layer.shown" : "layer.hidden", { layer: text(`layer.${name}`) }));
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
    this.setTurning(false);
    this.stage.stand(views[index], this.layers.displayedPose(index));
    this.comparison.open(views[index]);
    say(nameOfView(views, index));
  }

  leave() {
    if (this.chosen < 0) return;
    this.buttons[this.chosen].setAttribute("aria-pressed", "false");
    this.chosen = -1;
    this.comparison.close();
  }

  setBackground(name) {
    root.dataset.background = name;
    say(text(`background.${name}`));
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
    say(text("home"));
  }

  step(by) {
    const count = this.scene.views.length;
    if (!count) return;
    const from = this.chosen < 0 && by < 0 ? 0 : this.chosen;
    this.choose((from + by + count) % count);
  }

  listen() {
    const { stage } = this;
    stage.onRelease = () => this.leave();
    stage.onSay = say;
    stage.onClick = ({ offsetX, offsetY }) => {
      if (this.ruler.active) return this.ruler.pick(offsetX, offsetY);
      const index = this.layers.pick(offsetX, offsetY);
      if (index >= 0) this.choose(index);
    };
    $("canvas").addEventListener("pointerdown", () => {
      this.setTurning(false);
      root.classList.add("used");
    });
    $("turn").addEventListener("click", () => this.setTurning(!stage.turning));
    $("home").addEventListener("click", () => this.reset());
    $("measure").addEventListener("click", () => this.ruler.toggle());
    $("shade").addEventListener("click", () => this.setBackground(this.background === "dark" ? "light" : "dark"));
    $("save").addEventListener("click", () => this.saving.open());
    $("ask").addEventListener("click", () => $("help").showModal());
    $("toggle-details").addEventListener("click", () => this.setDetails($("details").hidden));
    // Not by forms: frames in notebooks may not submit any.
    for (const button of document.querySelectorAll("dialog .close")) {
      button.addEventListener("click", () => button.closest("dialog").close());
    }
  }
}

async function main() {
  const scene = readScene();
  const asked = new URLSearchParams(location.search).get("lang");
  root.lang = chooseLanguage(asked, scene.language, ...navigator.languages);
  fillTexts(scene);
  $("caption").textContent = caption(scene);
  $("poster").alt = `${scene.title}, ${caption(scene)}`;
  say(text("loading"));
  fillFacts(scene);
  fillHelp();
  if (!scene.splats.count) $("notice").hidden = false;
  try {
    const viewer = new Viewer(scene);
    window.geolrm = viewer; // for the console and for tests
    viewer.setDetails(matchMedia("(min-width: 1080px) and (min-height: 620px)").matches);
    await viewer.ready;
  } catch (error) {
    root.classList.add("failed");
    const shown = window.geolrm?.layers.count;
    if (!shown) root.classList.remove("live");
    say(shown ? text("cutOff", { shown, count: scene.splats.count }) : text("needsWebGL"));
    console.error(error);
  }
}

main();
