// The keys: what they do, and the table of them in the help.
import { text } from "./labels.js";
import { LAYERS, element } from "./panel.js";

const STEP = Math.PI / 24;
const $ = (id) => document.getElementById(id);

// Keys as they are shown, and the label of what they do.
const SHOWN = [
  ["← → ↑ ↓", "help.turn"],
  ["+ −", "help.zoom"],
  ["0", "help.home"],
  ["T", "help.turntable"],
  ["[ ]", "help.step"],
  ["F", "help.flip"],
  ["W", "help.wipe"],
  ["S P A C U", "help.layers"],
  ["M", "help.measure"],
  ["key.shift ← → ↑ ↓ key.enter", "help.aim"],
  ["B", "help.background"],
  ["X", "help.picture"],
  ["V", "help.video"],
  ["D", "help.details"],
  ["?", "help.help"],
];

export function fillHelp() {
  for (const [keys, meaning] of SHOWN) {
    const names = keys.split(" ").map((key) => (key.startsWith("key.") ? text(key) : key));
    const parts = names.map((key) => element("kbd", { textContent: key }));
    const cell = element("td", { textContent: text(meaning) });
    $("keys").append(element("tr", {}, element("th", { scope: "row" }, ...parts), cell));
  }
}

export function listenToKeys(viewer) {
  const { stage, comparison, ruler, saving } = viewer;
  const keys = {
    ArrowLeft: () => stage.turn(-STEP, 0),
    ArrowRight: () => stage.turn(STEP, 0),
    ArrowUp: () => stage.turn(0, -STEP),
    ArrowDown: () => stage.turn(0, STEP),
    "+": () => stage.zoom(0.9),
    "=": () => stage.zoom(0.9),
    "-": () => stage.zoom(1 / 0.9),
    0: () => viewer.reset(),
    Home: () => viewer.reset(),
    t: () => viewer.setTurning(!stage.turning),
    "[": () => viewer.step(-1),
    "]": () => viewer.step(1),
    f: () => comparison.flip(),
    w: () => comparison.setMode(comparison.mode === "wipe" ? "blend" : "wipe"),
    m: () => ruler.toggle(),
    Escape: () => ruler.close(),
    b: () => viewer.setBackground(viewer.background === "dark" ? "light" : "dark"),
    x: () => saving.open("picture"),
    v: () => saving.open("video"),
    d: () => viewer.setDetails($("details").hidden),
    "?": () => $("help").showModal(),
  };
  for (const { name, key } of LAYERS) {
    keys[key] = () => viewer.show(name, !viewer.boxes[name]?.checked);
  }
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    // A field of a dialog that was closed may keep the focus until the next frame.
    if (event.target.matches("input[type=text], select") && !event.target.closest("dialog")) return;
    if (ruler.onKey(event)) return void event.preventDefault();
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const takesArrows = event.target.matches("input[type=range]");
    if (!keys[key] || (takesArrows && (key.startsWith("Arrow") || key === "Home"))) return;
    event.preventDefault();
    keys[key]();
  });
}
