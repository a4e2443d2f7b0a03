// The page's controls: layers, numbers, the strip of input views, help. All text is set as text.

export const LAYERS = [
  { name: "splats", label: "Splats", key: "s", shown: true },
  { name: "points", label: "Centres", key: "p" },
  { name: "anchors", label: "Anchors", key: "a" },
  { name: "cameras", label: "Cameras", key: "c" },
  { name: "cube", label: "Unit cube", key: "u" },
];

export const KEYS = [
  ["← → ↑ ↓", "turn"],
  ["+ −", "closer, farther"],
  ["0", "first view"],
  ["T", "turntable"],
  ["[ ]", "previous, next input view"],
  ["F", "image or splats, at an input view"],
  ["S P A C U", "splats, centres, anchors, cameras, unit cube"],
  ["B", "background"],
  ["X", "save an image"],
  ["D", "details"],
  ["?", "this help"],
];

const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function fillLayers(scene, onToggle) {
  const available = {
    splats: scene.splats.count > 0,
    points: scene.splats.count > 0,
    anchors: Boolean(scene.anchors),
    cameras: scene.views.length > 0,
    cube: true,
  };
  const boxes = {};
  for (const { name, label, key, shown } of LAYERS) {
    if (!available[name]) continue;
    const box = element("input", { type: "checkbox", checked: Boolean(shown), id: `layer-${name}` });
    box.setAttribute("aria-keyshortcuts", key);
    box.addEventListener("change", () => onToggle(name, box.checked));
    const hint = element("kbd", { textContent: key.toUpperCase() });
    hint.setAttribute("aria-hidden", "true");
    $("layers").append(element("label", {}, box, element("span", { textContent: label }), hint));
    boxes[name] = box;
  }
  return boxes;
}

export function fillFacts(scene) {
  const rows = (target, pairs) => {
    for (const [name, value] of pairs) {
      target.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
    }
  };
  rows($("facts"), scene.facts);
  if (scene.timings.length) rows($("timings"), scene.timings);
  else $("timings-section").remove();
}

export function fillStrip(views, crops, onChoose) {
  const buttons = views.map((view, index) => {
    const image = element("img", { src: view.image, alt: "", loading: "lazy" });
    if (crops[index]) crop(image, crops[index]);
    const button = element("button", { type: "button", title: view.name }, image);
    button.setAttribute("aria-label", `Input view ${index + 1} of ${views.length}: ${view.name}`);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => onChoose(index));
    $("strip").append(button);
    return button;
  });
  if (!views.length) $("strip").remove();
  return buttons;
}

function crop(image, { u, v, du, dv }) {
  const percent = (number) => `${100 * number}%`;
  Object.assign(image.style, {
    objectFit: "fill",
    width: percent(0.5 / du),
    height: percent(0.5 / dv),
    left: percent(0.5 - (0.5 * u) / du),
    top: percent(0.5 - (0.5 * v) / dv),
  });
}

export function fillHelp() {
  for (const [keys, meaning] of KEYS) {
    const cell = element("td", { textContent: meaning });
    const parts = keys.split(" ").map((key) => element("kbd", { textContent: key }));
    $("keys").append(element("tr", {}, element("th", { scope: "row" }, ...parts), cell));
  }
}
