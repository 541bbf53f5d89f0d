// Requests to the same origin; what the server refuses is thrown as a Problem (RFC 9457).

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `the answer was ${status}`);
    this.status = status;
    this.code = document.code;
    this.title = document.title || "Something went wrong";
    this.document = document;
  }

  /** Whether it may be over soon, as a restart is; what is refused stays refused. */
  get passing() {
    return !this.status || this.status === 429 || this.status >= 500;
  }
}

/** The value of a JSON text; a number that JavaScript cannot hold stays as it is written. */
export function parse(text) {
  const exact = (key, value, context) => (context?.source && inexact(value) ? JSON.rawJSON(context.source) : value);
  return JSON.parse(text, JSON.rawJSON && exact);
}

const inexact = (value) => typeof value === "number" && !Number.isSafeInteger(value) && (Number.isInteger(value) || !Number.isFinite(value));

async function request(method, path, body, signal) {
  const options = { method, signal, headers: {}, cache: "no-store", redirect: "error" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, { title: "No answer", detail: "The server did not answer. Is emulators/up still running?" });
  }
  const answer = await response.text().then(parse).catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, answer);
  return { body: answer, headers: response.headers };
}

export const get = async (path, signal) => (await request("GET", path, undefined, signal)).body;
export const post = async (path, body, signal) => (await request("POST", path, body, signal)).body;
export const put = async (path, body) => (await request("PUT", path, body)).body;

/** The task that an order makes, and whether it was there already. */
export async function dispatch(order) {
  const { body, headers } = await request("POST", "/dispatch", order);
  return { task: body, replayed: headers.get("Idempotent-Replayed") === "true" };
}

export const task = (id) => get(`/task/${id}`);
export const taskPage = (id) => `/console/task/${id}`;
export const ended = (task) => ["succeeded", "failed", "expired", "cancelled"].includes(task.status);
