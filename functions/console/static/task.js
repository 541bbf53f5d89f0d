// One task: what happened to it, what it cost, what came of it; and what can be done about it.
import { ended, get, post, task as read, taskPage } from "./api.js";
import { button, byId, el, facts, fill, mayAct, notice, say, setup, wrong } from "./dom.js";
import { ago, at, cents, plural, short } from "./format.js";
import { seen, sleep } from "./live.js";
import { bar, fault, json, legend, purse, state } from "./parts.js";
import { curl, orderOf } from "./curl.js";
import { logLines } from "./log.js";
import { waterfall } from "./waterfall.js";

const PACE = 700; // milliseconds between two looks at a task that moves
const CHILDREN = 20; // that are looked at; of the others only the number is told
const EACH_CHILD = 2000; // milliseconds between two looks at it, while the task itself rests
const id = setup.name;
const shown = {}; // by part of the page: what it was made of
const age = el("span");
let family = {}; // when the children were looked at
let last;

const link = (task, text = task) => el("a", { class: "mono", href: taskPage(task), title: task }, text);

/** Draws a part of the page, unless it shows this already: what stays keeps focus and selection. */
function part(name, of, make) {
  const now = JSON.stringify(of) ?? "";
  if (shown[name] === now) return;
  shown[name] = now;
  fill(byId(name), ...[make()].flat());
}

function about(task) {
  return facts([
    ["Task", el("span", { class: "mono" }, task.taskId)],
    ["Dispatched", el("span", { title: task.createdAt }, at(task.createdAt), " ", age)],
    ["Deadline", at(task.ttl * 1000)],
    ["Attempts", String(task.attempts)],
    ["Account", task.account && el("a", { href: `/console/account/${encodeURIComponent(task.account)}` }, task.account)],
    ["Progress", task.progress && [task.progress.fraction !== undefined && `${Math.round(task.progress.fraction * 100)} %`, task.progress.text].filter(Boolean).join(" ")],
    ["Idempotency key", task.idempotencyKey && el("span", { class: "mono" }, task.idempotencyKey)],
    ["Trace", el("span", { class: "mono" }, task.traceId)],
    ["Callback", task.callbackUrl && el("span", { class: "mono" }, task.callbackUrl)],
    ["Child of", task.parent && link(task.parent)],
    ["Redrive of", task.redriveOf && link(task.redriveOf)],
    ["Redriven as", task.redrivenAs && link(task.redrivenAs)],
  ]);
}

const redrivable = (task) => ["failed", "expired"].includes(task.status) && !task.redrivenAs;
const unheard = (task) => ["failed", "gone"].includes(task.callback?.state);

function actions(task) {
  const possible = [button("Copy as curl", () => navigator.clipboard.writeText(curl(orderOf(task))).then(() => notice("Copied: the line that dispatches this again")))];
  if (!mayAct) return possible;
  possible.unshift(el("a", { class: "button", href: `/console/dispatch?from=${task.taskId}` }, "Edit and dispatch"));
  if (!ended(task)) possible.push(button("Cancel", cancel, { class: "danger" }));
  if (unheard(task)) possible.unshift(button("Send the callback again", callBack));
  if (redrivable(task)) possible.unshift(button("Redrive", redrive, { class: "primary" }));
  return possible;
}

async function cancel() {
  draw(await post(`/task/${id}/cancel`));
  notice("Cancelled. A running attempt is fenced off, and what was not spent is free again.");
}

async function redrive() {
  location.assign(taskPage((await post(`/task/${id}/redrive`)).taskId));
}

async function callBack() {
  await post(`/task/${id}/callback`);
  location.reload(); // it moves again
}

function money(task) {
  const said = ended(task)
    ? `Settled: ${cents(task.costCents)} of ${cents(task.budgetCents)}.`
    : `Holds ${cents(task.heldCents)} until it ends.`;
  return [el("p", { class: "money" }, said), bar(purse(task), task.budgetCents, { class: "bar tall" }), legend(purse(task))];
}

function outcome(task) {
  if (task.result !== undefined) return json(task.result);
  if (task.error) return fault(task.error);
  return el("p", { class: "hint" }, ended(task) ? "None." : "Not yet.");
}

const tick = (task) => say(age, `(${ago(task.createdAt)} ago)`);

function draw(task) {
  if (last && ended(last) && !ended(task)) return; // asked before it ended, answered after
  last = task;
  fill(byId("waterfall"), waterfall(task));
  fill(byId("state"));
  tick(task);
  say(byId("crumb"), task.taskId.slice(0, 12));
  say(byId("agent"), task.agent);
  part("status", task.status, () => state(task.status));
  part("facts", { ...task, timeline: 0, payload: 0, result: 0, steps: 0 }, () => about(task));
  part("actions", [ended(task), redrivable(task), unheard(task)], () => actions(task));
  part("money", [ended(task), purse(task), task.heldCents], () => money(task));
  part("payload", task.payload, () => json(task.payload));
  part("result", [ended(task), task.result, task.error], () => outcome(task));
  document.title = `${task.status} · ${task.agent} · Zantara`;
  byId("task").hidden = false;
}

function child(task) {
  return el("li", {}, state(task.status), link(task.taskId, short(task.taskId)), el("span", {}, task.agent), el("span", { class: "amount" }, `${cents(task.costCents)} of ${cents(task.budgetCents)}`));
}

/** The children: looked at whenever the task has moved, else the more seldom the more there are. */
async function children(task) {
  const ids = task.children ?? [];
  byId("children-section").hidden = !ids.length;
  const moved = JSON.stringify(task);
  if (moved === family.moved && (ended(task) || Date.now() < family.due)) return;
  family = { moved, due: Date.now() + ids.length * EACH_CHILD };
  const found = await Promise.all(ids.slice(0, CHILDREN).map(read));
  const more = ids.length - found.length;
  part("children", [found.map(({ taskId, status, costCents }) => [taskId, status, costCents]), more], () => [
    el("ul", { class: "children" }, ...found.map(child)),
    more ? el("p", { class: "hint" }, `and ${plural(more, "more child", "more children")}`) : "",
  ]);
}

async function log() {
  const { log: lines } = await get(`/local/log/${id}`);
  byId("log-section").hidden = !lines.length;
  part("log", lines, () => logLines(lines));
}

/** It moves until it has ended, its callback is out, and its log is complete. */
async function follow() {
  for (let quiet = 0; quiet < 4; ) {
    await seen();
    try {
      draw(await read(id));
      quiet = ended(last) && last.callback?.state !== "pending" ? quiet + 1 : 0;
      await children(last).catch(() => {});
      if (setup.local === "true") await log().catch(() => {});
    } catch (problem) {
      fill(byId("state"), wrong(problem, () => location.reload()));
      if (!problem.passing) return;
    }
    await sleep(PACE);
  }
}

setInterval(() => last && tick(last), 1000);
follow();
