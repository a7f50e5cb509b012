// The pages of experiments and evaluations: what was found, and the numbers that say it.

import { breakable, copyButton, h, section } from "./dom.js";
import { growthSection } from "./growth.js";
import { matrixSection } from "./matrix.js";
import { SEEN, interval, intervalClass, percent } from "./numbers.js";
import { wallSection } from "./photos.js";
import { sortableTable } from "./tables.js";

// `site` has the `runs` that there are, and `open(run)` shows one of them.
export function experimentPage(report, view, site) {
  return [
    tiles(report),
    list("notices", report.warnings),
    report.verdict.length ? section("What was found", null, list("verdict", report.verdict)) : null,
    sourceSection(report, site),
    report.curve ? growthSection("Accuracy by number of photos", report.curve) : null,
    // The matrix first: it chooses the split that the wall follows.
    ...(report.evaluations ? [matrixSection(report, view, () => {}), wallSection(report, view)] : []),
    ...report.tables.map(tableSection),
    report.next ? nextSection(report.next) : null,
  ];
}

function tiles({ measured, facts = [] }) {
  const main = measured
    ? h(
        "div",
        { class: "main" },
        h("dt", {}, measured.name),
        h("dd", {}, h("b", {}, percent(measured.accuracy)), h("span", { class: intervalClass(measured) }, interval(measured.interval_95)), h("span", {}, `95% interval, N = ${measured.n.toLocaleString("en")}`), measured.seen ? h("span", { class: "seen" }, SEEN) : null),
      )
    : h("div", { class: "main" }, h("dt", {}, "Accuracy"), h("dd", {}, h("b", {}, "not measured")));
  const others = facts.map(([term, value, detail]) => h("div", {}, h("dt", {}, term), h("dd", {}, h("b", {}, value), detail ? h("span", {}, detail) : null)));
  return h("dl", { class: "tiles" }, main, others);
}

function list(name, lines) {
  return lines.length ? h("ul", { class: name }, lines.map((line) => h("li", {}, line))) : null;
}

// An evaluation's model, and the run that trained it, where that is among these.
function sourceSection({ source }, { runs, open }) {
  if (!source) return null;
  const run = runs.find((one) => one.run === source.run);
  const training = run
    ? h("button", { type: "button", class: "link", onclick: () => open(run.run) }, breakable(run.run))
    : (source.run ?? "not known");
  const rows = [
    ["Model", h("code", {}, source.model)],
    ["Its training", training],
    ["Photos", h("code", {}, source.photos)],
    ...source.counts,
  ];
  return section(
    "Model and photos",
    null,
    h("table", { class: "data answers", "aria-label": "Model and photos" }, h("tbody", {}, rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value))))),
  );
}

function tableSection({ title, head, rows, notes }) {
  const columns = head.map((name, index) => column(name, rows.map((row) => row[index]), index));
  const sort = { column: null, descending: false };
  return section(
    title,
    null,
    sortableTable(title, columns, rows, sort),
    notes.map((note) => h("p", { class: "note" }, note)),
  );
}

function column(title, cells, index) {
  const estimates = cells.filter((cell) => typeof cell === "object");
  const number = estimates.length > 0 || (cells.some(Boolean) && cells.every((cell) => !cell || !Number.isNaN(Number.parseFloat(cell))));
  const ends = estimates.flatMap(({ low, high }) => [low, high]);
  // Differences are seen against none.
  const differences = estimates.some(({ low, at }) => low < 0 || at < 0);
  const axis = { low: Math.min(...ends, ...(differences ? [0] : [])), high: Math.max(...ends, ...(differences ? [0] : [])) };
  const place = (value) => (value - axis.low) / (axis.high - axis.low || 1);
  return {
    title,
    number,
    value: (row) => sortValue(row[index], number),
    cell: (row) => (typeof row[index] === "object" ? estimate(row[index], place, differences) : row[index]),
  };
}

function sortValue(cell, number) {
  if (typeof cell === "object") return cell.at;
  if (!number) return cell;
  const value = Number.parseFloat(cell);
  return Number.isNaN(value) ? null : value;
}

function estimate({ text, low, at, high }, place, differences) {
  const vars = { "--from": place(low), "--to": place(high), "--at": place(at), ...(differences ? { "--zero": place(0) } : {}) };
  return h(
    "span",
    { class: "estimate" },
    h("span", {}, text),
    h("span", { class: differences ? "range against-zero" : "range", "aria-hidden": "true", vars }),
  );
}

function nextSection(command) {
  return section("Train it", copyButton(command, "Copy command"), h("pre", { class: "command", tabIndex: 0 }, command));
}
