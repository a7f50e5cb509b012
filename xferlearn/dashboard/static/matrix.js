// The confusion matrix: a table whose cells open their photos, by mouse and by keyboard.

import { h, section, segmented } from "./dom.js";
import { count, mainSplit, percent, splitName, sum } from "./numbers.js";
import { cellKey, cellTitle, openPhotos, photosByCell, thumbnail } from "./photos.js";

const MOST_CLASSES = 150;
const MOST_PAIRS = 9;

export function matrixSection(report, view, onSplit) {
  const photos = photosByCell(report);
  const body = h("div", { class: "matrix-and-pairs" });
  const splits = ["test", "validation"].filter((split) => report.evaluations[split]?.n);
  const main = mainSplit(report);
  const heading = report.several_labels ? "Labels together" : "Confusion matrix";
  if (!splits.length) return section(heading, null, h("p", { class: "note" }, "There are no test or validation photos."));
  if (!splits.includes(view.split)) view.split = main;

  function update() {
    const evaluation = report.evaluations[view.split];
    const matrix = new Map(evaluation.cells.map(([t, p, n]) => [cellKey(view.split, t, p), n]));
    const at = (truth, predicted) => {
      const key = cellKey(view.split, truth, predicted);
      const [count, rowTotal] = [matrix.get(key) ?? 0, evaluation.classes[truth].n];
      return { photos: splitName(report, view.split), truth, predicted, count, rowTotal, indices: photos.get(key) ?? [] };
    };
    const size = sizeOf(report.labels.length);
    body.className = `matrix-and-pairs ${size}`;
    body.replaceChildren(...[matrixTable(report, at, view), report.several_labels ? null : pairsList(report, evaluation, at)].filter(Boolean));
  }
  update();
  const choose = (key) => (value) => {
    view[key] = value;
    update();
    if (key === "split") onSplit();
  };
  const title = (split) => splitName(report, split).replace(/^./, (letter) => letter.toUpperCase());
  return section(
    heading,
    [
      splits.length > 1 && segmented("Split", splits.map((split) => [split, title(split)]), view.split, choose("split")),
      segmented("Cells", [["count", "Counts"], ["percent", "Row %"]], view.cells, choose("cells")),
    ].filter(Boolean),
    body,
  );
}

function matrixTable(report, at, view) {
  const { labels } = report;
  const shown = shownClasses(report.evaluations[view.split], labels.length);
  const size = sizeOf(shown.length);
  const longest = Math.max(...shown.map((label) => labels[label].length));
  const upright = size === "large" && longest <= 10;
  const status = h("p", { class: "status" }, "Choose a cell to see its photos.");
  const heads = shown.map((label) => h("th", { scope: "col", title: labels[label] }, h("span", {}, labels[label])));
  const rows = shown.map((truth) => {
    const cells = shown.map((predicted) => matrixCell(report, at(truth, predicted), view.cells));
    const head = h("th", { scope: "row", title: labels[truth] }, h("span", {}, labels[truth]));
    return { head, cells, truth };
  });
  const table = h(
    "table",
    {
      role: "grid",
      class: `matrix ${size} ${upright ? "upright" : "turned"}`,
      "aria-label": `${report.several_labels ? "Labels together" : "Confusion matrix"} of the ${splitName(report, view.split)} photos. Rows are true classes, columns are predicted classes.`,
      "aria-readonly": "true",
    },
    h("thead", {}, h("tr", {}, h("td", { class: "corner" }, h("span", {}, "true ↓ predicted →")), heads)),
    h("tbody", {}, rows.map(({ head, cells }) => h("tr", {}, head, cells))),
  );

  const place = new Map();
  rows.forEach(({ cells }, row) => cells.forEach((cell, column) => place.set(cell, [row, column])));
  const cellOf = (event) => {
    const cell = event.target.closest?.("td");
    return place.has(cell) ? cell : null;
  };
  const data = ([row, column]) => at(shown[row], shown[column]);
  let [current, marked] = [rows[0].cells[0], []];
  current.tabIndex = 0;

  function mark(cell) {
    for (const head of marked) head.classList.remove("marked");
    const [row, column] = place.get(cell);
    marked = [rows[row].head, heads[column]];
    for (const head of marked) head.classList.add("marked");
    status.textContent = description(report, data([row, column]));
  }
  function focus(row, column) {
    const last = shown.length - 1;
    rows[Math.min(Math.max(row, 0), last)].cells[Math.min(Math.max(column, 0), last)].focus();
  }
  function open(cell) {
    const chosen = data(place.get(cell));
    cell.focus();
    if (chosen.count) openPhotos(report, chosen);
  }
  table.addEventListener("mouseover", (event) => cellOf(event) && mark(cellOf(event)));
  table.addEventListener("click", (event) => cellOf(event) && open(cellOf(event)));
  table.addEventListener("focusin", (event) => {
    const cell = cellOf(event);
    if (!cell) return;
    current.tabIndex = -1;
    cell.tabIndex = 0;
    current = cell;
    mark(cell);
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  table.addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    if (!cell || event.altKey || event.metaKey) return;
    const [row, column] = place.get(cell);
    const [far, page] = [shown.length, 10];
    const moves = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      PageUp: [row - page, column],
      PageDown: [row + page, column],
      Home: [event.ctrlKey ? 0 : row, 0],
      End: [event.ctrlKey ? far : row, far],
    };
    if (event.key in moves) focus(...moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") open(cell);
    else return;
    event.preventDefault();
  });

  const left = labels.length - shown.length;
  const several = report.several_labels
    ? h("p", { class: "note" }, "Photos that have the class of the row and get the label of the column. A photo with several labels counts in several cells: off the diagonal it is a mistake only where the photo does not have that class too.")
    : null;
  const note = left ? h("p", { class: "note" }, `The ${shown.length} classes with the most errors. The other ${left} are in the table of classes.`) : null;
  return h("div", { class: "matrix-side" }, several, note, h("div", { class: "scroll" }, table), status);
}

