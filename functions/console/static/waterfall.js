// The waterfall: a task's timeline as bars, from its dispatch to its callback.
import { ended } from "./api.js";
import { el } from "./dom.js";
import { at, cents, span } from "./format.js";
import { fault } from "./parts.js";

const ENDS = ["succeeded", "failed", "expired", "cancelled"];

/** The spans of a task: [{name, kind, from, to, note, error}], times in milliseconds. */
export function spans(task, now = Date.now()) {
  const found = [];
  let open, attempt;
  const begin = (name, kind, from, rest = {}) => (found.push((open = { name, kind, from, ...rest })), open);
  for (const event of task.timeline) {
    const time = Math.max(Date.parse(event.at), open?.from ?? 0); // clocks may differ
    const was = open;
    if (open) open.to = time;
    open = undefined;
    if (event.event === "queued") begin("Queued", "queued", time);
    else if (event.event === "running") attempt = begin(`Attempt ${event.attempt}`, "running", time, { charged: event.chargedCents });
    else if (event.event === "published") begin("Result on its way", "settling", time);
    else if (event.event === "attempt_failed") {
      Object.assign(attempt, { kind: "failed", error: event.error });
      begin("Queued again", "queued", time);
    } else if (event.event === "waiting") begin("Waiting for children", "waiting", time);
    else if (!ENDS.includes(event.event)) begin("Queued again", "queued", time, { note: event.event });
    else if (was?.name === "Queued again" && was.from === time) found.pop();
    else if (attempt?.kind === "running") attempt.kind = event.event === "succeeded" ? "succeeded" : "failed";
  }
  if (open && !ended(task)) Object.assign(open, { to: now, open: true });
  if (task.callback && task.endedAt) {
    const { lastAttemptAt: last } = task.callback;
    const pending = task.callback.state === "pending";
    const note = `${task.callback.state}, ${task.callback.attempts} tried`;
    const to = pending ? now : Date.parse(last ?? task.endedAt);
    found.push({ name: "Callback", kind: "callback", from: Date.parse(task.endedAt), to, open: pending, note });
  }
  return found;
}

function line(each, start, whole) {
  const drawn = el("span", { class: `span ${each.kind}${each.open ? " open" : ""}`, title: at(each.from) });
  drawn.style.left = `${(100 * (each.from - start)) / whole}%`;
  drawn.style.width = `${(100 * (each.to - each.from)) / whole}%`;
  const track = el("span", { class: "track", "aria-hidden": "true" }, drawn);
  const took = el("span", { class: "took" }, span(each.to - each.from), each.open ? " …" : "");
  const money = each.charged ? `${cents(each.charged)} charged` : each.note;
  const note = money && el("span", { class: "note" }, money);
  const bad = each.error && el("span", { class: "note" }, fault(each.error));
  return el("li", {}, el("span", { class: "name" }, each.name), track, took, note, bad);
}

/** The list of a task's spans, drawn. */
export function waterfall(task, now = Date.now()) {
  const found = spans(task, now);
  const start = found[0].from;
  const end = Math.max(...found.map((each) => each.to));
  const whole = Math.max(end - start, 0.001);
  const marks = [0, 0.25, 0.5, 0.75, 1].map((part) => el("span", {}, part ? span(part * whole) : "0"));
  const axis = el("li", { "aria-hidden": "true" }, el("span"), el("span", { class: "axis" }, ...marks), el("span"));
  return el("ol", { class: "water" }, axis, ...found.map((each) => line(each, start, whole)));
}
