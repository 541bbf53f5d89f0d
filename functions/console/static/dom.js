// The page: its elements, what the server told it, and notices. Text is only ever set as text.

export const setup = document.documentElement.dataset;
export const byId = (id) => document.getElementById(id);
export const mayAct = setup.readonly !== "true";

/** An element; `properties` are its own, `class`, `data-…`, `aria-…` and `role` its attributes. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "class" || name === "role" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Puts these children, and nothing else, into an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets a text, if it is another: what stays the same keeps its selection. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Says something in passing, also to a screen reader. */
export function notice(text) {
  const line = el("p", {}, text);
  byId("notices").append(line);
  setTimeout(() => line.remove(), 8000);
}

/** A button that cannot be pressed twice; what goes wrong is said. */
export function button(text, act, properties = {}) {
  const made = el("button", { type: "button", ...properties }, text);
  made.addEventListener("click", () => once(made, act));
  return made;
}

export async function once(pressed, act) {
  if (pressed.disabled) return; // a form is submitted by a key, too
  const focused = document.activeElement === pressed;
  pressed.disabled = true;
  try {
    await act();
  } catch (problem) {
    notice(problem.message);
  } finally {
    pressed.disabled = false;
    if (focused && document.activeElement === document.body) pressed.focus(); // a disabled button loses it
  }
}

/** A definition list's entries: [[term, description], …]; those without one are left out. */
export function facts(entries) {
  return entries
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value)));
}

/** What stands where there is nothing to show: what is so, and what to do about it. */
export function blank(title, ...hint) {
  return el("div", { class: "blank" }, el("b", {}, title), ...hint);
}

/** What stands where something went wrong. */
export function wrong(problem, again) {
  const retry = again && button("Try again", again);
  const shown = el("div", { class: "blank error", role: "alert" }, el("b", {}, problem.title), el("p", {}, problem.message));
  if (retry) shown.append(retry);
  return shown;
}

for (const element of document.querySelectorAll("[data-acts]")) element.hidden = !mayAct;
for (const element of document.querySelectorAll("[data-at-home]")) {
  element.hidden = element.hidden || setup.local !== "true";
}