function sizeOf(classes) {
  return classes <= 12 ? "large" : classes <= 30 ? "medium" : "small";
}

// A browser can't draw a million cells, and nobody can read them.
function shownClasses(evaluation, classes) {
  const all = [...Array(classes).keys()];
  if (classes <= MOST_CLASSES) return all;
  const { classes: rows } = evaluation;
  const errors = (label) => rows[label].n + rows[label].predicted - 2 * rows[label].correct;
  return all.sort((a, b) => errors(b) - errors(a)).slice(0, MOST_CLASSES).sort((a, b) => a - b);
}

function matrixCell(report, data, cells) {
  const { truth, predicted, count, rowTotal } = data;
  const share = rowTotal ? count / rowTotal : 0;
  const text = !count ? "" : cells === "count" ? String(count) : (share * 100).toFixed(share < 0.1 ? 1 : 0);
  return h(
    "td",
    {
      class: !count ? "empty" : truth === predicted ? "right" : report.several_labels ? "both" : "wrong",
      vars: count ? { "--share": share.toFixed(3) } : {},
      tabIndex: -1,
      "aria-label": description(report, data),
    },
    text,
  );
}

function description(report, { truth, predicted, count, rowTotal, photos }) {
  const share = rowTotal ? ` (${percent(count / rowTotal)})` : "";
  return `${cellTitle(report, truth, predicted)}: ${count} of ${rowTotal} ${photos} photos${share}`;
}

function pairsList(report, evaluation, at) {
  const wrong = evaluation.cells.filter(([truth, predicted]) => truth !== predicted);
  wrong.sort((a, b) => b[2] - a[2]);
  const errors = sum(wrong.map((cell) => cell[2]));
  const pairs = wrong.slice(0, MOST_PAIRS).map(([truth, predicted]) => at(truth, predicted));
  return h(
    "div",
    { class: "pairs" },
    h("h3", {}, errors ? "Most confused" : "No photo is misclassified"),
    h(
      "ol",
      {},
      pairs.map((pair) =>
        h(
          "li",
          {},
          h(
            "button",
            { type: "button", onclick: () => openPhotos(report, pair) },
            h("span", { class: "names", title: cellTitle(report, pair.truth, pair.predicted) }, h("b", {}, report.labels[pair.truth]), " predicted as ", h("b", {}, report.labels[pair.predicted])),
            h("span", { class: "count" }, `${pair.count} of ${pair.rowTotal}`),
            h("span", { class: "strip", "aria-hidden": "true" }, pair.indices.slice(0, 3).map((index) => thumbnail(report, index))),
          ),
        ),
      ),
    ),
    errors ? h("p", { class: "note" }, `${errors} of ${evaluation.n} photos are misclassified, in ${count(wrong.length, "pair")} of classes.`) : null,
  );
}
