// The JSON editor: line numbers, and the problem where it is.
import { byId, el, fill, say } from "./dom.js";
import { lint } from "./jsonlint.js";

/** Makes the text area an editor; `changed` is called with the value, or undefined while it is none. */
export function editor(area, changed) {
  const lines = byId("lines");

  function check() {
    const text = area.value;
    const wrong = lint(text);
    const count = text.split("\n").length;
    fill(lines, ...Array.from({ length: count }, (_, index) => el("span", { class: wrong?.line === index + 1 ? "wrong" : "" }, `${index + 1}\n`)));
    area.parentElement.classList.toggle("wrong", Boolean(wrong));
    area.setAttribute("aria-invalid", String(Boolean(wrong)));
    say(byId("problem"), wrong ? `Line ${wrong.line}, column ${wrong.column}: ${wrong.message}` : "");
    changed(wrong ? undefined : JSON.parse(text));
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
