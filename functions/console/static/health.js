// The health of the whole.
import { get } from "./api.js";
import { byId, el, fill, say, wrong } from "./dom.js";
import { ago, at, count, plural, span } from "./format.js";
import { follow } from "./live.js";

const SLOW = 90_000; // milliseconds: what is due grows old without any task moving
const LATE = 60_000; // milliseconds: the sweep comes every minute
let health;
const HOPS = {
  tasks: ["tasks", "from dispatch to the first attempt"],
  attempts: ["attempts", "from an attempt's begin to its result"],
  results: ["results", "from the result to its settlement"],
  callbacks: ["callbacks", "from the end to the delivery"],
  total: ["the whole", "from dispatch to the end"],
};

function tile(name, value, bad = false) {
  return el("div", { class: bad ? "bad" : "" }, el("dt", {}, name), el("dd", {}, value));
}

function tiles(health) {
  const due = health.oldestDueAt;
  const late = due && Date.parse(health.now) - Date.parse(due) > LATE;
  const whole = health.hops.find((hop) => hop.hop === "total");
  const letters = health.deadLetters.length;
  return [
    tile("Queued", count(health.states.queued)),
    tile("Running", count(health.states.running)),
    tile("Waiting", count(health.states.waiting)),
    tile("Whole way, p95", span(whole.p95Ms)),
    tile("Dead letters", letters < 20 ? String(letters) : "20 or more", letters > 0),
    tile("Oldest due", due ? ago(due, Date.parse(health.now)) : "none", late),
  ];
}

function row(hop) {
  const [name, about] = HOPS[hop.hop];
  const numbers = [count(hop.passed), count(hop.perMinute), span(hop.p50Ms), span(hop.p95Ms)];
  return el("tr", {}, el("td", {}, name, " ", el("span", { class: "hint about" }, about)), ...numbers.map((text) => el("td", { class: "number" }, text)));
}

function minute({ dispatched, failed }, back, most) {
  const good = el("span", { class: dispatched ? "column" : "column zero" });
  good.style.height = `${most ? (95 * (dispatched - failed)) / most : 0}%`;
  const bad = el("span", { class: "column bad" });
  bad.style.height = `${most ? (95 * failed) / most : 0}%`;
  return el("li", { title: `${back} min ago: ${dispatched} dispatched, ${failed} of them failed` }, bad, good);
}

function histogram(minutes) {
  const most = Math.max(...minutes.map((each) => each.dispatched));
  const all = minutes.reduce((sum, each) => sum + each.dispatched, 0);
  const label = `${plural(all, "task")} dispatched in 30 minutes, at most ${most} a minute`;
  const drawn = el("ul", { class: "chart", "aria-hidden": "true" }, ...minutes.map((each, index) => minute(each, minutes.length - 1 - index, most)));
  return [drawn, el("p", { class: "hint" }, label)];
}

function letter(each) {
  return el("tr", {}, el("td", {}, el("code", {}, each.code)), el("td", {}, each.detail), el("td", { class: "number when" }, at(each.recordedAt)));
}

function letters(found) {
  if (!found.length) return el("p", { class: "hint" }, "None. Whatever cannot be delivered, or processed, is kept here.");
  const heads = [["Code"], ["What happened"], ["When", "number"]].map(([name, kind]) => el("th", { scope: "col", class: kind }, name));
  const table = el("table", { class: "rows" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...found.map(letter)));
  return el("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Dead letters" }, table);
}

/** The minutes of the histogram, moved on to now. */
function moved({ minutes, minutesAt, now }) {
  const gone = Math.min(minutes.length, Math.floor((Date.parse(now) - Date.parse(minutesAt)) / 60_000));
  return [...minutes.slice(gone), ...Array.from({ length: gone }, () => ({ dispatched: 0, failed: 0 }))];
}

async function look(brief = false) {
  try {
    health = { ...health, ...(await get(`/console/api/health?brief=${brief}`)) };
    fill(byId("tiles"), ...tiles(health));
    fill(byId("minutes"), ...histogram(moved(health)));
    fill(byId("hops"), ...health.hops.map(row));
    fill(byId("letters"), letters(health.deadLetters));
    say(byId("sample"), health.tasks ? `of the newest ${plural(health.tasks, "task")}, since ${at(health.sinceAt)}` : "");
    fill(byId("state"));
  } catch (problem) {
    fill(byId("state"), wrong(problem, look));
    if (problem.passing) throw problem;
  }
}

follow(look, SLOW);
