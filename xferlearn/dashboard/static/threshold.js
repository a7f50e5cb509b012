// What another threshold on a class's probability would give: precision, recall and cost.

import { lineChart } from "./chart.js";
import { copyButton, h, scrolled, section } from "./dom.js";
import { count, NONE, percent, splitName, sum } from "./numbers.js";
import { modelDir, shellQuoted } from "./words.js";

// Counts come as pairs of a bin and its count; see `dashboard/scores.py`.
function dense(pairs, size) {
  const counts = new Array(size).fill(0);
  for (let place = 0; place < pairs.length; place += 2) counts[pairs[place]] = pairs[place + 1];
  return counts;
}

// Returns, by threshold, what it gives: { threshold, labelled, correct, precision, recall, cost }.
// Where classes are decided one by one, a photo costs 1 below the threshold if it is of the class.
export function operatingPoints({ thresholds, n }, one) {
  const size = thresholds.length + 1;
  const [positive, negative] = [dense(one.positive, size), dense(one.negative, size)];
  const costs = dense(one.cost ?? one.negative, size);
  const costsBelow = dense(one.cost_below ?? one.below ?? one.positive, size);
  const photos = sum(positive);
  let [labelled, correct, cost] = [n, photos, sum(costs)];
  return thresholds.map((threshold, bin) => {
    labelled -= positive[bin] + negative[bin];
    correct -= positive[bin];
    cost += costsBelow[bin] - costs[bin];
    return point(threshold, photos, labelled, correct, cost / n);
  });
}

function point(threshold, photos, labelled, correct, cost) {
  return { threshold, photos, labelled, correct, precision: labelled ? correct / labelled : null, recall: photos ? correct / photos : null, cost };
}

// Runs of earlier versions have none.
export function thresholdSection(report, view) {
  const scores = report.scores?.[view.split];
  if (!scores?.classes.length) return null;
  const named = (label) => scores.classes.find((one) => report.labels[one.label] === label);
  const body = h("div", { class: "threshold" });
  const choice = h(
    "select",
    {
      onchange: () => {
        view.thresholdClass = choice.value;
        draw();
      },
    },
    scores.classes.map(({ label }) => h("option", { value: report.labels[label] }, report.labels[label])),
  );
  const first = named(view.thresholdClass) ?? startingClass(scores);
  choice.value = report.labels[first.label];
  function draw() {
    body.replaceChildren(...classThreshold(report, scores, named(choice.value)));
  }
  draw();
  const left = report.labels.length - scores.classes.length;
  return section(
    `Threshold (${splitName(report, view.split)} photos)`,
    h("label", { class: "pick" }, "Class", choice),
    left > 0 ? h("p", { class: "note" }, `The ${count(scores.classes.length, "class").replace(/s$/, "es")} with the most mistakes.`) : null,
    body,
  );
}

// One that has a threshold, else the one with the most mistakes; of two equals the rarer one.
function startingClass({ classes }) {
  const photos = (one) => sum(one.positive.filter((_, place) => place % 2));
  const mistakes = (one) => one.today[0] + photos(one) - 2 * one.today[1];
  const limited = classes.filter(({ today }) => today[2] !== null);
  return (limited.length ? limited : [...classes]).sort((a, b) => mistakes(b) - mistakes(a) || photos(a) - photos(b))[0];
}

