// What is looked at closely: the chosen channel, or the account of every layer.
import { el, mark } from "../dom.js";

const TABS = [["channel", "Channel", "The chosen channel, what spoke through it, and what it looks back on"], ["account", "Account", "What every layer received, passed on and kept"]];

export function mount(root, page) {
  const list = root.querySelector(".tabs");
  const tabs = TABS.map(([value, text, title]) => el("button", {
    type: "button", role: "tab", id: `tab-${value}`, title, "aria-controls": value, onclick: () => page.set({ tab: value }),
  }, text));
  list.append(...tabs);
  list.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = page.state.tab === "channel" ? "account" : "channel";
    page.set({ tab: other });
    document.getElementById(`tab-${other}`).focus();
    event.preventDefault();
  });
  return (words) => {
    if (!words) return;
    for (const [each, [value]] of TABS.entries()) {
      const chosen = page.state.tab === value;
      mark(tabs[each], "aria-selected", chosen);
      tabs[each].tabIndex = chosen ? 0 : -1;
      document.getElementById(value).hidden = !chosen;
    }
  };
}
