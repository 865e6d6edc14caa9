// How maps are drawn, and how relevance is propagated.
import { MAP_NAMES } from "../colours.js";
import { button, el, say, slider } from "../dom.js";

export function mount(root, page) {
  const gamma = slider("Gamma", "Below 1, faint values come forward", [0.2, 2, 0.05], (value) => page.set({ gamma: value }), (value) => value.toFixed(2));
  const boost = slider("Boost", "Multiplies what is drawn", [1, 20, 0.5], (value) => page.set({ boost: value }), (value) => `× ${value}`);
  const map = el("select", { title: "Colours for and against", "aria-label": "Colours" }, ...MAP_NAMES.map((name) => el("option", { value: name }, name)));
  map.addEventListener("change", () => page.set({ map: map.value }));
  const composite = el("select", { title: "Which rule propagates relevance in which layer", "aria-label": "Composite" });
  composite.addEventListener("change", () => page.set({ composite: composite.value || null }));
  const labels = el("input", { type: "checkbox", title: "Numbers under the tiles" });
  labels.addEventListener("change", () => page.set({ labels: labels.checked }));
  const copy = button("Copy link", "An address that shows exactly this; photographs of your own are not in it", async () => {
    await navigator.clipboard?.writeText(location.href).catch(() => {});
    page.say("The address is copied.");
  });
  const how = el("p.hint");
  root.append(
    el("summary", { title: "Colours, gamma, boost, rules" }, "Display"),
    el("div.sheet", {}, gamma, boost,
      el("label.pick", {}, el("span", {}, "Colours"), map),
      el("label.pick", {}, el("span", {}, "Rules"), composite),
      el("label.check", {}, labels, " numbers under tiles"), how, copy),
  );
  addEventListener("pointerdown", (event) => {
    if (root.open && !root.contains(event.target)) root.open = false;
  });
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !root.open) return;
    root.open = false;
    root.firstChild.focus();
    event.stopPropagation();
  });
  let filled = null;

  return (words) => {
    const { state, model } = page;
    if (!words) return;
    gamma.show(state.gamma);
    boost.show(state.boost);
    map.value = state.map;
    labels.checked = state.labels;
    if (!model) return;
    if (filled !== model) {
      filled = model;
      composite.replaceChildren(el("option", { value: "" }, `${model.composite} (this model's)`),
        ...page.composites.filter((name) => name !== model.composite).map((name) => el("option", { value: name }, name)));
      say(how, `${model.title}: ${model.preprocessing}`);
    }
    composite.value = state.composite ?? "";
  };
}
