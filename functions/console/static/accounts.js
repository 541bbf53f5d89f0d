// The accounts: whose money is where.
import { get, put } from "./api.js";
import { blank, byId, el, fill, once, wrong } from "./dom.js";
import { cents } from "./format.js";
import { follow } from "./live.js";
import { asked, period, standing } from "./ledger.js";

const MOST = 100; // accounts that the server lists
const EACH = 5000; // milliseconds an account
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

/** Returns how long it rests without news: each account is two reads. */
async function look() {
  try {
    const { accounts } = await get("/console/api/accounts");
    fill(byId("accounts"), ...accounts.map(card));
    fill(byId("state"), accounts.length ? null : blank("No accounts yet", "Open one below, then name it when you dispatch."));
    if (accounts.length >= MOST) byId("state").append(el("p", { class: "hint" }, `The first ${MOST}, by name. Any other is at /console/account/NAME.`));
    return accounts.length * EACH;
  } catch (problem) {
    fill(byId("state"), wrong(problem, look));
    if (problem.passing) throw problem;
  }
}

/** Whether there is one: to open it again would change its limit, and let everyone use it. */
const known = (name) => get(`/console/api/account/${name}`).then(() => true, (problem) => {
  if (problem.status !== 404) throw problem;
});

byId("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  once(form.querySelector("button"), async () => {
    const name = encodeURIComponent(form.elements.account.value);
    if (await known(name)) throw new Error("There is an account of this name: change its limit on its own page");
    await put(`/account/${name}`, asked(form));
    form.reset();
    await look();
  });
});
follow(look, SLOW);
