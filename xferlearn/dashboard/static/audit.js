// What an audit has found in the photos of a run.

import { h, scrolled, section } from "./dom.js";
import { fileItem, photoItem } from "./evidence.js";
import { score } from "./numbers.js";
import { gallery } from "./thumbnails.js";

// Rounded to 100% it would promise too much.
const SUREST = 0.999;

// Runs without an audit, and those of earlier versions, have none.
export function auditSection(report) {
  const { audit } = report;
  if (!audit) return null;
  if (!audit.kinds.length && !audit.classes.length) return section("Audit", null, h("p", { class: "note" }, "Nothing is suspicious."));
  return section(
    "Audit",
    null,
    table(audit),
    audit.kinds.flatMap(([kind, number]) => photos(report, kind, number)),
    audit.classes.length ? h("ul", { class: "notices" }, audit.classes.map((line) => h("li", {}, line))) : null,
    h("p", { class: "note" }, "`xferlearn review` with these photos asks about one after the other; `xferlearn audit --page=FILE` shows more of them."),
  );
}

function table({ kinds }) {
  return scrolled(
    "Suspicious photos by kind",
    h(
      "table",
      { class: "data", "aria-label": "Suspicious photos by kind" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Suspicious photos"), h("th", { scope: "col", class: "number" }, "Found"))),
      h(
        "tbody",
        {},
        kinds.map(([kind, number]) =>
          h("tr", {}, h("th", { scope: "row" }, kind), h("td", { class: "number" }, number.toLocaleString("en"))),
        ),
      ),
    ),
  );
}

function photos(report, kind, number) {
  const { expected, findings } = report.audit;
  const shown = findings.filter((one) => one.kind === kind && one.picture !== null);
  // Only photos whose label is in doubt have another that fits better, and a sentence about it.
  const doubted = shown.some(({ proposed }) => proposed);
  if (!shown.length) return [];
  return [
    h("h3", {}, `${kind[0].toUpperCase()}${kind.slice(1)}`, shown.length < number ? `: the first ${shown.length} of ${number.toLocaleString("en")}` : ""),
    doubted && expected ? h("p", { class: "note" }, expected) : null,
    gallery(shown.map((one) => item(report, one))),
  ].filter(Boolean);
}

function item(report, { name, label, proposed, score: likely, text, picture: index }) {
  const said = proposed ? `${label} → ${proposed}` : label;
  return {
    ...(report.photos[index]?.name === name ? photoItem(report, index) : fileItem(report, index, name, `${name}: ${said}`)),
    caption: [
      h("span", {}, h("b", {}, said)),
      h("span", {}, proposed ? `${score(Math.min(likely, SUREST))} likely wrong` : text),
    ],
  };
}
