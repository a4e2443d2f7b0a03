// All that a person reads, from one table; see labels.json.
import TABLE from "./labels.json";

let language = "en";

// Takes the first of these tags that the table knows by its first two letters.
export function chooseLanguage(...tags) {
  const known = tags.map((tag) => tag?.slice(0, 2).toLowerCase()).find((tag) => Object.hasOwn(TABLE, tag ?? ""));
  language = known ?? "en";
  return language;
}

// The text of that name; `{name}` stands for a value, `{name:3}` for a number with three decimals.
// Where `count` is one, the text named `key.one` is taken if there is one.
export function text(key, values = {}) {
  return textIn(language, key, values);
}

export function textIn(tongue, key, values) {
  const table = TABLE[tongue];
  const found = (values.count === 1 && table[`${key}.one`]) || table[key];
  if (found === undefined) throw new Error(`no label ${key}`);
  return found.replace(/\{(\w+)(?::(\d))?\}/g, (_, name, decimals) => show(tongue, values[name], decimals));
}

function show(tongue, value, decimals) {
  if (typeof value !== "number") return value;
  const digits = decimals === undefined ? {} : { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return new Intl.NumberFormat(tongue, digits).format(value).replace("-", "\u2212");
}

// A length to four significant digits.
export function significant(value) {
  return new Intl.NumberFormat(language, { maximumSignificantDigits: 4 }).format(value);
}

// Fills what carries data-text (its content), data-label (its name for screen readers) and data-tip
// (both its name and what shows on hover, with its key).
export function fillTexts(values) {
  for (const element of document.querySelectorAll("[data-text], [data-label], [data-tip], [data-alt]")) {
    const { text: content, label, tip, key, alt, role } = element.dataset;
    if (content) element.textContent = text(content, values);
    if (alt) element.alt = text(alt, values);
    if (role) element.setAttribute("aria-roledescription", text(role, values));
    if (label ?? tip) element.setAttribute("aria-label", text(label ?? tip, values));
    if (tip) element.title = `${text(tip)} (${key})`;
  }
}
