// Numbers, times and amounts as people read them.

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 4 });
const moment = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });

/** An amount in cents: below a dollar in cents, above in dollars. */
export function cents(amount) {
  if (amount < 100) return `${number.format(amount)} ¢`;
  const dollars = amount / 100;
  return `$${dollars.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 6 })}`;
}

/** A span of milliseconds: `3 ms`, `4.2 s`, `5 min 3 s`, `2 h 5 min`, `3 d 4 h`. */
export function span(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 0.05) return "0 ms";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => s >= size);
  const [[big, size], next] = [units[first], units[first + 1]];
  const rest = next && Math.floor((s % size) / next[1]);
  return `${Math.floor(s / size)} ${big}${rest ? ` ${rest} ${next[0]}` : ""}`;
}

/** How long ago a time was, roughly. */
export function ago(time, now = Date.now()) {
  const ms = now - Date.parse(time);
  return ms < 1500 ? "now" : span(Math.floor(ms / 1000) * 1000).split(" ").slice(0, 2).join(" ");
}

export const at = (time) => moment.format(new Date(time)); // text, or milliseconds
export const count = (amount) => number.format(amount);
export const short = (id) => `${id.slice(0, 8)}…${id.slice(-4)}`;
export const plural = (amount, one, many = `${one}s`) => `${count(amount)} ${amount === 1 ? one : many}`;
