// The page's lists: layers, numbers, the strip of input views. All text is set as text.
import { text } from "./labels.js";

export const LAYERS = [
  { name: "splats", key: "s", shown: true },
  { name: "points", key: "p" },
  { name: "anchors", key: "a" },
  { name: "cameras", key: "c" },
  { name: "cube", key: "u" },
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
  for (const { name, key, shown } of LAYERS) {
    if (!available[name]) continue;
    const box = element("input", { type: "checkbox", checked: Boolean(shown), id: `layer-${name}` });
    box.setAttribute("aria-keyshortcuts", key);
    box.addEventListener("change", () => onToggle(name, box.checked));
    const hint = element("kbd", { textContent: key.toUpperCase() });
    hint.setAttribute("aria-hidden", "true");
    $("layers").append(element("label", {}, box, element("span", { textContent: text(`layer.${name}`) }), hint));
    boxes[name] = box;
  }
  return boxes;
}

// The line under the title, from [label, values] pairs.
export function caption(scene) {
  return scene.caption.map(([key, values]) => text(key, values)).join(" ");
}

export function fillFacts(scene) {
  const row = (target, name, value) =>
    target.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
  for (const [name, form, values] of scene.facts) row($("facts"), text(name), text(form, values));
  for (const [name, seconds] of scene.timings) row($("timings"), name, text("value.seconds", { seconds }));
  if (!scene.timings.length) $("timings-section").remove();
}

export function nameOfView(views, index) {
  return text("view", { index: index + 1, count: views.length, name: views[index].name });
}

export function fillStrip(views, crops, onChoose) {
  const buttons = views.map((view, index) => {
    const image = element("img", { src: view.image, alt: "", loading: "lazy" });
    if (crops[index]) crop(image, crops[index]);
    const button = element("button", { type: "button", title: view.name }, image);
    button.setAttribute("aria-label", nameOfView(views, index));
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
