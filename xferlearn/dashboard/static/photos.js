// The photos behind a cell of the confusion matrix.

import { h, openDialog } from "./dom.js";
import { openEvidence } from "./evidence.js";
import { percent, score } from "./numbers.js";
import { thumbnail } from "./thumbnails.js";

// Indices of the report's photos by "split truth predicted".
export function photosByCell(report) {
  const cells = new Map();
  report.photos.forEach((photo, index) => {
    const key = cellKey(photo.split, photo.truth, photo.predicted);
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(index);
  });
  return cells;
}

export function cellKey(split, truth, predicted) {
  return `${split} ${truth} ${predicted}`;
}

export function cellTitle(labels, truth, predicted) {
  return truth === predicted
    ? `${labels[truth]}, predicted right`
    : `${labels[truth]} predicted as ${labels[predicted]}`;
}

export function openPhotos(report, { photos, truth, predicted, count, rowTotal, indices }) {
  const name = cellTitle(report.labels, truth, predicted);
  const shown = indices.length === count ? "" : ` ${indices.length ? `${indices.length} of them are` : "None of them is"} shown.`;
  openDialog(
    name,
    "photos",
    h("p", { class: "note" }, `${count} of ${rowTotal} ${photos} photos of this class (${percent(count / rowTotal)}).${shown}`),
    h("div", { class: "grid" }, indices.map((index) => photoFigure(report, index))),
  );
}

function photoFigure(report, index) {
  const photo = report.photos[index];
  const image = thumbnail(report, index);
  return h(
    "figure",
    {},
    // Reports of earlier versions have no more than the photo.
    photo.top
      ? h("button", { type: "button", class: "why", title: "Why?", onclick: () => openEvidence(report, index) }, image)
      : image,
    h(
      "figcaption",
      {},
      h("span", { class: "score" }, `${report.labels[photo.predicted]} ${score(photo.score)}`),
      h("span", { class: "file", title: photo.name }, photo.name.split("/").pop()),
    ),
  );
}
