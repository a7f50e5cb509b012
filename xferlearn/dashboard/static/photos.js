// The thumbnails behind a cell of the confusion matrix.

import { h } from "./dom.js";
import { percent, score } from "./numbers.js";

// Relative to the page's <base>, so that --path_prefix and experiments keep working.
export function photoAddress(run, index) {
  return `photo?${new URLSearchParams({ run, index })}`;
}

export function thumbnail(report, index, className) {
  const photo = report.photos[index];
  const [truth, predicted] = [report.labels[photo.truth], report.labels[photo.predicted]];
  const image = h("img", {
    class: className,
    src: photoAddress(report.run, index),
    alt: `${photo.name}: ${truth} predicted as ${predicted}`,
    width: 96,
    height: 96,
    loading: "lazy",
    decoding: "async",
    onerror: () => image.replaceWith(h("span", { class: `missing ${className ?? ""}` }, "not available")),
  });
  return image;
}

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
  const back = document.activeElement;
  const name = cellTitle(report.labels, truth, predicted);
  const shown = indices.length === count ? "" : ` ${indices.length ? `${indices.length} of them are` : "None of them is"} shown.`;
  const dialog = h(
    "dialog",
    { class: "photos", "aria-label": name, onclose: close, onclick: closeOutside },
    h(
      "header",
      {},
      h("h2", {}, name),
      h("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() }, "✕"),
    ),
    h("p", { class: "note" }, `${count} of ${rowTotal} ${photos} photos of this class (${percent(count / rowTotal)}).${shown}`),
    h(
      "div",
      { class: "grid" },
      indices.map((index) => {
        const photo = report.photos[index];
        return h(
          "figure",
          {},
          thumbnail(report, index),
          h(
            "figcaption",
            {},
            h("span", { class: "score" }, `${report.labels[photo.predicted]} ${score(photo.score)}`),
            h("span", { class: "file", title: photo.name }, photo.name.split("/").pop()),
          ),
        );
      }),
    ),
  );
  function close() {
    dialog.remove();
    back?.focus();
  }
  function closeOutside(event) {
    if (event.target === dialog) dialog.close();
  }
  document.body.append(dialog);
  dialog.showModal();
}
