// What the keys do, and the table that says so.

import { CLASS_KEYS } from "./choices.js";
import { h, isDialogOpen, openDialog } from "./dom.js";

const SWITCH = "xferlearn.review.keys";

export function listenToKeys(model, commands) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !model.state || isDialogOpen()) return;
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest("input, select, textarea")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    // On a button these press the button.
    if ((event.key === " " || event.key === "Enter") && target?.closest("button, a")) return;
    if (event.repeat && !event.key.startsWith("Arrow")) return;
    const command = isOn() || event.key === "?" || event.key.length > 1 ? commandFor(event.key, model, commands) : null;
    if (!command) return;
    event.preventDefault();
    command();
  });
  // After a click the keys are for the photo again, not for the button that was clicked.
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (event.detail > 0 && button && !isDialogOpen()) document.querySelector("main").focus({ preventScroll: true });
  });
}

function commandFor(key, model, commands) {
  const lower = key.length === 1 ? key.toLowerCase() : key;
  if (Object.hasOwn(commands, lower)) return commands[lower];
  const label = model.state.labels[CLASS_KEYS.indexOf(lower)];
  return label === undefined ? null : () => commands.choose(label);
}

function isOn() {
  try {
    return localStorage.getItem(SWITCH) !== "off";
  } catch {
    return true;
  }
}

function turn(on) {
  try {
    localStorage.setItem(SWITCH, on ? "on" : "off");
  } catch {
    // Where nothing may be stored the keys stay on.
  }
}

const ROWS = [
  ["Space, or k", "keep the label that it has"],
  ["x", "exclude it: no model learns from it"],
  ["u", "undo the last answer"],
  ["r", "retrain the heads now"],
  ["← →", "back, next"],
  ["h", "heat map: where the head looks"],
  ["g", "grid: many photos at once"],
  ["f", "filter"],
  ["+", "add a class"],
  ["/", "find a class; Enter takes the first"],
  ["?", "these keys"],
];
const ANSWERS = [
  ["1 to 9, then letters", "give the photo this class"],
  ["Enter", "take the proposed label"],
];
const ANSWERS_OF_SETS = [
  ["1 to 9, then letters", "turn this label on or off: a photo may have several, or none"],
  ["Enter", "confirm the labels that are on"],
];
const GRID_ROWS = [
  ["arrows", "move; with Shift select"],
  ["Space", "select, or not"],
  ["Ctrl + a, Escape", "select all, none"],
  ["Enter", "take the proposals of the selected; with none selected show the photo large"],
];

export function openKeys(isMultiLabel) {
  openDialog(
    "Keys",
    "keys",
    table("Everywhere", [...(isMultiLabel ? ANSWERS_OF_SETS : ANSWERS), ...ROWS]),
    table("In the grid", GRID_ROWS),
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: isOn(), onchange: (event) => turn(event.target.checked) }), " Single letters and digits are keys. Turn this off if you dictate."),
  );
}

function table(caption, rows) {
  return h(
    "table",
    {},
    h("caption", {}, caption),
    h("tbody", {}, rows.map(([keys, text]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, keys)), h("td", {}, text)))),
  );
}
