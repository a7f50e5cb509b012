// The top of a run's page: its results, its input and its output.

import { breakable, copyButton, h, section } from "./dom.js";
import { accuracyTitle, count, interval, mainSplit, percent, rate, seconds, sum, total } from "./numbers.js";

export function headline(report) {
  const photos = sum(Object.keys(report.counts).map((split) => splitTotal(report, split)));
  const main = mainSplit(report);
  const others = ["test", "validation"].filter((split) => split !== main);
  const tiles = [
    ...[main, ...others].filter((split) => split === main || report.evaluations[split]?.n).map((split) => {
      const evaluation = report.evaluations[split];
      const kind = split === main ? "main" : null;
      return [accuracyTitle(split, evaluation), percent(evaluation?.accuracy), measured(report, evaluation), kind];
    }),
    [`Photos, ${report.labels.length} classes`, photos.toLocaleString("en"), lines(splitText(report), report.delivered && `Delivered: ${report.delivered}`)],
    ["Time", seconds(total(report.timings)), lines(`${rate(report.timings.photos_per_second)} photos/s, ${report.timings.cached} cached`)],
  ];
  return h(
    "dl",
    { class: "tiles" },
    tiles.map(([term, value, detail, kind]) =>
      h("div", { class: kind }, h("dt", {}, term), h("dd", {}, h("b", {}, value), detail)),
    ),
  );
}

function lines(...texts) {
  return texts.filter(Boolean).map((text) => h("span", {}, text));
}

function measured(report, evaluation) {
  if (!evaluation || evaluation.n === 0) return lines("not measured, N = 0");
  const { exact, f1, few, folding, grouped, interval_95: ends, largest, n } = evaluation;
  return [
    h(few ? "b" : "span", {}, interval(ends)),
    // Runs of earlier versions have no more than these.
    ...lines([`95% interval, N = ${n}${grouped ?? ""}`, folding].filter(Boolean).join(", ")),
    ...lines(exact && `all labels right: ${exact}`, f1 != null && `F1 ${f1.toFixed(3)}, mean over classes`),
    ...lines(largest && `always ${report.labels[largest[0]]}, the largest class: ${percent(largest[1])}`),
  ];
}

// Of several labels a photo counts in several classes; reports of earlier versions know one each.
function splitTotal({ counts, totals }, split) {
  return totals?.[split] ?? sum(counts[split]);
}

function splitText(report) {
  const folded = report.evaluations.validation?.folding;
  const names = folded ? { train: "cross-validated", test: "test" } : { train: "train", validation: "val.", test: "test" };
  const counts = Object.entries(names).map(([split, name]) => [splitTotal(report, split), name]);
  return counts.filter(([photos]) => photos).map((pair) => pair.join(" ")).join(", ");
}

export function notices(report) {
  const { bad, duplicates } = report.left_out;
  const lines = [...report.warnings];
  if (bad) lines.push(`${count(bad, "unreadable photo")} left out.`);
  // Runs of earlier versions have only the number.
  if (report.notes) lines.push(...report.notes.map((note) => `${note}.`));
  else if (duplicates) lines.push(`${count(duplicates, "duplicate photo")} left out.`);
  return lines.length ? h("ul", { class: "notices" }, lines.map((line) => h("li", {}, line))) : null;
}

export function inputSection(report) {
  const { input, output, backbone, bottleneck } = report;
  const range = `${input.value_range[0]} to ${input.value_range[1]}`;
  const networks = parts(backbone);
  const of = (part) => (backbone.parts ? `${part.name}, ${part.image_size} px: ` : "");
  const pooling = [...new Set(parts(bottleneck).map((part) => `${part.pooling} pooling`))];
  const steps = [
    ["Input layer", input.name, [`${input.height} × ${input.width} px, ${channels(input)}`, `${input.dtype}, ${range}`], "input"],
    ["Preprocessing", "preprocessing", [...networks.map((part) => of(part) + formula(part)), "inside the model"]],
    ["Backbone", backbone.name, [`weights: ${backbone.weights}`, ...networks.map((part, place) => of(part) + trained(report, place)), ...networks.map((part) => `sha256 ${part.weights_sha256.slice(0, 8)}…`)]],
    ["Bottleneck", bottleneck.layer, [`${count(bottleneck.width, "value")} per photo`, ...pooling], "bottleneck"],
    ["Output", output.name, [`${report.labels.length} labels`, output.activation]],
  ];
  return section(
    "Input and output",
    copyButton(facts(report), "Copy as text"),
    h(
      "ol",
      { class: "pipeline" },
      steps.map(([role, name, lines, kind]) =>
        h(
          "li",
          { class: kind },
          h("span", { class: "role" }, role),
          h("code", {}, breakable(name)),
          lines.map((line) => h("span", { class: "detail" }, line)),
        ),
      ),
    ),
    h(
      "p",
      { class: "note" },
      `The model takes raw pixels, ${range}, and scales them itself. Photos are resized as follows: ${input.resize}.`,
    ),
  );
}

// Runs of earlier versions have none.
export function answersSection({ promises }) {
  if (!promises?.length) return null;
  return section(
    "Answers",
    null,
    h(
      "table",
      { class: "data answers", "aria-label": "How labels are decided" },
      h("tbody", {}, promises.map(([name, text]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, text)))),
    ),
  );
}

// Of several backbones that are combined, each; else the only one.
function parts(described) {
  return described.parts ?? [described];
}

// Of several backbones the first is the one that may be fine-tuned.
function trained({ fine_tuning: tuning }, place) {
  return tuning?.kept && place === 0 ? `${count(tuning.layers.length, "layer")} fine-tuned` : "frozen";
}

function channels(input) {
  return input.channels === 3 ? "RGB" : count(input.channels, "channel");
}

function formula({ preprocessing }) {
  if (!preprocessing.mean) return preprocessing.name;
  const text = (values) => {
    const short = values.map((value) => String(Number(value.toFixed(3))));
    return new Set(short).size === 1 ? short[0] : `[${short.join(", ")}]`;
  };
  const [mean, std] = [text(preprocessing.mean), text(preprocessing.std)];
  if (mean === "0" && std === "1") return "part of the backbone";
  const shifted = mean === "0" ? "x" : `(x − ${mean})`;
  return `${std === "1" ? shifted : `${shifted} / ${std}`}${preprocessing.bgr ? ", then RGB to BGR" : ""}`;
}

function facts(report) {
  const { input, output, backbone, bottleneck } = report;
  return [
    `run: ${report.run}`,
    `input layer: ${input.name}`,
    `resolution: ${input.height} x ${input.width} px, ${channels(input)}`,
    `dtype: ${input.dtype}`,
    `value range: ${input.value_range[0]} to ${input.value_range[1]}`,
    `resize: ${input.resize}`,
    ...parts(backbone).flatMap((part, place) => [
      `preprocessing (inside the model): ${formula(part).replace("−", "-")}`,
      `backbone: ${part.name}, weights ${part.weights}, ${trained(report, place)}, sha256 ${part.weights_sha256}`,
    ]),
    `bottleneck layer: ${bottleneck.layer}, ${bottleneck.width} values`,
    `output layer: ${output.name}, ${output.activation}, ${report.labels.length} labels`,
    "",
  ].join("\n");
}
