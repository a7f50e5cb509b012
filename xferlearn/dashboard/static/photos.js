// The photos behind a cell of the confusion matrix, and those that are wrong and sure.

import { h, openDialog, section } from "./dom.js";
import { photoItem } from "./evidence.js";
import { percent, score, splitName } from "./numbers.js";
import { gallery, picture } from "./thumbnails.js";
import { classNames, isRight } from "./words.js";

const MOST_ON_THE_WALL = 12;

// Indices of the report's photos by "split truth predicted".
export function photosByCell(report) {
  const cells = new Map();
  report.photos.forEach((photo, index) => {
    // One of several labels is in the cell of each pair of them.
    for (const truth of [photo.truth].flat()) {
      for (const predicted of [photo.predicted].flat()) {
        const key = cellKey(photo.split, truth, predicted);
        if (!cells.has(key)) cells.set(key, []);
        cells.get(key).push(index);
      }
    }
  });
  return cells;
}

export function cellKey(split, truth, predicted) {
  return `${split} ${truth} ${predicted}`;
}

export function cellTitle({ labels, several_labels: several }, truth, predicted) {
  if (several) return `photos of ${labels[truth]} labelled ${labels[predicted]}`;
  return truth === predicted
    ? `${labels[truth]}, predicted right`
    : `${labels[truth]} predicted as ${labels[predicted]}`;
}

export function thumbnail(report, index) {
  return picture(photoItem(report, index));
}

export function openPhotos(report, { photos, truth, predicted, count, rowTotal, indices }) {
  const name = cellTitle(report, truth, predicted);
  const shown = indices.length === count ? "" : ` ${indices.length ? `${indices.length} of them are` : "None of them is"} shown.`;
  openDialog(
    name,
    "photos",
    h("p", { class: "note" }, `${count} of ${rowTotal} ${photos} photos of this class (${percent(count / rowTotal)}).${shown}`),
    gallery(indices.map((index) => photoItem(report, index))),
  );
}

export function wallSection(report, view) {
  const wrong = [...report.photos.entries()]
    .filter(([, { split, truth, predicted }]) => split === view.split && !isRight({ truth, predicted }))
    .sort(([, a], [, b]) => b.score - a.score)
    .slice(0, MOST_ON_THE_WALL);
  if (!wrong.length) return null;
  const caption = ({ truth, predicted, score: sure }) => [
    h("span", {}, `${classNames(report, truth)} → ${classNames(report, predicted)}`),
    h("span", { class: "score" }, `${score(sure)} sure`),
  ];
  return section(
    "Most confidently wrong",
    null,
    h("p", { class: "note" }, `The mistakes of the ${splitName(report, view.split)} photos that the model is most sure of: often it is the label that is wrong.`),
    gallery(wrong.map(([index, photo]) => photoItem(report, index, caption(photo)))),
  );
}
