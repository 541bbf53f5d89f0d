// The form that dispatches a task, and what becomes of it.
import { dispatch, ended, get, task as read, taskPage } from "./api.js";
import { byId, el, fill, notice, once, setup } from "./dom.js";
import { cents } from "./format.js";
import { seen, sleep } from "./live.js";
import { code, fault, state } from "./parts.js";
import { curl, orderOf } from "./curl.js";
import { editor } from "./editor.js";
import { waterfall } from "./waterfall.js";

const [PACE, REST, SOON] = [250, 1000, 10_000]; // milliseconds between two looks: at first, later; and until when
const form = byId("order");
let payload;
let shown; // the task that is followed: always the last one dispatched

function order() {
  const { agent, budgetCents, ttlSeconds, account, idempotencyKey, callbackUrl } = form.elements;
  const asked = { agent: agent.value, payload, ttlSeconds: Number(ttlSeconds.value), budgetCents: Number(budgetCents.value) };
  for (const field of [account, idempotencyKey, callbackUrl]) if (field.value) asked[field.name] = field.value;
  return asked;
}

function preview() {
  fill(byId("curl"), payload === undefined ? el("p", { class: "hint" }, "Once the payload is JSON.") : code(curl(order())));
}

function show(task, replayed) {
  const link = el("a", { class: "button", href: taskPage(task.taskId) }, "Open the task");
  const money = ended(task) ? `${cents(task.costCents)} of ${cents(task.budgetCents)} charged, the rest returned` : `${cents(task.heldCents)} held`;
  fill(
    byId("outcome"),
    el("p", {}, state(task.status), " ", el("span", { class: "hint" }, money)),
    waterfall(task),
    task.error ? fault(task.error) : null,
    replayed ? el("p", { class: "hint" }, "This key made this task before: the same answer, and no second charge.") : null,
    el("p", {}, link),
  );
  byId("sent").hidden = false;
}

async function send() {
  const { task, replayed } = await dispatch(order());
  shown = task.taskId;
  show(task, replayed);
  notice(`Dispatched to ${task.agent}`);
  follow(task, replayed);
}

/** Shows the task as it moves, until it has ended or another one was dispatched. */
async function follow(task, replayed) {
  const began = Date.now();
  while (!ended(task)) {
    await sleep(Date.now() - began < SOON ? PACE : REST);
    await seen();
    const now = await read(task.taskId).catch(() => task);
    if (shown !== task.taskId) return;
    show((task = now), replayed);
  }
}

/** Fills the form with what a task was dispatched with: it may be changed, and sent again. */
async function again(id) {
  const { agent, payload: value, ttlSeconds, budgetCents, account = "", callbackUrl = "" } = orderOf(await read(id));
  for (const [name, text] of Object.entries({ agent, ttlSeconds, budgetCents, account, callbackUrl })) form.elements[name].value = text;
  form.elements.payload.value = JSON.stringify(value, null, 2);
  check();
  if (account || callbackUrl) form.querySelector("details").open = true;
}

/** Says what the server refuses beside the form, and goes to the field that it names. */
function refused(problem) {
  byId("problem").textContent = problem.message;
  const [first] = problem.document?.errors ?? [];
  form.elements[first?.field]?.focus();
}

const plain = (agent) => agent === "light"; // it needs no key, and no settings
for (const agent of setup.agents.split(",")) form.elements.agent.append(el("option", { selected: plain(agent) }, agent));
const check = editor(byId("payload"), (value) => ((payload = value), preview()));
const from = new URLSearchParams(location.search).get("from");
if (from) again(from).catch(refused);
form.addEventListener("input", preview);
form.addEventListener("invalid", ({ target }) => target.closest("details")?.setAttribute("open", ""), true);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!form.reportValidity() || !check()) return;
  once(form.querySelector("button.primary"), () => send().catch(refused));
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
get("/console/api/accounts").then(
  ({ accounts }) => fill(byId("accounts"), ...accounts.map((each) => el("option", { value: each.account }))),
  () => {}, // they are only a suggestion
);
