// The head of the page: how far it is, how accurate, and the commands for all of it.

import { button, h, openDialog, setVariables } from "./dom.js";
import { capital, count, measureText, percent, points } from "./words.js";

export function makeTop(model, answers, { openKeys, toggleGrid, toggleFilters }) {
  const title = h("h1");
  const done = h("span", { class: "done" });
  const saving = h("span", { class: "saving" });
  const meter = h("div", { class: "meter", "aria-hidden": "true" });
  const accuracy = h("button", { type: "button", class: "accuracy", title: "How is it measured?", onclick: () => openMeasure(model) });
  const grid = button("Grid", "g", toggleGrid, { class: "quiet", "aria-pressed": "false" });
  const refit = button("Retrain", "r", () => answers.refit(), { class: "quiet refit" });
  const filter = button("Filter", "f", toggleFilters, { class: "quiet filter-switch", "aria-expanded": "false", "aria-controls": "side" });
  const waiting = h("span", { class: "waiting" });
  refit.prepend(h("span", { class: "spinner", "aria-hidden": "true" }));
  const element = [
    h("div", { class: "what" }, title, h("p", {}, h("span", {}, done, h("span", { class: "unit" }, " photos answered")), saving), meter),
    accuracy,
    h("div", { class: "tools" }, waiting, refit, grid, filter, button("Keys", "?", openKeys, { class: "quiet" })),
  ];

  function update() {
    const { state } = model;
    document.title = `${state.answered} of ${state.items.length} · Review of ${state.title}`;
    title.textContent = state.title;
    const answered = state.items.filter((item) => !model.isOpen(item)).length;
    done.textContent = `${answered.toLocaleString("en")} of ${state.items.length.toLocaleString("en")}`;
    saving.textContent = model.busy || (model.sending.size ? `saving ${model.sending.size} …` : "");
    setVariables(meter, { "--share": state.items.length ? answered / state.items.length : 1 });
    showAccuracy(accuracy, state);
    grid.setAttribute("aria-pressed", String(model.isGrid));
    filter.setAttribute("aria-expanded", String(document.body.classList.contains("filtering")));
    refit.classList.toggle("busy", state.fit.busy);
    refit.setAttribute("aria-busy", String(state.fit.busy));
    refit.firstElementChild.nextElementSibling.textContent = state.fit.busy ? "Retraining" : "Retrain";
    waiting.textContent = state.pending ? `${count(state.pending, "answer")} not learned yet` : "";
  }
  return { element, update };
}

function showAccuracy(place, { accuracy }) {
  if (!accuracy) {
    place.replaceChildren(h("span", { class: "faint" }, "Not measured yet"), h("span", { class: "faint" }, "too few labelled photos"));
    return;
  }
  const { now, difference, low, high, refitted, measure } = accuracy;
  place.replaceChildren(
    h("span", { class: "now" }, measureText(now, measure)),
    h(
      "span",
      { class: "change" },
      h("span", {}, refitted ? `${points(difference)} points` : measure),
      refitted ? h("span", { class: "faint" }, `95%: ${points(low)} to ${points(high)}`) : h("span", { class: "faint" }, `at the start, N=${accuracy.n.toLocaleString("en")}`),
    ),
    refitted ? interval(accuracy) : "",
  );
}

// The difference and its interval on an axis whose tick is "no change".
function interval({ difference, low, high }) {
  const reach = Math.max(0.02, Math.abs(low), Math.abs(high)) * 1.1;
  const at = (value) => (value + reach) / (2 * reach);
  return h("span", { class: "interval", "aria-hidden": "true", vars: { "--from": at(low), "--to": at(high), "--at": at(difference) } });
}

function openMeasure({ state }) {
  const { accuracy, classes } = state;
  const measure = accuracy?.measure ?? "accuracy";
  openDialog(
    `How the ${measure} is measured`,
    "measure",
    h("p", {}, accuracy ? `${capital(accuracy.text)}.` : "There are too few labelled photos to measure on."),
    h(
      "p",
      {},
      "Every photo is predicted by a head that has not learned from it. “At the start” are the heads before your first answer, “now” those that have learned from your answers. Both are judged by the labels as they are now, on the photos that have a label in both: an answer that only corrects the measure does not count as progress.",
    ),
    h("p", {}, "The 95% interval shows how far chance could have moved the difference. If it includes 0, there may be no difference."),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ["Class", "Photos", state.multi_label ? "Predicted to have it" : "Predicted right"].map((text, at) => h("th", { scope: "col", class: at ? "number" : null }, text)))),
      h(
        "tbody",
        {},
        classes.map(({ label, photos, right }) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, label),
            h("td", { class: "number" }, photos.toLocaleString("en")),
            h("td", { class: "number" }, photos ? `${percent(right / photos)} (${right.toLocaleString("en")})` : "–"),
          ),
        ),
      ),
    ),
  );
}
