// The list of tasks: live, filtered, page by page.
import { ended, post, taskPage } from "./api.js";
import { blank, byId, el, fill, say, setup, wrong } from "./dom.js";
import { ago, at, cents, plural, short, span } from "./format.js";
import { follow } from "./live.js";
import { bar, purse, state } from "./parts.js";

const STATES = ["queued", "running", "waiting", "succeeded", "failed", "expired", "cancelled"];
const filters = byId("filters");
const lines = new Map(); // by task id: {row, cells, task}
let token, next; // of this page and of the one after
let asking = 0; // the number of the newest question

function asked() {
  const values = Object.fromEntries(new FormData(filters));
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value.trim()));
}

/** The filters stand in the address; what is searched for does not: it may be anyone's payload. */
function remember() {
  const { text, ...rest } = asked();
  const query = new URLSearchParams(rest).toString();
  history.replaceState(null, "", query ? `/?${query}` : "/");
}

function make(task) {
  const link = el("a", { href: taskPage(task.taskId), title: task.taskId }, short(task.taskId));
  const note = el("span", { class: "note" });
  const cells = {
    state: el("td"),
    task: el("td", {}, link, note),
    agent: el("td", {}, task.agent),
    account: el("td", {}, task.account ?? "–"),
    attempts: el("td", { class: "number" }),
    cost: el("td", { class: "cost" }),
    took: el("td", { class: "number" }),
    age: el("td", { class: "number", title: at(task.createdAt) }),
  };
  return { row: el("tr", {}, ...Object.values(cells)), cells, note };
}

function update(line, task) {
  const { cells, note } = line;
  if (line.task?.status !== task.status) fill(cells.state, state(task.status));
  say(cells.attempts, String(task.attempts));
  say(note, task.error ? `${task.error.code}: ${task.error.detail ?? ""}` : (task.idempotencyKey ?? (task.parent ? `child of ${short(task.parent)}` : "")));
  const money = `${cents(task.costCents)} of ${cents(task.budgetCents)}`;
  if (cells.cost.firstChild?.textContent !== money || line.task?.heldCents !== task.heldCents) {
    fill(cells.cost, el("span", { class: "money" }, money), bar(purse(task), task.budgetCents));
  }
  line.task = task;
  tick(line);
}

function tick({ task, cells }) {
  const until = ended(task) ? Date.parse(task.endedAt) : Date.now();
  say(cells.took, task.startedAt || ended(task) ? span(until - Date.parse(task.createdAt)) : "–");
  say(cells.age, ago(task.createdAt));
}

function draw(found) {
  const first = lines.size === 0;
  const kept = new Set(found.map((task) => task.taskId));
  for (const [id, { row }] of lines) if (!kept.has(id)) row.remove() ?? lines.delete(id);
  found.forEach((task, index) => {
    const line = lines.get(task.taskId) ?? make(task);
    if (!lines.has(task.taskId) && !first) line.row.classList.add("new");
    lines.set(task.taskId, line);
    update(line, task);
    const there = byId("rows").children[index];
    if (there !== line.row) byId("rows").insertBefore(line.row, there ?? null);
  });
}

function describe({ tasks, scanned }) {
  byId("newer").hidden = !token;
  byId("older").hidden = !next;
  const searched = scanned === undefined ? "" : ` among ${token ? "these" : "the newest"} ${scanned}`;
  say(byId("shown"), tasks.length || scanned ? plural(tasks.length, "task") + searched : "");
  if (tasks.length) return fill(byId("state"));
  if (Object.keys(asked()).length || token) {
    return fill(byId("state"), blank("No task matches", el("span", {}, next ? "Look among older ones, or loosen the filters." : "Loosen the filters above.")));
  }
  const link = el("a", { href: "/console/dispatch" }, "Dispatch one");
  return fill(byId("state"), blank("No tasks yet", link, ", or copy a line of curl from there."));
}

async function look() {
  const question = { ...asked(), ...(token && { pageToken: token }) };
  const mine = ++asking;
  const overtaken = () => mine !== asking; // an answer to older filters is not shown over newer ones
  try {
    const answer = await post("/console/api/tasks", question);
    if (overtaken()) return;
    next = answer.nextPageToken;
    draw(answer.tasks);
    describe(answer);
  } catch (problem) {
    if (overtaken()) return;
    fill(byId("state"), wrong(problem, look));
    if (problem.passing) throw problem;
  }
}

function turn(to) {
  token = to;
  look().catch(() => {}); // it is shown, and looked for again at the next news
}

for (const each of STATES) filters.elements.status.append(el("option", {}, each));
for (const each of setup.agents.split(",")) filters.elements.agent.append(el("option", {}, each));
for (const [name, value] of new URLSearchParams(location.search)) {
  if (filters.elements[name] && name !== "text") filters.elements[name].value = value;
}
let typing;
filters.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => (remember(), turn(undefined)), 200);
});
filters.addEventListener("submit", (event) => event.preventDefault());
byId("newer").addEventListener("click", () => turn(undefined));
byId("older").addEventListener("click", () => (turn(next), byId("main").focus()));
setInterval(() => lines.forEach(tick), 1000);
follow(look);
