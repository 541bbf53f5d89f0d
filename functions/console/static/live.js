// What keeps a page up to date: it looks again when the pulse says so, and rests while hidden.
import { get } from "./api.js";
import { byId, say } from "./dom.js";

const WAIT = 25; // seconds that the server holds a question for news
const PACE = 1000; // milliseconds between two looks at the least
const STALE = 900_000; // milliseconds that figures of many tasks stand, while none moves
const TROUBLE = 3000; // milliseconds until it tries again

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Resolves once the page can be seen. */
export function seen() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => document.addEventListener("visibilitychange", done, { once: true })).then(seen);
}

function show(state, text) {
  const sign = byId("live");
  if (!sign) return;
  sign.className = `live ${state}`;
  say(sign, text);
}

/** Calls `look` now and at every news, and `slow` milliseconds after the last time without any.

Then it is called with `brief`, for which it should read no more than a few documents, or return the
milliseconds that it may not be called for. */
export async function follow(look, slow = STALE) {
  let pulse, due = 0, stale = 0;
  for (;;) {
    await seen();
    const began = Date.now();
    try {
      const wait = Math.min(WAIT, Math.max(0, (due - began) / 1000)).toFixed(1);
      const next = (await get(`/console/api/pulse?wait=${wait}${pulse ? `&seen=${pulse}` : ""}`)).pulse;
      if (next !== pulse || Date.now() >= due) {
        const brief = next === pulse && Date.now() < stale;
        const rest = await look(brief);
        due = Date.now() + Math.max(slow, rest ?? 0);
        if (!brief) stale = Date.now() + STALE;
      }
      pulse = next;
      show("on", "live");
      await sleep(PACE - (Date.now() - began));
    } catch (problem) {
      show("off", "no connection");
      await sleep(TROUBLE);
    }
  }
}
