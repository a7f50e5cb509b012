// Tables: one that sorts by any column, and the tables of a run.

import { copyButton, h, scrolled, section } from "./dom.js";
import { count, interval, NONE, percent, seconds, settingText, splitName, sum } from "./numbers.js";
import { shellQuoted } from "./words.js";

// Columns: { title, value(row) to sort by, cell(row) to show, number, help }.
export function sortableTable(label, columns, rows, sort) {
  const body = h("tbody");
  const heads = columns.map((column, index) =>
    // A column without a title has signs, in the order of another.
    column.title
      ? h(
          "th",
          { scope: "col", class: column.number ? "number" : null, title: column.help },
          h("button", { type: "button", onclick: () => choose(index) }, column.title),
        )
      : h("td"),
  );
  const lines = rows.map((row) => ({
    row,
    line: h(
      "tr",
      {},
      columns.map((column, index) =>
        h(index ? "td" : "th", { scope: index ? null : "row", class: column.number ? "number" : null }, column.cell(row)),
      ),
    ),
  }));

  function choose(index) {
    const descending = sort.column === index ? !sort.descending : Boolean(columns[index].number);
    Object.assign(sort, { column: index, descending });
    update();
  }
  function update() {
    if (sort.column === null) return body.replaceChildren(...lines.map(({ line }) => line));
    const { value } = columns[sort.column];
    const sign = sort.descending ? -1 : 1;
    lines.sort(({ row: a }, { row: b }) => {
      const [x, y] = [value(a), value(b)];
      // Values that were not measured stay at the end in either direction.
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
    });
    body.replaceChildren(...lines.map(({ line }) => line));
    heads.forEach((head, index) => {
      if (index !== sort.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
    });
  }
  update();
  return scrolled(
    label,
    h("table", { class: "data", "aria-label": label }, h("thead", {}, h("tr", {}, heads)), body),
  );
}

export function classesSection(report, view) {
  const evaluation = report.evaluations[view.split] ?? report.evaluations.test;
  const rows = report.labels.map((label, index) => ({ label, index, ...evaluation.classes[index] }));
  const folded = report.evaluations.validation?.folding;
  const photos = (split, title, help = `Photos in the ${split} split`) => ({
    title,
    help,
    number: true,
    value: (row) => report.counts[split][row.index],
    cell: (row) => String(report.counts[split][row.index]),
  });
  const share = (key, help) => ({
    title: key === "f1" ? "F1" : key[0].toUpperCase() + key.slice(1).replace("_", " "),
    help,
    number: true,
    value: (row) => row[key],
    cell: (row) => meter(row[key]),
  });
  const interval95 = (key, help) => ({
    title: "95% interval",
    help,
    number: true,
    value: (row) => (row.n ? row[key][0] : null),
    cell: (row) => (row.n ? interval(row[key]) : NONE),
  });
  const ranked = report.several_labels
    ? [
        share("average_precision", "Mean precision over the photos of this class, from the most probable on"),
        interval95("interval_95", "95% interval of the average precision"),
        { title: "Threshold", help: "From which probability on a photo is labelled so, where one was used", number: true, value: (row) => row.threshold, cell: (row) => row.threshold?.toFixed(3) ?? NONE },
      ]
    : [];
  const columns = [
    { title: "Class", value: (row) => row.label, cell: (row) => row.label },
    ...(folded
      ? [photos("train", "In folds", "Photos that are cross-validated")]
      : [photos("train", "Train"), photos("validation", "Val.")]),
    photos("test", "Test"),
    ...ranked,
    share("precision", "Share of the photos predicted as this class that are of this class"),
    share("recall", "Share of the photos of this class that were predicted as such"),
    interval95("recall_interval_95", "95% interval of the recall (Wilson)"),
    share("f1", "Harmonic mean of precision and recall"),
    { title: "N", help: "Photos evaluated", number: true, value: (row) => row.n, cell: (row) => String(row.n) },
  ];
  return section(
    `Classes (${splitName(report, view.split)} photos)`,
    null,
    sortableTable("Classes", columns, rows, view.classSort),
  );
}

function meter(share) {
  if (share === null) return NONE;
  return h("span", { class: "meter", vars: { "--share": share } }, percent(share));
}

export function settingsSection(report) {
  const changed = report.settings.filter((setting) => setting.changed);
  const usual = report.settings.filter((setting) => !setting.changed);
  const groups = [...new Set(usual.map((setting) => setting.section))];
  const defaults = groups.flatMap((name) => [
    h("tr", { class: "group" }, h("th", { colspan: 2, scope: "rowgroup" }, name)),
    ...usual.filter((setting) => setting.section === name).map(settingRow),
  ]);
  return section(
    "Training settings",
    null,
    changed.length
      ? settingsTable("Changed settings", ["Changed", "Value", "Default"], changed.map(changedRow))
      : h("p", { class: "note" }, "All settings are at their defaults."),
    h("details", {}, h("summary", {}, `${count(usual.length, "setting")} at ${usual.length === 1 ? "its default" : "their defaults"}`), settingsTable("Settings at their defaults", ["Setting", "Value"], defaults)),
  );
}

function settingsTable(name, heads, rows) {
  return scrolled(
    name,
    h("table", { class: "data settings", "aria-label": name }, h("thead", {}, h("tr", {}, heads.map((title) => h("th", { scope: "col" }, title)))), h("tbody", {}, rows)),
  );
}

function changedRow({ name, value, default: usual, help }) {
  return h(
    "tr",
    { class: "changed" },
    h("th", { scope: "row", title: help }, h("code", {}, name)),
    h("td", {}, settingText(value)),
    h("td", { class: "faint" }, settingText(usual)),
  );
}

function settingRow({ name, value, help }) {
  return h("tr", {}, h("th", { scope: "row", title: help }, h("code", {}, name)), h("td", {}, settingText(value)));
}

export function timeSection(report) {
  const stages = Object.entries(report.timings.seconds ?? {});
  const all = sum(stages.map(([, value]) => value));
  // Runs of earlier versions name the step that was best.
  const { steps_run: steps, best_step: best, validation_loss: loss } = report.training;
  const { computed, cached } = report.timings;
  return section(
    "Time",
    null,
    h(
      "table",
      { class: "data stages", "aria-label": "Seconds of each stage" },
      h(
        "tbody",
        {},
        stages.map(([stage, value]) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, stage),
            h("td", { class: "number" }, seconds(value)),
            h("td", { "aria-hidden": "true" }, h("span", { class: "bar", vars: { "--share": all ? value / all : 0 } })),
          ),
        ),
      ),
    ),
    h(
      "p",
      { class: "note" },
      count(steps, report.fine_tuning?.kept ? "fine-tuning step" : "training step"),
      best < steps ? `, best at step ${best}` : "",
      typeof loss === "number" ? ` (validation loss ${loss.toFixed(3)})` : "",
      `. Bottlenecks: ${computed} computed, ${cached} cached`,
      report.engine ? ` (${engines(report.engine)}).` : ".",
    ),
    fineTuningNote(report),
  );
}