function classThreshold(report, scores, one) {
  const points = operatingPoints(scores, one);
  const label = report.labels[one.label];
  const photos = points[0].photos;
  const [labelled, correct, limit, cost] = one.today;
  const today = point(limit, photos, labelled, correct, cost);
  // Where the decision is no threshold: of those that label about as many photos the middle one.
  const middle = (some) => Math.abs(some.threshold - 0.5);
  const far = (some) => (limit === null ? Math.abs(some.labelled - labelled) : Math.abs(some.threshold - limit));
  const start = points.reduce((best, some, index) => (far(some) - far(points[best]) || middle(some) - middle(points[best])) < 0 ? index : best, 0);
  const now = h("tr", { class: "now" });
  const command = h("div", { class: "commands" });
  const chart = curve(label, points, photos / scores.n, today);
  const slider = h("input", {
    type: "range",
    min: 0,
    max: points.length - 1,
    value: start,
    "aria-label": `Threshold of ${label}`,
    oninput: () => update(),
  });
  slider.value = start;
  const output = h("output", {});
  function update() {
    const some = points[Number(slider.value)];
    const text = shown(some.threshold);
    slider.setAttribute("aria-valuetext", `${text}: precision ${percent(some.precision)}, recall ${percent(some.recall)}`);
    output.textContent = text;
    now.replaceChildren(...rowCells(`Threshold ${text}`, some, scores));
    chart.mark("this threshold", some.precision === null ? null : [some.recall, some.precision], `Threshold ${text}`);
    command.replaceChildren(...commands(report, label, some));
  }
  update();
  const back = h("button", { type: "button", class: "quiet", onclick: reset }, "As decided today");
  function reset() {
    slider.value = start;
    update();
  }
  const heads = ["", "Labelled", "Precision", "Recall", "Missed", "False alarms", scores.costs ? "Cost per photo" : "Mistakes per photo"];
  const byLimit = limit === null ? "As decided today" : `As decided today, ${shown(limit)}`;
  return [
    h(
      "div",
      { class: "threshold-side" },
      h("div", { class: "slider" }, h("span", { class: "faint" }, "Threshold"), slider, output, back),
      scrolled(
        "What the threshold gives",
        h(
          "table",
          { class: "data", "aria-label": `What thresholds of ${label} give` },
          h("thead", {}, h("tr", {}, heads.map((head, index) => (index ? h("th", { scope: "col", class: "number" }, head) : h("td", {}))))),
          h("tbody", {}, now, h("tr", {}, rowCells(byLimit, today, scores))),
        ),
      ),
      h("p", { class: "note" }, note(report, scores, label, one)),
      command,
    ),
    chart.element,
  ];
}

function shown(threshold) {
  return String(Number(threshold.toPrecision(3)));
}

function rowCells(name, { photos, labelled, correct, precision, recall, cost }, scores) {
  const cells = [labelled, percent(precision), percent(recall), `${photos - correct} of ${photos}`, labelled - correct, cost.toFixed(scores.costs ? 3 : 4)];
  return [h("th", { scope: "row" }, name), ...cells.map((cell) => h("td", { class: "number" }, typeof cell === "number" ? cell.toLocaleString("en") : cell))];
}

function note(report, { costs, n }, label, one) {
  const rest = one.below ? " Below it the photo gets its next label; the other classes are decided as today." : "";
  const price = costs ? " Costs are those that the decision was given, of the mistakes of all classes." : one.below ? " Mistakes are those of all classes." : " Mistakes are those of this class.";
  return `A photo is labelled ${label} from this probability on.${rest}${price} N = ${n.toLocaleString("en")}.`;
}

// What `decide` promises is a little more careful than what these photos show.
function commands(report, label, { precision, recall }) {
  const floor = (share) => Math.min(Math.floor(share * 100) / 100, 0.99);
  const asked = [["min_recall", recall], ["min_precision", precision]].filter(([, share]) => share !== null && floor(share) > 0);
  // Names with these signs are not one word of the setting.
  if (!asked.length || /[=,:]/.test(label)) return [];
  const lines = asked.map(([name, share]) => `xferlearn decide --model=${modelDir(report)} ${shellQuoted(`--${name}=${label}=${floor(share)}`)}`);
  return [
    h("h3", {}, "To have the model promise about this recall, or this precision"),
    ...lines.map((line) => h("div", { class: "copied" }, h("pre", { class: "command" }, line), copyButton(line))),
  ];
}

function curve(label, points, prevalence, today) {
  const known = points.filter(({ precision, recall }) => precision !== null && recall !== null);
  const line = [[1, prevalence], ...known.map(({ recall, precision }) => [recall, precision])];
  const share = (value) => percent(value, 0);
  const chart = lineChart({
    title: `Precision and recall of ${label}`,
    x: { title: "Recall", domain: [0, 1], format: (value) => percent(value), tick: share },
    y: { title: "Precision", domain: [0, 1], format: share },
    series: [
      { name: "precision", points: line },
      { name: "label every photo", points: [[0, prevalence], [1, prevalence]], diagonal: true },
    ],
    marks: ["this threshold", "as decided today"],
    describe: (recall, [[, [, precision]]]) => {
      const some = known.find((one) => one.recall === recall && one.precision === precision);
      return `Recall ${percent(recall)}, precision ${percent(precision)}${some ? `, threshold ${shown(some.threshold)}` : ""}`;
    },
  });
  if (today.precision !== null) chart.mark("as decided today", [today.recall, today.precision], "As decided today");
  return chart;
}
