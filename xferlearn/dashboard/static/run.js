// The page of one training: its results, and what they come from.

import { auditSection } from "./audit.js";
import { calibrationSection, courseSection } from "./curves.js";
import { h } from "./dom.js";
import { answersSection, headline, inputSection, notices } from "./facts.js";
import { matrixSection } from "./matrix.js";
import { wallSection } from "./photos.js";
import { classesSection, originSection, settingsSection, timeSection } from "./tables.js";
import { thresholdSection } from "./threshold.js";

// Sections that are about the photos of one split, which the confusion matrix chooses.
const OF_SPLIT = [
  ["wall", wallSection],
  ["thresholds", thresholdSection],
  ["calibration", calibrationSection],
  ["classes", classesSection],
];

// The sections of a run, from top to bottom.
export function runPage(report, view, fetchJson) {
  const places = new Map(OF_SPLIT.map(([name, section]) => [section, h("div", { class: name })]));
  const drawSplit = () => {
    for (const [section, place] of places) place.replaceChildren(...[section(report, view)].filter(Boolean));
  };
  // First: it chooses another split where the one in view has no photos.
  const matrix = matrixSection(report, view, drawSplit);
  drawSplit();
  return [
    headline(report),
    notices(report),
    inputSection(report),
    matrix,
    places.get(wallSection),
    places.get(thresholdSection),
    h("div", { class: "curves" }, places.get(calibrationSection), courseSection(report, fetchJson)),
    places.get(classesSection),
    auditSection(report),
    answersSection(report),
    h("div", { class: "columns" }, settingsSection(report), h("div", {}, timeSection(report), originSection(report))),
  ];
}
