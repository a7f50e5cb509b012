// Runs side by side: accuracy, speed, and the settings that differ.

import { breakable, h, section } from "./dom.js";
import { accuracyTitle, interval, intervalClass, NONE, percent, rate, seconds, settingText, total } from "./numbers.js";
import { sortableTable } from "./tables.js";

// Where these differ, two runs were tested on different photos.
const SPLIT_SETTINGS = ["image_dir", "dataset", "testing_percentage", "validation_percentage", "split_seed"];

export function compareSection(runs, view, onOpen) {
  if (!runs.length) return section("Runs side by side", null, h("p", { class: "note" }, "Select runs in the list to compare them."));
  const settings = runs.map((run) => new Map(run.settings.map((setting) => [setting.name, setting])));
  const differing = runs[0].settings
    .concat(...runs.slice(1).map((run) => run.settings))
    .filter(({ section: part }) => part !== "Output")
    .map(({ name }) => name)
    .filter((name, index, names) => names.indexOf(name) === index)
    .filter((name) => new Set(settings.map((one) => JSON.stringify(one.get(name)?.value))).size > 1);
  const rows = runs.map((run, index) => ({ ...run, values: settings[index] }));
  const columns = [
    {
      title: "Run",
      value: (row) => row.run,
      cell: (row) => h("button", { type: "button", class: "link", onclick: () => onOpen(row.run) }, breakable(row.run)),
    },
    accuracy("test", rows),
    accuracy("validation", rows),
    number("Time", "Wall time of all stages", (row) => total(row.timings), seconds),
    number("Photos/s", "Photos per second of the bottleneck stage; cached photos are fast", (row) => row.timings.photos_per_second, rate),
    number("Steps", "Training steps that were run", (row) => row.training.steps_run, String),
    ...differing.map((name) => ({
      title: name,
      help: `The setting --${name}, which differs between these runs`,
      value: (row) => row.values.get(name)?.value ?? null,
      cell: (row) => settingCell(row.values.get(name)),
    })),
  ];
  // A column that mixes numbers with words sorts as text.
  for (const column of columns) {
    const { value } = column;
    const mixed = new Set(rows.map(value).filter((one) => one !== null).map((one) => typeof one)).size > 1;
    const plain = rows.map(value).every((one) => one === null || ["number", "string"].includes(typeof one));
    if (mixed || !plain) column.value = (row) => settingText(value(row));
  }
  const tested = new Set(runs.map((run) => `${run.classes} ${run.evaluations.test?.n}`));
  const otherPhotos = tested.size > 1 || differing.some((name) => SPLIT_SETTINGS.includes(name));
  return section(
    "Runs side by side",
    null,
    otherPhotos ? h("ul", { class: "notices" }, h("li", {}, "These runs were tested on different photos.")) : null,
    sortableTable("Runs side by side", columns, rows, view.compareSort),
    h(
      "p",
      { class: "note" },
      differing.length ? "" : "All settings are the same. ",
      "Bars are 95% intervals; where they overlap, the difference may be chance.",
    ),
  );
}

function number(title, help, value, text) {
  return { title, help, number: true, value, cell: (row) => text(value(row)) };
}

function settingCell(setting) {
  if (!setting) return NONE;
  const text = settingText(setting.value);
  return setting.changed ? h("b", {}, text) : text;
}

function accuracy(split, rows) {
  const measured = rows.map((row) => row.evaluations[split]).filter((one) => one?.n);
  const low = Math.max(0, Math.floor(Math.min(...measured.map((one) => one.interval_95[0])) * 20) / 20);
  const high = Math.min(1, Math.ceil(Math.max(...measured.map((one) => one.interval_95[1])) * 20) / 20);
  const place = (share) => (share - low) / (high - low);
  return {
    // Runs that held photos out and those that folded them may stand side by side.
    title: [...new Set(measured.map((one) => accuracyTitle(split, one)))].join(", ") || accuracyTitle(split),
    number: true,
    help: measured.length ? `The axis runs from ${percent(low, 0)} to ${percent(high, 0)}` : null,
    value: (row) => row.evaluations[split]?.accuracy ?? null,
    cell: (row) => {
      const one = row.evaluations[split];
      if (!one?.n) return NONE;
      const [from, to] = one.interval_95.map(place);
      return h(
        "span",
        { class: "estimate" },
        h("b", {}, percent(one.accuracy)),
        h("span", { class: "range", "aria-hidden": "true", vars: { "--from": from, "--to": to, "--at": place(one.accuracy) } }),
        h("span", { class: intervalClass(one) }, `${interval(one.interval_95)}, N = ${one.n}`),
      );
    },
  };
}
