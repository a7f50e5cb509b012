// One photo: its probabilities, and the training photos that are nearest to it.

import { copyButton, h, openDialog } from "./dom.js";
import { percent } from "./numbers.js";
import { picture, thumbnail } from "./thumbnails.js";

export function openEvidence(report, index) {
  const photo = report.photos[index];
  const [truth, predicted] = [report.labels[photo.truth], report.labels[photo.predicted]];
  const right = photo.truth === photo.predicted;
  openDialog(
    photo.name,
    "evidence",
    h("p", { class: "note" }, right ? `${truth}, predicted right.` : `${truth}, predicted as ${predicted}.`),
    photo.familiarity === null ? null : h("p", { class: "note" }, familiarity(photo.familiarity)),
    h(
      "div",
      { class: "evidence-parts" },
      h("figure", {}, thumbnail(report, index)),
      h("section", {}, h("h3", {}, "Probabilities"), probabilities(report, photo)),
      h("section", {}, h("h3", {}, "Nearest photos of the training, with similarity"), nearest(report, photo)),
    ),
    h("h3", { class: "to-do" }, "For a heat map of it"),
    h("pre", { class: "command" }, command(report, photo)),
    h("p", { class: "tools" }, copyButton(command(report, photo))),
  );
}

function familiarity(share) {
  const [word, part] = share < 0.5 ? ["less", 1 - share] : ["more", share];
  // 100.0% would claim too much.
  const than = part > 0.9995 ? "nearly all" : percent(part);
  return `Familiarity ${share.toFixed(3)}: ${word} typical than ${than} of your own photos.`;
}

function command(report, photo) {
  const value = (name) => report.settings.find((setting) => setting.name === name)?.value;
  const folder = value("image_dir");
  const file = folder ? quoted(`${folder}/${photo.name}`) : "PHOTO";
  return `xferlearn label --model=${quoted(value("model_dir") ?? "MODEL")} --why=why ${file}`;
}

// As a shell reads it: names of files may hold anything.
function quoted(text) {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function probabilities(report, photo) {
  return h(
    "table",
    { class: "data" },
    h(
      "tbody",
      {},
      photo.top.map(([label, share]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, report.labels[label]),
          h("td", { "aria-hidden": "true", class: "wide" }, h("span", { class: "bar", vars: { "--share": share } })),
          h("td", { class: "number" }, percent(share)),
        ),
      ),
    ),
  );
}

function nearest(report, photo) {
  if (!photo.nearest.length) return h("p", { class: "note" }, "There are none.");
  return h(
    "div",
    { class: "grid" },
    photo.nearest.map((near) => {
      const label = report.labels[near.label];
      return h(
        "figure",
        {},
        near.picture === null
          ? h("span", { class: "missing" }, "no picture")
          : picture(report, near.picture, `${near.name}: ${label}`),
        h(
          "figcaption",
          {},
          h("span", {}, h("b", {}, label), ` ${near.similarity.toFixed(2)}`),
          h("span", { class: "file", title: near.name }, near.name.split("/").pop()),
        ),
      );
    }),
  );
}
