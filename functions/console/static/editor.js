// The JSON editor: line numbers, and the problem where it is.
import { parse } from "./api.js";
import { byId, el, fill, say } from "./dom.js";
import { lint } from "./jsonlint.js";

/** Makes the text area an editor; `changed` is called with the value, or undefined while it is none. */
export function editor(area, changed) {
  const lines = byId("lines");

  function number(count, bad) {
    const upTo = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, index) => `${from + index}\n`).join("");
    const parts = bad ? [upTo(1, bad), el("span", { class: "wrong" }, `${bad}\n`), upTo(bad + 1, count + 1)] : [upTo(1, count + 1)];
    fill(lines, ...parts);
  }

  function check() {
    const text = area.value;
    const wrong = lint(text);
    number(text.split("\n").length, wrong?.line);
    area.parentElement.classList.toggle("wrong", Boolean(wrong));
    area.setAttribute("aria-invalid", String(Boolean(wrong)));
    say(byId("problem"), wrong ? `Line ${wrong.line}, column ${wrong.column}: ${wrong.message}` : "");
    changed(wrong ? undefined : parse(text));
    return wrong;
  }

  area.addEventListener("input", check);
  area.addEventListener("scroll", () => (lines.scrollTop = area.scrollTop));
  check();

  /** True for JSON; else the caret goes to the problem. */
  return () => {
    const wrong = check();
    if (!wrong) return true;
    area.focus();
    area.setSelectionRange(wrong.index, Math.min(area.value.length, wrong.index + 1));
    return false;
  };
}
