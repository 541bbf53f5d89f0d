// The accounts: whose money is where.
import { get, put } from "./api.js";
import { blank, byId, el, fill, once, wrong } from "./dom.js";
import { cents } from "./format.js";
import { follow } from "./live.js";
import { asked, period, standing } from "./ledger.js";

const SLOW = 30_000; // milliseconds: purses are settled without any task moving

function card(account) {
  const link = el("a", { href: `/console/account/${encodeURIComponent(account.account)}` }, account.account);
  return el(
    "article",
    { class: "card" },
    el("h2", {}, link, el("span", {}, cents(account.limitCents))),
    ...standing(account),
    el("p", { class: "hint" }, period(account)),
  );
}

async function look() {
  try {
    const { accounts } = await get("/console/api/accounts");
    fill(byId("accounts"), ...accounts.map(card));
    fill(byId("state"), accounts.length ? null : blank("No accounts yet", "Open one below, then name it when you dispatch."));
  } catch (problem) {
    fill(byId("state"), wrong(problem, look));
    if (!problem.status) throw problem;
  }
}

byId("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  once(form.querySelector("button"), async () => {
    await put(`/account/${encodeURIComponent(form.elements.account.value)}`, asked(form));
    form.reset();
    await look();
  });
});
follow(look, SLOW);
