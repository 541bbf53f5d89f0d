// Parts that several pages show: a state, a bar of money, code to copy.
import { button, el, notice } from "./dom.js";
import { cents } from "./format.js";

export const state = (status) => el("span", { class: `state ${status}` }, status);

/** A bar whose parts are [[name, term, amount in cents], …] of a whole; `back` is its ground. */
export function bar(parts, whole, properties = {}) {
  const drawn = el("div", { class: "bar", "aria-hidden": "true", ...properties });
  for (const [name, , amount] of parts.filter(([name]) => name !== "back")) {
    const part = el("span", { class: name });
    part.style.width = `${whole > 0 ? Math.min(100, (100 * amount) / whole) : 0}%`;
    drawn.append(part);
  }
  return drawn;
}

/** What the colours of a bar mean: [[name, term, amount in cents], …]. */
export function legend(entries) {
  return el(
    "dl",
    { class: "legend" },
    ...entries.map(([name, term, amount]) =>
      el("div", {}, el("span", { class: `swatch ${name}`, "aria-hidden": "true" }), el("dt", {}, term), el("dd", {}, cents(amount))),
    ),
  );
}

/** Text in a box, with a button that copies it. */
export function code(text, shown = text) {
  const box = el("pre", { tabIndex: 0 });
  box.append(shown);
  const copy = button("Copy", () => navigator.clipboard.writeText(text).then(() => notice("Copied")));
  return el("div", { class: "code" }, box, copy);
}

/** A JSON value, laid out and coloured. */
export function json(value) {
  const text = JSON.stringify(value, null, 2);
  const shown = document.createDocumentFragment();
  let from = 0;
  for (const { 0: token, index, 1: key, 2: string, 3: literal } of text.matchAll(
    /("(?:[^"\\]|\\.)*")(?=:)|("(?:[^"\\]|\\.)*")|(true|false|null|-?\d[\d.eE+-]*)/g,
  )) {
    const kind = key ? "key" : string ? "string" : literal ? "literal" : "";
    shown.append(text.slice(from, index), el("span", { class: kind }, token));
    from = index + token.length;
  }
  shown.append(text.slice(from));
  return code(text, shown);
}

/** Why something failed. */
export function fault(error) {
  return el("div", { class: "fault" }, el("code", {}, error.code), " ", error.detail ?? "");
}

/** A task's money: [[name, term, amount], …] of its budget. */
export function purse(task) {
  const held = Math.max(0, task.heldCents - task.costCents);
  const back = Math.max(0, task.budgetCents - task.costCents - held);
  if (task.endedAt) return [["spent", "charged", task.costCents], ["back", "returned", back]];
  return [["spent", "charged", task.costCents], ["held", "held", held], ["back", "free", back]];
}
