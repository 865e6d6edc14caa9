// Elements in one call, and numbers as people read them.

/** An element with properties (on…: listeners, data-… and aria-…: attributes) and children. */
export function el(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.includes("-") || key === "role" || key === "for" || key === "list") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A button with its tooltip. */
export function button(label, title, onclick, more = {}) {
  return el("button", { type: "button", title, onclick, ...more }, label);
}

/** A row of buttons of which one is chosen: choices are [value, label, tooltip]. */
export function segments(label, choices, onchoose) {
  const row = el("div.segments", { role: "group", "aria-label": label });
  for (const [value, text, title] of choices) {
    row.append(button(text, title, () => onchoose(value), { "data-value": value, "aria-pressed": "false" }));
  }
  row.choose = (chosen) => {
    for (const each of row.children) mark(each, "aria-pressed", each.dataset.value === chosen);
  };
  return row;
}

/** A slider with its name and its value in words. */
export function slider(label, title, range, oninput, inWords = (value) => value) {
  const input = el("input", { type: "range", min: range[0], max: range[1], step: range[2], title, "aria-label": label });
  const shown = el("output", {});
  input.addEventListener("input", () => oninput(Number(input.value)));
  const row = el("label.slider", { title }, el("span", {}, label), input, shown);
  row.show = (value) => {
    if (Number(input.value) !== value) input.value = value;
    say(shown, String(inWords(value)));
    mark(input, "aria-valuetext", inWords(value));
  };
  return row;
}

/** Three significant digits, with a real minus. */
export function number(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 1e5) {
    const [mantissa, power] = value.toExponential(digits - 1).split("e");
    return `${mantissa.replace("-", "−")}·10${superscript(Number(power))}`;
  }
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toFixed(Math.min(places, 6)).replace("-", "−");
}

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const superscript = (power) => [...String(power)].map((sign) => SUPERSCRIPT[sign]).join("");

/** The same with its sign. */
export const signed = (value, digits = 3) => (value > 0 ? "+" : "") + number(value, digits);

/** A share as a percentage. */
export function percent(share) {
  if (share > 0.999 && share < 1) return "> 99.9 %";
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** A share of the score as a percentage, with its sign where it speaks against. */
export const shareOf = (part, whole) => `${((100 * part) / (Math.abs(whole) || 1)).toFixed(1).replace("-", "−")} %`;

/** What the shares of an answer are shares of. */
export const wholeOf = (answer) => (answer.against === null ? "f(x)" : "f(x) − f′(x)");

/** Replaces what an element holds only where it differs, so that nothing flickers, nor is laid out for nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The same for an attribute. */
export function mark(element, name, value) {
  const text = String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** The same for a property of its style. */
export function dress(element, name, value) {
  const text = String(value);
  if (element.style.getPropertyValue(name) !== text) element.style.setProperty(name, text);
}
