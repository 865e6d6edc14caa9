// Servers beyond this machine want a token: from the address they printed, or typed in; it becomes a cookie.
import { button, el } from "./dom.js";

async function offer(token) {
  const reply = await fetch("api/session", { method: "POST", headers: { authorization: `Bearer ${token}` } });
  return reply.ok;
}

/** Returns once the server lets this page in. */
export async function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) {
    history.replaceState(null, "", location.pathname);
    if (await offer(given)) return;
  }
  if ((await fetch("api/models")).status !== 401) return;
  await new Promise((resolve) => {
    const dialog = document.getElementById("token");
    const field = el("input", { type: "password", id: "token-field", autocomplete: "off" });
    const wrong = el("p.hint", { role: "alert" });
    const enter = async (event) => {
      event.preventDefault();
      if (!(await offer(field.value.trim()))) {
        wrong.textContent = "That is not the token. The server printed it, behind # in its address.";
        return;
      }
      dialog.close();
      resolve();
    };
    dialog.append(
      el("form", { onsubmit: enter }, el("h2", {}, "This server wants its token"),
        el("label", { htmlFor: "token-field" }, "Token, as the server printed it when it started"), field, wrong,
        button("Enter", "Send the token", undefined, { type: "submit" })),
    );
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.showModal();
  });
}
