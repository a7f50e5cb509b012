// What is known of one photo: its probabilities, and the training photos that are nearest to it.

import { copyButton, h, scrolled } from "./dom.js";
import { percent, score, sum } from "./numbers.js";
import { gallery } from "./thumbnails.js";
import { classNames, modelDir, predictedAs, shellQuoted } from "./words.js";

// A photo of the report as galleries take it.
export function photoItem(report, index, caption) {
  const photo = report.photos[index];
  const said = predictedAs(report, photo);
  return {
    ...fileItem(report, index, photo.name, `${photo.name}: ${said}`),
    caption: caption ?? h("span", { class: "score" }, `${classNames(report, photo.predicted)} ${score(photo.score)}`),
    // Reports of earlier versions have no more than the photo.
    details: photo.top ? () => evidence(report, photo, said) : undefined,
  };
}

export function fileItem(report, index, name, alt) {
  const { files } = report;
  const path = files && index !== null ? [files.root, files.names[index]].filter(Boolean).join("/") : undefined;
  return { run: report.run, index, name, alt, path };
}

function evidence(report, photo, said) {
  const command = heatMap(report, photo);
  return [
    h("p", { class: "note" }, `${said}.`),
    photo.familiarity === null ? null : h("p", { class: "note" }, familiarity(photo.familiarity)),
    h("h3", {}, `Probabilities of all ${report.labels.length} classes`),
    scrolled("Probabilities", probabilities(report, photo)),
    h("h3", {}, "Nearest photos of the training, with similarity"),
    photo.nearest.length ? nearest(report, photo) : h("p", { class: "note" }, "There are none."),
    h("h3", {}, "For a heat map of it"),
    h("pre", { class: "command" }, command),
    h("p", { class: "tools" }, copyButton(command)),
  ].filter(Boolean);
}

function familiarity(share) {
  const [word, part] = share < 0.5 ? ["less", 1 - share] : ["more", share];
  // 100.0% would claim too much.
  const than = part > 0.9995 ? "nearly all" : percent(part);
  return `Familiarity ${share.toFixed(3)}: ${word} typical than ${than} of your own photos.`;
}

function heatMap(report, photo) {
  const folder = report.settings.find(({ name }) => name === "image_dir")?.value;
  const file = folder ? shellQuoted(`${folder}/${photo.name}`) : "PHOTO";
  return `xferlearn label --model=${modelDir(report)} --why=why ${file}`;
}

// Those that the report leaves out are no larger than its smallest, nor than what all leave over.
function probabilities(report, photo) {
  const known = new Set(photo.top.map(([label]) => label));
  const all = sum(photo.top.map(([, share]) => share));
  // Where photos may have several labels, probabilities of theirs don't add up to 1.
  const left = all < 1 && !report.several_labels ? 1 - all : 1;
  const bound = photo.top.length > 1 ? Math.min(photo.top.at(-1)[1], left) : left;
  const others = [...report.labels.keys()].filter((label) => !known.has(label));
  const rows = [
    ...photo.top.map(([label, share]) => [label, share, percent(share)]),
    ...others.map((label) => [label, 0, bound < 0.001 ? "< 0.1%" : `≤ ${percent(bound)}`]),
  ];
  return h(
    "table",
    { class: "data", "aria-label": "Probabilities" },
    h(
      "tbody",
      {},
      rows.map(([label, share, text]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, report.labels[label], [photo.truth].flat().includes(label) ? h("span", { class: "badge" }, "its label") : null),
          h("td", { "aria-hidden": "true", class: "wide" }, h("span", { class: "bar", vars: { "--share": share } })),
          h("td", { class: "number" }, text),
        ),
      ),
    ),
  );
}

function nearest(report, photo) {
  return gallery(
    photo.nearest.map((near) => {
      const label = classNames(report, near.label);
      return {
        ...fileItem(report, near.picture, near.name, `${near.name}: ${label}, similarity ${near.similarity.toFixed(2)}`),
        caption: h("span", {}, h("b", {}, label), ` ${near.similarity.toFixed(2)}`),
      };
    }),
  );
}
