// The page of one training: its results, and what they come from.

import { auditSection } from "./audit.js";
import { h } from "./dom.js";
import { answersSection, headline, inputSection, notices } from "./facts.js";
import { matrixSection } from "./matrix.js";
import { classesSection, originSection, settingsSection, timeSection } from "./tables.js";

// The sections of a run, from top to bottom. All that are about one split follow `view.split`.
export function runPage(report, view) {
  const ofSplit = [["classes", classesSection]].map(([name, section]) => [section, h("div", { class: name })]);
  const drawSplit = () => {
    for (const [section, place] of ofSplit) place.replaceChildren(...[section(report, view)].filter(Boolean));
  };
  // First: it chooses another split where the one in view has no photos.
  const matrix = matrixSection(report, view, drawSplit);
  drawSplit();
  return [
    headline(report),
    notices(report),
    inputSection(report),
    matrix,
    ...ofSplit.map(([, place]) => place),
    auditSection(report),
    answersSection(report),
    h("div", { class: "columns" }, settingsSection(report, view), h("div", {}, timeSection(report), originSection(report))),
  ];
}
