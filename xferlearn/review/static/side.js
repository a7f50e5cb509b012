// Filters, and the list of the photos in the order in which they are asked.

import { h, visible } from "./dom.js";
import { ANSWERED, OPEN } from "./model.js";
import { thumbnail } from "./pictures.js";
import { changeText, count } from "./words.js";
import { windowed } from "./windowed.js";

const ROW = 64;

export function makeSide(model) {
  const answered = select("Show", [[OPEN, "Not answered"], [ANSWERED, "Answered"], ["", "All"]], (value) => model.filter({ answered: value }));
  const kind = select("Kind", [], (value) => model.filter({ kind: value }));
  const label = select("Class", [], (value) => model.filter({ label: value }));
  const found = h("p", { class: "found faint" });
  const list = h("ol");
  const scroller = h("div", { class: "queue" }, list);
  const rows = windowed(scroller, list, {
    layout: (width) => ({ columns: 1, width, height: ROW }),
    make: (item) => makeRow(item, () => model.open(item.id)),
    fill: (row, item, index, total) => fillRow(row, item, index, total, model),
  });
  let current = null;

  function update() {
    const { state } = model;
    const kinds = tally(state.items.map((item) => [item.kind]));
    const labels = tally(state.items.map((item) => [...(item.labels ?? []), ...(item.proposed ?? [])]));
    const known = model.filters.kind && !state.kinds.includes(model.filters.kind) ? [...state.kinds, model.filters.kind] : state.kinds;
    offer(kind, [["", "All kinds"], ...known.map((name) => [name, `${name} (${kinds.get(name) ?? 0})`])], model.filters.kind);
    offer(label, [["", "All classes"], ...state.labels.map((name) => [name, `${visible(name)} (${labels.get(name) ?? 0})`])], model.filters.label);
    answered.value = model.filters.answered;
    const shown = model.shown();
    found.textContent = count(shown.length, "photo");
    rows.show(shown);
    if (model.current?.id !== current) {
      current = model.current?.id;
      // With some of those that come next.
      const at = shown.indexOf(model.current);
      if (at >= 0) rows.reveal(Math.min(at + 3, shown.length - 1));
      rows.reveal(at);
    }
  }
  const element = [h("div", { class: "filters", role: "group", "aria-label": "Filter" }, labelled(answered), labelled(kind), labelled(label), found), scroller];
  return { element, update, focus: () => kind.focus() };
}

// How many items each value has; what one item has twice counts once.
function tally(values) {
  const counts = new Map();
  for (const value of values.flatMap((own) => [...new Set(own)])) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

function select(name, options, onChange) {
  const element = h("select", { "aria-label": name, onchange: () => onChange(element.value) });
  offer(element, options, null);
  return element;
}

function labelled(element) {
  return h("label", {}, h("span", { "aria-hidden": "true" }, element.getAttribute("aria-label")), element);
}

// Only what is new is made anew: an open list of choices would close.
function offer(element, options, current) {
  const wanted = JSON.stringify(options);
  if (element.dataset.options !== wanted) {
    element.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
    element.dataset.options = wanted;
  }
  if (current !== null) element.value = current;
}

function makeRow(item, onclick) {
  return h(
    "li",
    {},
    h("button", { type: "button", onclick }, thumbnail(item.id, "", 128), h("span", { class: "text" }, h("span", { class: "labels" }), h("span", { class: "kind faint" }))),
  );
}

function fillRow(row, item, index, total, model) {
  const answer = model.answerOf(item);
  const [labels, kind] = row.querySelector(".text").children;
  row.setAttribute("aria-setsize", total);
  row.setAttribute("aria-posinset", index + 1);
  row.classList.toggle("answered", answer !== null);
  row.classList.toggle("sending", model.sending.has(item.id));
  const button = row.firstElementChild;
  if (item === model.current) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
  button.title = visible(item.name);
  labels.textContent = visible(changeText(item, answer, model.editedOf(item)));
  kind.textContent = answer ? (model.sending.has(item.id) ? "being saved …" : "✓ answered") : item.kind;
}
