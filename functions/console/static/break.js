// The page that breaks things: each action, what it promises, and what came of it.
import { blank, button, byId, el, fill, notice, setup } from "./dom.js";
import { actions } from "./mischief.js";

/** What an action tells while it runs: lines, and in the end whether the promise held. */
function teller(list) {
  const tell = (text, kind) => {
    const line = el("li", { class: kind }, text);
    list.append(line);
    return line;
  };
  tell.held = (text) => tell(text, "good");
  tell.broke = (text) => tell(text, "bad");
  tell.show = (element) => list.append(el("li", {}, element));
  return tell;
}

function card({ id, title, does, promise, run }) {
  const story = el("ol", { class: "story", role: "log", "aria-label": `${title}: what happens`, hidden: true });
  const act = async () => {
    story.hidden = false;
    fill(story);
    try {
      await run(teller(story));
    } catch (problem) {
      teller(story).broke(problem.message);
      notice(problem.message);
    }
  };
  return el(
    "article",
    { class: "card", id },
    el("h2", {}, title),
    el("p", {}, does),
    el("p", { class: "promise" }, promise),
    story,
    button(title, act, { class: "primary" }),
  );
}

if (setup.local === "true" && setup.readonly !== "true") {
  fill(byId("actions"), ...actions.map(card));
} else {
  fill(byId("state"), blank("Not here", "Break it on your own machine: emulators/up"));
}
