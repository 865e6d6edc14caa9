// What the chosen channel has learnt: pictures that excite it, a picture made to, its name; from the model's store.
import { el, number } from "../dom.js";

const KEPT = 64; // sheets; a page that is open for days must not grow

export function mount(root, page) {
  const sheets = new Map(); // by model, layer and channel: what the server said, null where nothing is known
  let shown = null;

  /** Asks the server once for each channel; draws when it has answered, if that is still the chosen one. */
  async function fetchSheet(key, { model, layer, channel }) {
    sheets.set(key, undefined);
    if (sheets.size > KEPT) sheets.delete(sheets.keys().next().value);
    try {
      const reply = await fetch(`api/models/${encodeURIComponent(model)}/units/${channel}?layer=${encodeURIComponent(layer)}`);
      sheets.set(key, reply.ok ? await reply.json() : null);
    } catch {
      sheets.delete(key); // the server is away: ask again
    }
    page.render();
  }

  return () => {
    const { state } = page;
    const wanted = state.sheet && state.tab === "channel" && state.channel !== null && page.model?.name === state.model;
    const fits = wanted && page.layerNamed(state.layer) && page.layerNamed(state.layer).type !== "Input";
    const key = fits ? JSON.stringify([state.model, state.layer, state.channel]) : null;
    if (key && !sheets.has(key)) fetchSheet(key, state);
    const sheet = key ? sheets.get(key) : null;
    const drawn = sheet ? key : null;
    if (drawn === shown) return;
    shown = drawn;
    root.replaceChildren(...(sheet ? draw(sheet) : []));
  };
}

function draw(sheet) {
  const facts = sheet.facts.filter(([name]) => name !== "sees").map(([name, value]) => `${name} ${value}`).join("; ");
  return [
    el("h3", { title: "Show or hide what the channel has learnt (s)" }, sheet.name ? `It likes: ${sheet.name}` : "What it has learnt"),
    sheet.evidence ? el("p.numbers", {}, sheet.evidence) : null,
    el("p.numbers", {}, `${facts}.`),
    ...sheet.rows.map((row) => section(row.heading, row.method ? `below, what excites it there: ${row.method}` : "", row.tiles.map(tile))),
    sheet.stimuli.length ? section("Made to excite it", "activation, and that of its best real picture", sheet.stimuli.map(stimulus)) : null,
    el("p.caption", {}, sheet.source),
  ].filter(Boolean);
}

function section(heading, note, tiles) {
  return el("section", {}, el("h4", {}, heading), note ? el("p.caption", {}, note) : null, el("ol.likes", {}, ...tiles));
}

function tile({ picture, highlight, label, value, small, id }) {
  const image = (src, alt) => (src ? el(small ? "img.pixelated" : "img", { src, alt }) : null);
  return el("li", { title: id }, image(picture, label || id), image(highlight, "What excites it there"), el("span.caption", {}, number(value)), label ? el("span.caption", {}, label) : null);
}

function stimulus({ picture, recipe, sign, activation, best, fragile, small }) {
  const words = `${number(activation)} (${number(best)})${fragile ? ", only in this place" : ""}`;
  const title = `${recipe}${sign < 0 ? ", least" : ""}`;
  return el("li", { title }, el(small ? "img.pixelated" : "img", { src: picture, alt: `Made by ${title}` }), el("span.caption", {}, words));
}
