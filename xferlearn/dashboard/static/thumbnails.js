// Small pictures of photos.

import { h } from "./dom.js";

// Relative to the page's <base>, so that --path_prefix and experiments keep working.
function photoAddress(run, index) {
  return `photo?${new URLSearchParams({ run, index })}`;
}

export function thumbnail(report, index, className) {
  const photo = report.photos[index];
  const [truth, predicted] = [report.labels[photo.truth], report.labels[photo.predicted]];
  return picture(report, index, `${photo.name}: ${truth} predicted as ${predicted}`, className);
}

export function picture(report, index, alt, className) {
  const image = h("img", {
    class: className,
    src: photoAddress(report.run, index),
    alt,
    width: 160,
    height: 160,
    loading: "lazy",
    decoding: "async",
    onerror: () => image.replaceWith(h("span", { class: `missing ${className ?? ""}` }, "not available")),
  });
  return image;
}
