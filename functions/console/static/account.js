// One account: its window, its history, how fast its money goes, and its limit.
import { get, put } from "./api.js";
import { asked, period, standing } from "./ledger.js";
import { byId, el, facts, fill, notice, once, setup, wrong } from "./dom.js";
import { at, cents, plural, span } from "./format.js";
import { follow } from "./live.js";

const SLOW = 30_000; // milliseconds: purses are settled without any task moving
const id = setup.name;
const limit = byId("limit");

function burning({ burn, freeCents }) {
  if (!burn.centsPerHour) return "nothing, lately";
  const rate = `${cents(Math.round(burn.centsPerHour))} an hour, by the last ${plural(burn.tasks, "task")}`;
  return freeCents ? rate : `${rate}; it has run out`;
}

function lasts({ burn, window, freeCents }) {
  if (!burn.runsOutAt) return burn.centsPerHour && freeCents ? "for years" : null;
  const left = Date.parse(burn.runsOutAt) - Date.now();
  const beyond = window !== "total" && left > { day: 86_400_000, month: 2_678_400_000 }[window];
  return beyond ? `beyond this ${window}` : `${span(left)}, until ${at(burn.runsOutAt)}`;
}

function column({ period: name, spentCents, limitCents }, most) {
  const drawn = el("span", { class: spentCents ? "column" : "column zero" });
  drawn.style.height = `${most ? (70 * spentCents) / most : 0}%`;
  const title = `${name}: ${cents(spentCents)}${limitCents ? ` of ${cents(limitCents)}` : ""}`;
  return el("li", { title }, el("small", {}, cents(spentCents)), drawn, el("small", {}, name.slice(-5)));
}

function draw(account) {
  const most = Math.max(...account.history.map((each) => each.spentCents));
  fill(byId("crumb"), account.account);
  fill(byId("name"), account.account);
  fill(byId("now"), ...standing(account));
  fill(byId("facts"), ...facts([
    ["Limit", `${cents(account.limitCents)} ${period(account)}`],
    ["Burns", burning(account)],
    ["Lasts", lasts(account)],
    ["Open purses", String(account.purses)],
    ["Who may use it", account.owners.join(", ") || "everyone"],
  ]));
  fill(byId("history"), el("ul", { class: "chart named", "aria-label": "Spent in each window" }, ...account.history.map((each) => column(each, most))));
  byId("tasks").href = `/?account=${encodeURIComponent(account.account)}`;
  if (byId("account").hidden) {
    limit.elements.limitCents.value = account.limitCents;
    limit.elements.window.value = account.window;
  }
  byId("account").hidden = false;
  document.title = `${account.account} · Zantara`;
  owners = account.owners;
}

let known, owners = [];

async function look(brief = false) {
  try {
    known = { ...known, ...(await get(`/console/api/account/${encodeURIComponent(id)}?brief=${brief}`)) };
    draw(known);
    fill(byId("state"));
  } catch (problem) {
    fill(byId("state"), wrong(problem, look));
    if (problem.passing) throw problem;
  }
}

limit.addEventListener("submit", (event) => {
  event.preventDefault();
  once(limit.querySelector("button"), async () => {
    await put(`/account/${encodeURIComponent(id)}`, { ...asked(limit), owners });
    notice("Changed");
    await look();
  });
});
follow(look, SLOW);
