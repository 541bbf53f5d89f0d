// What can be done to a local cloud, step by step; the agent `demo` is there to suffer.
import { dispatch, ended, get, post, put, task as read, taskPage } from "./api.js";
import { el } from "./dom.js";
import { cents, plural } from "./format.js";
import { sleep } from "./live.js";

const PACE = 150; // milliseconds between two looks
const PATIENCE = 40_000; // milliseconds until an action gives up
const [CROWD, ROOM, COST] = [200, 37, 5]; // tasks at once, tasks that fit, cents of each

/** Looks until `until` holds for what `look` brings. */
async function awaited(look, until) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (until(found)) return found;
    if (Date.now() > end) throw new Error("It takes too long: see the log of emulators/up");
    await sleep(PACE);
  }
}

async function sent(tell, payload, rest = {}) {
  const { task } = await dispatch({ agent: "demo", payload, ttlSeconds: 120, budgetCents: 20, ...rest });
  tell.show(el("a", { href: taskPage(task.taskId) }, `Dispatched ${task.taskId.slice(0, 8)} to demo`));
  return task.taskId;
}

const running = (id) => awaited(() => read(id), (task) => task.status !== "queued");
const done = (id) => awaited(() => read(id), ended);
const lapsed = (task) => task.timeline.some((event) => event.event === "attempt_failed");
const logged = (id, fits) =>
  awaited(() => get(`/local/log/${id}`), ({ log }) => log.some(fits)).then(({ log }) => log.filter(fits));
/** Has a fault strike the messages of one task to come, and of no other; returns what to dispatch it with. */
async function faulty(kind, times = 1) {
  const traceId = crypto.randomUUID().replaceAll("-", "");
  await post("/local/fault/demo", { kind, times, traceId });
  return { traceId };
}

const leftAlone = (line) => line.event === "left alone";

/** Says how a task ended, and whether each of the promises held. */
function judge(tell, task, ...promises) {
  tell(`${task.status} by attempt ${task.attempts}, ${cents(task.costCents)} charged`);
  const broken = promises.filter(([held]) => !held);
  for (const [, text] of broken.length ? broken : promises) broken.length ? tell.broke(`Broken: ${text}`) : tell.held(`Held: ${text}`);
}

async function kill(tell) {
  const id = await sent(tell, { seconds: 20 });
  await running(id);
  tell("Attempt 1 is at work. kill -9.");
  await post("/local/kill/demo");
  await awaited(() => read(id), lapsed);
  tell("Its lease lapsed; the task is queued again.");
  const task = await done(id);
  judge(tell, task, [task.status === "succeeded" && task.attempts === 2, "nothing is lost, another attempt finishes"], [task.costCents === 2 * COST, "each attempt was charged once"]);
}

async function twice(tell) {
  const id = await sent(tell, { seconds: 1 }, await faulty("duplicate"));
  const [line] = await logged(id, leftAlone);
  tell(`Delivered twice at once; one copy was left alone: ${line.code}`);
  const task = await done(id);
  judge(tell, task, [task.attempts === 1 && task.costCents === COST, "one attempt, one charge"]);
}

async function unacknowledged(tell) {
  const id = await sent(tell, { seconds: 0 }, await faulty("drop_ack", 2));
  const task = await done(id);
  tell("It is done, but Pub/Sub never hears so, twice.");
  await awaited(() => get(`/local/log/${id}`), ({ log }) => log.filter(leftAlone).length >= 2);
  tell("Delivered three times; both late ones found it ended.");
  const after = await read(id);
  judge(tell, after, [after.attempts === 1 && after.costCents === COST && after.endedAt === task.endedAt, "no second run, no second charge"]);
}

async function freeze(tell) {
  const id = await sent(tell, { seconds: 6, silent: true });
  await running(id);
  tell("Attempt 1 is at work. The whole process freezes, past its lease of 3 s.");
  await post("/local/freeze/demo");
  try {
    await awaited(() => read(id), lapsed);
    tell("The lease lapsed; the task belongs to whoever claims it next.");
  } finally {
    await post("/local/thaw/demo");
  }
  const [late] = await logged(id, (line) => line.event === "late result");
  tell(`The zombie woke up and reported its result. Refused: ${late.code}`);
  const task = await done(id);
  judge(tell, task, [task.status === "succeeded" && task.attempts === 2 && task.result.by === "attempt 2", "the fenced attempt changed nothing, attempt 2 counts"]);
}

async function overspend(tell) {
  const account = `crowd-${Date.now().toString(36)}`;
  const limitCents = ROOM * COST;
  await put(`/account/${account}`, { limitCents, window: "total" });
  tell.show(el("a", { href: `/console/account/${account}` }, `An account with ${cents(limitCents)}, room for ${ROOM}`));
  const dots = Array.from({ length: CROWD }, () => el("span"));
  tell.show(el("div", { class: "dots", "aria-hidden": "true" }, ...dots));
  let admitted = 0, refused = 0;
  const one = async (dot) => {
    try {
      await dispatch({ agent: "light", payload: null, ttlSeconds: 60, budgetCents: COST, account });
      admitted++;
      dot.className = "yes";
    } catch (problem) {
      if (problem.code !== "budget_exceeded") throw problem;
      refused++;
      dot.className = "no";
    }
  };
  await Promise.all(dots.map(one));
  const { spentCents, heldCents } = await get(`/console/api/account/${account}`);
  tell(`${plural(CROWD, "dispatch", "dispatches")} at once: ${admitted} admitted, ${refused} refused with 402`);
  const within = spentCents + heldCents <= limitCents && admitted * COST <= limitCents;
  (within ? tell.held : tell.broke)(`${within ? "Held" : "Broken"}: ${cents(spentCents + heldCents)} spent or held of ${cents(limitCents)}, not a cent over`);
}

export const actions = [
  { id: "kill", title: "Kill the agent", does: "kill -9 while it works on a task.", promise: "The task is tried again, and ends once.", run: kill },
  { id: "twice", title: "Deliver twice", does: "The same message, pushed twice at the same moment.", promise: "One runs, one is left alone; one charge.", run: twice },
  { id: "acks", title: "Drop the next acks", does: "The work is done, but its acknowledgement is lost, two times.", promise: "It is delivered again and again, and changes nothing.", run: unacknowledged },
  { id: "freeze", title: "Freeze it past its lease", does: "The agent stops dead, loses its task, and wakes up believing it still has it.", promise: "The zombie's result is refused.", run: freeze },
  { id: "overspend", title: "Overspend with 200 at once", does: `An account with room for ${ROOM} tasks gets ${CROWD}.`, promise: `${ROOM} are admitted. Not one more, under any concurrency.`, run: overspend },
];
