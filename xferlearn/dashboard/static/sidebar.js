// The list of runs, which folds.

import { breakable, h, segmented, uniqueId } from "./dom.js";
import { SEEN, interval, intervalClass, mainSplit, percent } from "./numbers.js";

const MANY = 6;

// Beside a narrow page the list would leave no room for the run.
export function startsFolded() {
  return window.matchMedia("(max-width: 999px)").matches;
}

// Experiments and evaluations stand in the list too, but are not compared with trainings.
export function isTraining(run) {
  return Boolean(run.evaluations);
}

export function sortedRuns(state) {
  return groupedRuns(state).flatMap(({ runs }) => runs);
}

// The runs under their headings: the newest first, or those that share their photos by accuracy.
function groupedRuns({ runs, order, run: current }) {
  const newest = [...runs].sort((a, b) => (b.began ?? 0) - (a.began ?? 0) || b.run.localeCompare(a.run, "en", { numeric: true }));
  if (order !== "best") return [{ heading: null, runs: newest }];
  const key = photosOf(newest.find(({ run }) => run === current)) ?? newest.map(photosOf).find(Boolean);
  const ranked = newest.filter((run) => key && photosOf(run) === key);
  ranked.sort((a, b) => mainEvaluation(b).accuracy - mainEvaluation(a).accuracy);
  const others = newest.filter((run) => !ranked.includes(run));
  const photos = ranked.length ? `on the same ${mainEvaluation(ranked[0]).n.toLocaleString("en")} photos` : "";
  return [
    { heading: `Best first, measured ${photos}`, runs: ranked },
    { heading: "Not ranked: on other photos, or experiments", runs: others },
  ].filter((group) => group.runs.length);
}

// The same for runs whose accuracies are of the same photos; null where that is not known.
function photosOf(run) {
  if (!run || !isTraining(run) || typeof mainEvaluation(run)?.accuracy !== "number") return null;
  const photos = run.photo_sets?.[mainSplit(run)];
  return photos ? `${mainSplit(run)} ${photos}` : null;
}

function mainEvaluation(run) {
  return isTraining(run) ? run.evaluations[mainSplit(run)] : run.measured;
}

// Draws the list into an element; `onChoose(run)` opens one, `onCompare()` follows the check boxes.
export function drawSidebar(list, state, onChoose, onCompare) {
  const items = h("ul");
  function drawItems() {
    const words = state.filter.toLowerCase();
    const shown = groupedRuns(state).map(({ heading, runs }) => ({ heading, runs: runs.filter((run) => run.run.toLowerCase().includes(words)) }));
    items.replaceChildren(
      ...shown.flatMap(({ heading, runs }) => [
        ...(heading && runs.length ? [h("li", { class: "heading" }, heading)] : []),
        ...runs.map((run) => runItem(run, state, onChoose, onCompare)),
      ]),
    );
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

// A name ends in its date, which most readers don't look for.
function nameAndDate(run) {
  const found = run.match(/^(.+?)_(\d{4}-\d\d-\d\d)_(\d\d-\d\d-\d\d.*)$/);
  if (!found) return breakable(run);
  const [, name, day, time] = found;
  return [breakable(name), h("span", { class: "hidden" }, "_"), h("span", { class: "when" }, `${day}_${time}`)];
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
    isTraining(run) ? h("label", { class: "touch" }, check) : h("span", {}),
    h(
      "button",
      { type: "button", "aria-current": run.run === state.run ? "true" : null, onclick: () => onChoose(run.run) },
      h("span", { class: "name" }, nameAndDate(run.run)),
      isTraining(run) ? null : h("span", { class: "badge" }, run.kind),
      h("b", {}, percent(measured?.accuracy)),
      measured?.n
        ? h("span", { class: intervalClass(measured) }, `${interval(measured.interval_95)}, N = ${measured.n}`)
        : h("span", { class: "faint" }, "not measured"),
      measured?.seen ? h("span", { class: "seen" }, SEEN) : null,
    ),
  );
}
