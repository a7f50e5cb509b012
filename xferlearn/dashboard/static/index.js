// Tab "Transfer": a list of runs, and beside it one run, or several side by side.

import { auditSection } from "./audit.js";
import { changeSection } from "./change.js";
import { compareSection } from "./compare.js";
import { breakable, h, segmented } from "./dom.js";
import { answersSection, headline, inputSection, notices } from "./facts.js";
import { followTheme, onReload } from "./host.js";
import { matrixSection } from "./matrix.js";
import { interval, intervalClass, mainSplit, percent } from "./numbers.js";
import { classesSection, originSection, settingsSection, timeSection } from "./tables.js";

const MOST_COMPARED = 20;

const state = {
  runs: [],
  run: null,
  report: null,
  compared: new Set(),
  known: new Set(),
  page: "run",
  order: "newest",
  filter: "",
  problem: null,
  view: {
    split: null,
    cells: "count",
    onlyChanged: false,
    classSort: { column: 0, descending: false },
    compareSort: { column: 1, descending: true },
    changeSort: { column: 4, descending: true },
    before: null,
    after: null,
  },
};

let list;
let main;

export async function render() {
  followTheme();
  document.documentElement.lang = "en";
  const styles = h("link", { rel: "stylesheet", href: new URL("./style.css", import.meta.url).href });
  // Until the rules are there the page would jump.
  const styled = new Promise((resolve) => {
    styles.addEventListener("load", resolve);
    styles.addEventListener("error", resolve);
  });
  document.head.append(styles);
  await styled;
  list = h("nav", { class: "runs", "aria-label": "Runs" });
  main = h("main", {}, h("p", { class: "note" }, "Loading …"));
  document.body.append(list, main);
  onReload(load);
  await load();
}

async function fetchJson(address) {
  const response = await fetch(address, { headers: { Accept: "application/json" } });
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(content.error ?? `The server answered with status ${response.status}.`);
  return content;
}

async function load() {
  try {
    const { runs } = await fetchJson("runs");
    // TensorBoard reloads every 30 seconds; drawing again would move the reader's focus.
    if (!state.problem && JSON.stringify(runs) === JSON.stringify(state.runs) && state.report) return;
    state.runs = runs;
    state.problem = null;
  } catch (error) {
    state.problem = error.message;
  }
  const good = sortedRuns().filter((run) => !run.problem);
  for (const { run } of good) {
    if (!state.known.has(run) && state.compared.size < MOST_COMPARED) state.compared.add(run);
    state.known.add(run);
  }
  if (!good.some((run) => run.run === state.run)) state.run = good[0]?.run ?? null;
  drawList();
  await loadReport();
}

async function loadReport() {
  const { run } = state;
  if (run !== null && !(state.report?.run === run)) {
    try {
      const report = await fetchJson(`report?${new URLSearchParams({ run })}`);
      // Meanwhile another run may have been chosen.
      if (state.run !== run) return;
      state.report = report;
      state.problem = null;
    } catch (error) {
      if (state.run !== run) return;
      state.report = null;
      state.problem = error.message;
    }
  }
  drawMain();
}

function choose(run) {
  state.run = run;
  state.page = "run";
  drawList();
  list.querySelector("[aria-current]")?.focus();
  loadReport();
}

function sortedRuns() {
  const accuracy = (run) => (run.evaluations ? mainEvaluation(run)?.accuracy : null) ?? -1;
  const runs = [...state.runs].sort((a, b) => b.run.localeCompare(a.run, "en", { numeric: true }));
  if (state.order === "best") runs.sort((a, b) => accuracy(b) - accuracy(a));
  return runs;
}

function mainEvaluation(run) {
  return run.evaluations[mainSplit(run)];
}

function drawList() {
  const items = h("ul");
  function drawItems() {
    const words = state.filter.toLowerCase();
    items.replaceChildren(...sortedRuns().filter((run) => run.run.toLowerCase().includes(words)).map(runItem));
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
  list.replaceChildren(h("header", {}, h("h2", {}, `Runs (${state.runs.length})`), order), state.runs.length > 6 ? search : "", items);
}

function runItem(run) {
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
      drawMain();
    },
  });
  return h(
    "li",
    { class: run.run === state.run ? "current" : null },
    check,
    h(
      "button",
      { type: "button", "aria-current": run.run === state.run ? "true" : null, onclick: () => choose(run.run) },
      h("span", { class: "name" }, breakable(run.run)),
      h("b", {}, percent(measured?.accuracy)),
      measured?.n
        ? h("span", { class: intervalClass(measured) }, `${interval(measured.interval_95)}, N = ${measured.n}`)
        : h("span", { class: "faint" }, "not measured"),
    ),
  );
}

function drawMain() {
  const compared = sortedRuns().filter((run) => !run.problem && state.compared.has(run.run));
  const pages = segmented("Page", [["run", "One run"], ["compare", `Compare ${compared.length}`]], state.page, (page) => {
    state.page = page;
    drawMain();
    main.querySelector(`input[value="${page}"]`)?.focus();
  });
  let content;
  try {
    content = state.page === "compare" ? [compareSection(compared, state.view, choose), changeSection(compared, state.view, fetchJson)] : runPage();
  } catch (error) {
    console.error(error);
    content = [message(`This run can't be shown: ${error.message}`)];
  }
  const title = state.page === "compare" ? "Compare runs" : (state.report?.run ?? "Transfer");
  main.replaceChildren(h("header", { class: "page" }, h("h1", {}, breakable(title)), pages), ...content.filter(Boolean));
}

function runPage() {
  if (state.problem) return [message(state.problem)];
  if (!state.report) return [message("There are no runs yet. `xferlearn train --logs_dir=DIR` writes one; start TensorBoard with `--logdir DIR`.")];
  const { report, view } = state;
  const classes = h("div", { class: "classes" });
  const drawClasses = () => classes.replaceChildren(classesSection(report, view));
  // First: it chooses another split where the one in view has no photos.
  const matrix = matrixSection(report, view, drawClasses);
  drawClasses();
  return [
    headline(report),
    notices(report),
    inputSection(report),
    matrix,
    classes,
    auditSection(report),
    answersSection(report),
    h("div", { class: "columns" }, settingsSection(report, view), h("div", {}, timeSection(report), originSection(report))),
  ].filter(Boolean);
}

function message(text) {
  return h("p", { class: "message", role: "status" }, text);
}
