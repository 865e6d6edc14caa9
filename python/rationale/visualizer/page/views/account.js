// The account: what every layer received of the score, passed on, and kept in biases and stabiliser.
import { dress, el, number, say, wholeOf } from "../dom.js";

const COLUMNS = [["received", "received"], ["passed_on", "passed on"], ["bias", "biases"], ["stabiliser", "stabiliser"]];

const SMALL = 1e-3; // share of the score below which a number is "≈ 0", and told exactly by its tooltip

export function mount(root, page) {
  const hint = el("p.hint");
  const body = el("tbody");
  const table = el("table.ledger", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "layer"), ...COLUMNS.map(([, text]) => el("th.n", { scope: "col" }, text)))), body);
  root.append(hint, table);

  return (words) => {
    const { answer, state } = page;
    if (!words || !answer?.ledger || state.tab !== "account") return;
    say(hint, `In units of the score ${wholeOf(answer)}, from the score down to the pixels: received = passed on + biases + stabiliser, up to rounding.`);
    while (body.children.length < answer.ledger.length) body.append(row(page));
    const scale = Math.abs(answer.score) || 1;
    for (const [each, item] of [...body.children].entries()) {
      const account = answer.ledger[each];
      item.hidden = !account;
      if (!account) continue;
      const [name, ...cells] = item.children;
      item.classList.toggle("chosen", account.layer === state.layer);
      const choose = name.querySelector("button");
      say(choose, account.layer);
      choose.title = `Look at ${account.layer}: ${account.type}, rule ${account.rule}, residual ${number(account.residual, 1)}`;
      for (const [place, cell] of cells.entries()) {
        const value = account[COLUMNS[place][0]];
        const exact = `${COLUMNS[place][1]}: ${number(value)} of ${wholeOf(answer)} = ${number(answer.score)}`;
        say(cell, value && Math.abs(value) < SMALL * scale ? "≈ 0" : number(value));
        if (cell.title !== exact) cell.title = exact;
      }
      dress(cells[1], "--share", `${Math.min(100, (100 * Math.abs(account.passed_on)) / scale)}%`);
    }
  };
}

function row(page) {
  const choose = el("button", { type: "button", onclick: (event) => page.set({ layer: event.currentTarget.textContent }) });
  return el("tr", {}, el("th", { scope: "row" }, choose), ...COLUMNS.map(() => el("td.n")));
}
