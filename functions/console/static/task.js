// One task: what happened to it, what it cost, what came of it; and what can be done about it.
import { ended, get, post, task as read, taskPage } from "./api.js";
import { button, byId, el, facts, fill, mayAct, notice, setup, wrong } from "./dom.js";
import { ago, at, cents } from "./format.js";
import { seen, sleep } from "./live.js";
import { bar, fault, json, legend, purse, state } from "./parts.js";
import { curl, orderOf } from "./curl.js";
import { logLines } from "./log.js";
import { waterfall } from "./waterfall.js";

const PACE = 700; // milliseconds between two looks at a task that moves
const id = setup.name;
let drawn = "";

const link = (task) => el("a", { class: "mono", href: taskPage(task) }, task);

function about(task) {
  return facts([
    ["Task", el("span", { class: "mono" }, task.taskId)],
    ["Dispatched", el("span", { title: task.createdAt }, `${at(task.createdAt)} (${ago(task.createdAt)} ago)`)],
    ["Deadline", at(task.ttl * 1000)],
    ["Attempts", String(task.attempts)],
    ["Account", task.account && el("a", { href: `/console/account/${encodeURIComponent(task.account)}` }, task.account)],
    ["Progress", task.progress && [task.progress.fraction !== undefined && `${Math.round(task.progress.fraction * 100)} %`, task.progress.text].filter(Boolean).join(" ")],
    ["Idempotency key", task.idempotencyKey && el("span", { class: "mono" }, task.idempotencyKey)],
    ["Trace", el("span", { class: "mono" }, task.traceId)],
    ["Callback", task.callbackUrl && el("span", { class: "mono" }, task.callbackUrl)],
    ["Child of", task.parent && link(task.parent)],
    ["Children", task.children && el("span", {}, ...task.children.flatMap((child) => [link(child), " "]))],
    ["Redrive of", task.redriveOf && link(task.redriveOf)],
    ["Redriven as", task.redrivenAs && link(task.redrivenAs)],
  ]);
}

function actions(task) {
  const possible = [button("Copy as curl", () => navigator.clipboard.writeText(curl(orderOf(task))).then(() => notice("Copied: the line that dispatches this again")))];
  if (!mayAct) return possible;
  if (!ended(task)) possible.push(button("Cancel", () => cancel(task), { class: "danger" }));
  if (["failed", "expired"].includes(task.status) && !task.redrivenAs) {
    possible.unshift(button("Redrive", () => redrive(task), { class: "primary" }));
  }
  return possible;
}

async function cancel(task) {
  draw(await post(`/task/${task.taskId}/cancel`));
  notice("Cancelled. A running attempt is fenced off, and what was not spent is free again.");
}

async function redrive(task) {
  location.assign(taskPage((await post(`/task/${task.taskId}/redrive`)).taskId));
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

function draw(task) {
  fill(byId("waterfall"), waterfall(task));
  const now = JSON.stringify(task);
  if (now === drawn) return;
  drawn = now;
  document.title = `${task.status} · ${task.agent} · Zantara`;
  fill(byId("crumb"), task.taskId.slice(0, 12));
  fill(byId("agent"), task.agent);
  fill(byId("status"), state(task.status));
  fill(byId("facts"), ...about(task));
  fill(byId("actions"), ...actions(task));
  fill(byId("money"), ...money(task));
  fill(byId("payload"), json(task.payload));
  fill(byId("result"), outcome(task));
  byId("task").hidden = false;
  fill(byId("state"));
}

async function log() {
  const lines = await get(`/local/log/${id}`);
  byId("log-section").hidden = !lines.log.length;
  fill(byId("log"), logLines(lines.log));
}

/** It moves until it has ended, its callback is out, and its log is complete. */
async function follow() {
  for (let quiet = 0; quiet < 4; ) {
    await seen();
    try {
      const task = await read(id);
      draw(task);
      if (setup.local === "true") await log().catch(() => {});
      quiet = ended(task) && task.callback?.state !== "pending" ? quiet + 1 : 0;
    } catch (problem) {
      fill(byId("state"), wrong(problem, () => location.reload()));
      if (problem.status) return;
    }
    await sleep(PACE);
  }
}

follow();
