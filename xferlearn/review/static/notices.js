// What went wrong: said until it is read, with what can be done.

import { breakable, h } from "./dom.js";
import { count } from "./words.js";

export function makeNotices(model, place) {
  let shown = "";

  function update() {
    const { lost, problem, state } = model;
    const wanted = JSON.stringify([lost, problem?.text, problem?.unsaved, state?.fit.error]);
    if (wanted === shown) return;
    shown = wanted;
    place.replaceChildren(lost ? ended(lost, state) : "", problem ? refused(problem, dismiss) : "", state?.fit.error ? unfitted(state.fit.error) : "");
  }

  function dismiss() {
    model.problem = null;
    model.changed();
  }
  return { update };
}

function ended(lost, state) {
  const safe = state ? ` ${count(state.answered, "answer")} ${state.answered === 1 ? "is" : "are"} safe in ${state.corrections}.` : "";
  return h(
    "div",
    { class: "notice", role: "alert" },
    h(
      "div",
      {},
      h("p", {}, h("b", {}, "The review has ended, or its server does not answer."), safe),
      unsaved(lost.unsaved),
      h("p", {}, "Start xferlearn review again and open the address that it prints. If this server comes back, the page goes on by itself."),
    ),
  );
}

function refused({ text, unsaved: names, retry }, dismiss) {
  return h(
    "div",
    { class: "notice", role: "alert" },
    h("div", {}, h("p", {}, h("b", {}, breakable(text))), unsaved(names)),
    h("p", { class: "tools" }, retry ? h("button", { type: "button", class: "quiet", onclick: retry }, "Try again") : null, h("button", { type: "button", class: "quiet", onclick: dismiss }, "Close")),
  );
}

function unfitted(error) {
  return h("div", { class: "notice", role: "alert" }, h("p", {}, h("b", {}, "The heads could not learn from the answers, which are safe: "), breakable(error)));
}

function unsaved(names) {
  if (!names.length) return "";
  return h("div", {}, h("p", {}, `${names.length === 1 ? "This answer was" : "These answers were"} not confirmed, and can be given again:`), h("ul", {}, names.map((name) => h("li", {}, breakable(name)))));
}
