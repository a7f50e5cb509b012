// Tab "Transfer": a list of runs, and beside it one run, or several side by side.

import { changeSection } from "./change.js";
import { compareSection } from "./compare.js";
import { breakable, h, segmented } from "./dom.js";
import { experimentPage } from "./experiments.js";
import { followTheme, onReload } from "./host.js";
import { runPage } from "./run.js";
import { drawSidebar, isTraining, sortedRuns, startsFolded } from "./sidebar.js";

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
  folded: startsFolded(),
  problem: null,
  view: {
    split: null,
    cells: "count",
    thresholdClass: null,
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
  document.title = "Transfer";
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
  const good = sortedRuns(state).filter((run) => !run.problem);
  for (const { run } of good.filter(isTraining)) {
    if (!state.known.has(run) && state.compared.size < MOST_COMPARED) state.compared.add(run);
    state.known.add(run);
  }
  // What is measured anew says less than what was trained.
  if (!good.some((run) => run.run === state.run)) state.run = (good.find(isTraining) ?? good[0])?.run ?? null;
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
  // Drawn again, the page would lose what is open and where the reader is.
  const shown = state.run === run && state.page === "run" && !state.problem;
  state.run = run;
  state.page = "run";
  // Beside a narrow page the list has done its work.
  state.folded = startsFolded();
  drawList();
  list.querySelector(state.folded ? ".fold" : "[aria-current]")?.focus();
  if (!shown) loadReport();
}

function drawList() {
  drawSidebar(list, state, choose, drawMain);
}

function drawMain() {
  const compared = sortedRuns(state).filter((run) => !run.problem && state.compared.has(run.run));
  const pages = segmented("Page", [["run", "One run"], ["compare", `Compare ${compared.length}`]], state.page, (page) => {
    state.page = page;
    drawMain();
    main.querySelector(`input[value="${page}"]`)?.focus();
  });
  let content;
  try {
    content = state.page === "compare" ? [compareSection(compared, state.view, choose), changeSection(compared, state.view, fetchJson)] : onePage();
  } catch (error) {
    console.error(error);
    content = [message(`This run can't be shown: ${error.message}`)];
  }
  const title = state.page === "compare" ? "Compare runs" : (state.report?.run ?? "Transfer");
  main.replaceChildren(h("header", { class: "page" }, h("h1", {}, breakable(title)), pages), ...content.filter(Boolean));
}

// What one run shows, by what it is of; those of earlier versions are trainings.
const PAGES = { train: (report, view, { fetchJson }) => runPage(report, view, fetchJson), sweep: experimentPage, curve: experimentPage, compare: experimentPage, evaluate: experimentPage };

function onePage() {
  if (state.problem) return [message(state.problem)];
  if (!state.report) return [message("No run here has data for this tab. `xferlearn train --logs_dir=DIR` writes one; `xferlearn board --logs_dir=DIR` shows it.")];
  return PAGES[state.report.kind ?? "train"](state.report, state.view, { runs: state.runs, open: choose, fetchJson });
}

function message(text) {
  return h("p", { class: "message", role: "status" }, text);
}
