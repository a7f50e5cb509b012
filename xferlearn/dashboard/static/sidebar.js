// The list of runs, which folds.

import { breakable, h, segmented, uniqueId } from "./dom.js";
import { interval, intervalClass, mainSplit, percent } from "./numbers.js";

const MANY = 6;

// Beside a narrow page the list would leave no room for the run.
export function startsFolded() {
  return window.matchMedia("(max-width: 999px)").matches;
}

export function sortedRuns({ runs, order }) {
  const accuracy = (run) => (run.evaluations ? mainEvaluation(run)?.accuracy : null) ?? -1;
  const sorted = [...runs].sort((a, b) => b.run.localeCompare(a.run, "en", { numeric: true }));
  if (order === "best") sorted.sort((a, b) => accuracy(b) - accuracy(a));
  return sorted;
}

function mainEvaluation(run) {
  return run.evaluations[mainSplit(run)];
}

// Draws the list into an element; `onChoose(run)` opens one, `onCompare()` follows the check boxes.
export function drawSidebar(list, state, onChoose, onCompare) {
  const items = h("ul");
  function drawItems() {
    const words = state.filter.toLowerCase();
    const shown = sortedRuns(state).filter((run) => run.run.toLowerCase().includes(words));
    items.replaceChildren(...shown.map((run) => runItem(run, state, onChoose, onCompare)));
  }
  drawItems();
  const search = h("input", {
    type: "search",
    placeholder: "Filter runs",
    "aria-label": "Filter runs",
    value: state.filter,
    oninput: () => {
      state.filter = search.value;
      drawItems();
    },
  });
  const order = segmented("Order", [["newest", "Newest"], ["best", "Best"]], state.order, (value) => {
    state.order = value;
    drawItems();
  });
  const body = h("div", { class: "runs-body", id: uniqueId("runs") }, state.runs.length > MANY ? search : null, order, items);
  const fold = h(
    "button",
    { type: "button", class: "fold", "aria-controls": body.id, onclick: () => setFolded(!state.folded) },
    h("span", { class: "fold-sign", "aria-hidden": "true" }, "☰"),
    h("span", { class: "fold-text" }, `Runs (${state.runs.length})`),
  );
  function setFolded(folded) {
    state.folded = folded;
    list.classList.toggle("folded", folded);
    fold.setAttribute("aria-expanded", String(!folded));
  }
  setFolded(state.folded);
  list.replaceChildren(h("h2", {}, fold), body);
}

function runItem(run, state, onChoose, onCompare) {
  if (run.problem) {
    return h("li", { class: "problem" }, h("span", { class: "name" }, run.run), h("span", { class: "faint" }, run.problem));
  }
  const measured = mainEvaluation(run);
  const check = h("input", {
    type: "checkbox",
    "aria-label": `Compare ${run.run}`,
    title: "Compare this run",
    checked: state.compared.has(run.run),
    onchange: () => {
      if (check.checked) state.compared.add(run.run);
      else state.compared.delete(run.run);
      onCompare();
    },
  });
  return h(
    "li",
    { class: run.run === state.run ? "current" : null },
    h("label", { class: "touch" }, check),
    h(
      "button",
      { type: "button", "aria-current": run.run === state.run ? "true" : null, onclick: () => onChoose(run.run) },
      h("span", { class: "name" }, breakable(run.run)),
      h("b", {}, percent(measured?.accuracy)),
      measured?.n
        ? h("span", { class: intervalClass(measured) }, `${interval(measured.interval_95)}, N = ${measured.n}`)
        : h("span", { class: "faint" }, "not measured"),
    ),
  );
}
