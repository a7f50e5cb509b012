// Accuracy by number of photos, with its intervals and where a fitted curve leads.

import { h, s, section } from "./dom.js";
import { percent } from "./numbers.js";

const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2];
const MOST_TICKS = 6;
// Share of the width that is left free beside the first and the last point.
const MARGIN = 0.06;
// Least space between the labels of two points, px.
const GAP = 4;

// `curve` has `points` as [photos, low, mean, high], and what was fitted to the last of them.
export function growthSection(title, curve) {
  const { points, fit } = curve;
  if (!points.length) return null;
  const ends = [...points, ...(fit ? [fit.next] : [])];
  const lowest = Math.min(...ends.map((one) => one[1]));
  const step = STEPS.find((one) => Math.ceil((1 - lowest) / one) <= MOST_TICKS) ?? STEPS.at(-1);
  const ticks = Math.ceil((1 - lowest) / step - 1e-9) || 1;
  const low = 1 - ticks * step;
  // Numbers of photos double and double; on an axis of equal steps the first ones would be one dot.
  const [first, last] = [points[0][0], Math.max(...ends.map((one) => one[0]))].map((photos) => Math.log(photos));
  const left = (photos) => (last > first ? MARGIN + ((1 - 2 * MARGIN) * (Math.log(photos) - first)) / (last - first) : 0.5);
  const up = (share) => (share - low) / (1 - low || 1);
  const marks = [...points.map((point) => mark(point, left, up, "")), ...(fit ? [mark(fit.next, left, up, "forecast")] : [])];
  const area = h("div", { class: "growth-area", "aria-hidden": "true", vars: { "--ticks": ticks } }, lines(points, fit, left, up), marks);
  new ResizeObserver(() => thinLabels(marks)).observe(area);
  return section(
    title,
    null,
    h(
      "figure",
      { class: "growth", role: "img", "aria-label": `Accuracy by ${curve.x}; the table has the numbers` },
      h("div", { class: "growth-y", "aria-hidden": "true" }, Array.from({ length: ticks + 1 }, (_, tick) => yTick(low, tick / ticks))),
      area,
      h("figcaption", { "aria-hidden": "true" }, curve.x),
    ),
    fit ? h("p", { class: "note" }, h("span", { class: "key-dashed", "aria-hidden": "true" }), " dashed: fitted to the last points, and what more photos would bring if it goes on so") : null,
  );
}

function yTick(low, share) {
  return h("span", { vars: { "--up": share } }, percent(low + (1 - low) * share, 0));
}

function mark([photos, low, mean, high], left, up, kind) {
  return h(
    "span",
    { class: `point ${kind}`, vars: { "--left": left(photos), "--low": up(low), "--up": up(mean), "--high": up(high) }, title: `${photos} photos: ${percent(mean)} (${percent(low)} to ${percent(high)})` },
    h("i", { class: "stem" }),
    h("i", { class: "dot" }),
    h("b", {}, percent(mean)),
    h("span", {}, photos.toLocaleString("en")),
  );
}

// Leaves out the labels that would touch those of a later point: the last ones say most.
function thinLabels(marks) {
  for (const one of marks) one.classList.remove("spare");
  const sides = marks.map((one) => [...one.querySelectorAll("b, span")].map((label) => label.getBoundingClientRect()));
  let end = Infinity;
  for (const index of [...marks.keys()].reverse()) {
    const spare = Math.max(...sides[index].map(({ right }) => right)) + GAP > end;
    marks[index].classList.toggle("spare", spare);
    if (!spare) end = Math.min(...sides[index].map(({ left }) => left));
  }
}

function lines(points, fit, left, up) {
  const draw = (name, places) => s("polyline", { class: name, points: places.map(([photos, share]) => `${left(photos)},${1 - up(share)}`).join(" ") });
  return s(
    "svg",
    { viewBox: "0 0 1 1", preserveAspectRatio: "none" },
    draw("measured", points.map(([photos, , mean]) => [photos, mean])),
    fit ? draw("fitted", [...fit.points, [fit.next[0], fit.next[2]]]) : null,
  );
}