// Of several backbones that are combined, each has its own.
function engines(engine) {
  const each = engine.parts ?? [engine];
  return [...new Set(each.map(({ name, precision }) => `${name}, ${precision}`))].join("; ");
}

function fineTuningNote({ fine_tuning: tuning }) {
  if (!tuning) return null;
  const { frozen, fine_tuned: tuned } = tuning.validation;
  const passes = tuning.epochs === 1 ? "1 pass" : `${tuning.epochs} passes`;
  const outcome = tuning.kept ? "The tuned network was kept" : "The frozen network was kept";
  return h(
    "p",
    { class: "note" },
    // Runs of earlier versions don't name the network.
    `Fine-tuning of ${count(tuning.layers.length, "layer")}${tuning.network ? ` of ${tuning.network}` : ""}: ${passes}. `,
    `${outcome}: validation loss ${frozen.cross_entropy.toFixed(3)} frozen, ${tuned.cross_entropy.toFixed(3)} tuned.`,
  );
}

// Runs of earlier versions have the words of the command alone, with the path of the program.
function earlier([program, ...words]) {
  return { text: [program.split("/").pop(), ...words].map(shellQuoted).join(" "), language: "shell", needs: [] };
}

export function originSection(report) {
  const { text, language, needs } = report.made_with ?? earlier(report.command);
  return section(
    "Made with",
    copyButton(text, language === "python" ? "Copy Python call" : "Copy command"),
    h("pre", { class: "command", tabIndex: 0 }, text),
    needs.length ? h("ul", { class: "notices" }, needs.map((line) => h("li", {}, line))) : null,
    h(
      "dl",
      { class: "versions" },
      Object.entries(report.versions).map(([name, version]) => h("div", {}, h("dt", {}, name), h("dd", {}, version))),
    ),
  );
}
