// Log lines of the local cloud.
import { el } from "./dom.js";

const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
const SHOWN = ["code", "detail", "attempt", "delivery", "status", "fault", "costCents"];

function line(entry) {
  const rest = SHOWN.filter((name) => entry[name] !== undefined).map((name) => `${name}=${entry[name]}`);
  return el(
    "li",
    { class: entry.severity.toLowerCase() },
    el("span", { class: "at" }, `${clock.format(Date.parse(entry.at))} `),
    el("span", { class: "from" }, `${entry.from} `),
    el("b", {}, entry.event),
    ` ${rest.join(" ")}`,
  );
}

/** The lines as a list: [{at, from, event, severity, …}], the oldest first. */
export const logLines = (entries) => el("ol", { class: "loglines", tabIndex: 0, "aria-label": "Log lines" }, ...entries.map(line));
