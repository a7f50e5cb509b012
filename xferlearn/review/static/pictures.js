// Photos and heat maps as elements. What is likely to be looked at next is loaded ahead and kept.

import { h, visible } from "./dom.js";
import { get, heatAddress, photoAddress } from "./server.js";

const LARGE = 1280;
const KEPT = 12;
const images = new Map();
const details = new Map();

export function thumbnail(id, alt, side = 160) {
  return picture(photoAddress(id, side), alt);
}

export function picture(address, alt) {
  const image = h("img", {
    src: address,
    alt,
    decoding: "async",
    draggable: "false",
    onerror: () => image.replaceWith(h("span", { class: "missing" }, "not available")),
  });
  return image;
}

// The very element is kept: the server lets no browser store what it sends.
export function largePhoto(item) {
  return kept(images, item.id, () => picture(photoAddress(item.id, LARGE), `The photo ${visible(item.name)}`));
}

export function heatMap(id) {
  return kept(images, `heat ${id}`, () => h("img", { src: heatAddress(id), class: "heat", alt: "Heat map: where the head looks" }));
}

export function detailOf(id) {
  const detail = kept(details, id, () => get(`detail/${id}`));
  detail.catch(() => details.delete(id));
  return detail;
}

// After a refit the heads say something else.
export function forgetDetails() {
  details.clear();
  for (const key of images.keys()) if (key.startsWith("heat ")) images.delete(key);
}

export function loadAhead(items) {
  for (const item of items) {
    largePhoto(item);
    detailOf(item.id).catch(() => {});
  }
}

function kept(cache, key, make) {
  const value = cache.get(key) ?? make();
  cache.delete(key);
  cache.set(key, value);
  if (cache.size > KEPT) cache.delete(cache.keys().next().value);
  return value;
}
