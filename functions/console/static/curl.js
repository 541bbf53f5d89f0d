// A task as the curl line that dispatches it.

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The line for an order, as `POST /dispatch` takes it. */
export function curl(order) {
  return [
    `curl -s -X POST ${location.origin}/dispatch`,
    "  -H 'Content-Type: application/json'",
    `  -d ${quoted(JSON.stringify(order))}`,
  ].join(" \\\n");
}

/** The order that a task came from; its key is left out, or the line would only find this task. */
export function orderOf(task) {
  const order = {
    agent: task.agent,
    payload: task.payload,
    ttlSeconds: Math.max(1, Math.round(task.ttl - Date.parse(task.createdAt) / 1000)),
    budgetCents: task.budgetCents,
    account: task.account,
    callbackUrl: task.callbackUrl,
  };
  return Object.fromEntries(Object.entries(order).filter(([, value]) => value !== undefined));
}
