// Whether probabilities can be believed, and how the training went.

import { lineChart } from "./chart.js";
import { h, section } from "./dom.js";
import { interval, percent, splitName } from "./numbers.js";

// Runs of earlier versions have none.
export function calibrationSection(report, view) {
  const found = report.reliability?.[view.split];
  if (!found) return null;
  const points = found.bins.map(([confidence, accuracy]) => [confidence, accuracy]);
  const low = Math.min(...points.flat(), 0.9);
  const [share, probability] = report.several_labels ? ["Share that has the label", "Probability of a label"] : ["Share that is right", "Probability of the label"];
  const axis = (title) => ({ title, domain: [low, 1], format: (value) => percent(value), tick: (value) => percent(value, 0) });
  const chart = lineChart({
    title: `${share}, by ${probability.toLowerCase()}`,
    x: axis(probability),
    y: axis(share),
    series: [
      { name: "measured", points, markers: true },
      { name: "exactly right", points: [[low, low], [1, 1]], diagonal: true },
    ],
    describe: (confidence) => {
      const [, accuracy, n, ...ends] = found.bins.find(([one]) => one === confidence);
      return `Probability ${percent(confidence)}: ${percent(accuracy)} ${report.several_labels ? "have the label" : "right"} (${interval(ends)}, N = ${n})`;
    },
  });
  return section(`Calibration (${splitName(report, view.split)} photos)`, null, chart.element, h("p", { class: "note" }, `${found.summary}. Above the dashed line the model is too modest, below it too sure.`));
}

export function courseSection(report, fetchJson) {
  const body = h("div", { class: "charts" }, h("p", { class: "note" }, "Loading …"));
  const whole = section("Learning curve", null, body);
  fetchJson(`course?${new URLSearchParams({ run: report.run })}`)
    .then((course) => body.replaceChildren(...charts(report, course)))
    .catch((error) => body.replaceChildren(h("p", { class: "note" }, error.message)));
  return whole;
}

function charts(report, course) {
  const drawn = Object.entries(course)
    .map(([tag, splits]) => [tag, Object.entries(splits).filter(([, points]) => points.length)])
    .filter(([, splits]) => splits.length)
    .map(([tag, splits]) => courseChart(report, tag, splits));
  return drawn.length ? drawn : [h("p", { class: "note" }, "No course was recorded: this run has no charts.")];
}

function courseChart(report, tag, splits) {
  const all = splits.flatMap(([, points]) => points);
  const steps = all.map(([step]) => step);
  const values = all.map(([, value]) => value);
  const share = tag === "accuracy";
  const format = share ? (value) => percent(value) : (value) => value.toPrecision(3);
  const tick = share ? (value) => percent(value, 0) : (value) => String(Number(value.toPrecision(3)));
  const low = share ? Math.min(...values, 0.95) : 0;
  return lineChart({
    title: share ? "Accuracy by step" : "Loss by step",
    x: { title: "Step", domain: [0, Math.max(...steps)], format: (value) => value.toLocaleString("en") },
    y: { title: share ? "Accuracy" : "Loss", domain: [low, share ? 1 : Math.max(...values)], format, tick },
    series: splits.map(([split, points]) => ({ name: splitName(report, split), points, markers: points.length <= 20 })),
    describe: (step, near) => `Step ${step.toLocaleString("en")}: ${near.map(([name, [, value]]) => `${name} ${format(value)}`).join(", ")}`,
  }).element;
}
