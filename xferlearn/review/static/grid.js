// Many photos at once: select with click, shift-click, drag, long press or keys, and give one answer for all.

import { h, visible } from "./dom.js";
import { thumbnail } from "./pictures.js";
import { changeText } from "./words.js";
import { windowed } from "./windowed.js";

const SMALLEST = 150;
const CAPTION = 44;
const LONG_PRESS = 450; // milliseconds
const SLACK = 8; // pixels that a finger may move in a long press
const EDGE = 48; // pixels from the edge, where dragging scrolls

export function makeGrid(model, choices) {
  const list = h("div", { class: "cells", role: "listbox", "aria-multiselectable": "true", "aria-label": "Photos" });
  const scroller = h("div", { class: "scroller" }, list);
  const all = h("button", { type: "button", class: "quiet", onclick: () => select(model.shown()) }, "Select all shown");
  const none = h("button", { type: "button", class: "quiet", onclick: () => select([]) }, "None");
  const said = h("span", { class: "faint", role: "status" });
  const empty = h("p", { class: "empty" }, "No photo is left here. Change the filter to see others.");
  const panel = h("div", { class: "panel" });
  const element = h("div", { class: "many" }, h("section", { class: "sheet", "aria-label": "Photos" }, h("div", { class: "tools" }, said, all, none), scroller, empty), panel);
  const cells = windowed(scroller, list, {
    layout(width) {
      const columns = Math.max(2, Math.floor(width / SMALLEST));
      return { columns, width: width / columns, height: Math.round((width / columns) * 0.8) + CAPTION };
    },
    make: makeCell,
    fill: fillCell,
  });
  let focused = null; // the photo that keys act on
  let focusedAt = 0;
  let anchor = null; // where a range starts
  let drag = null;

  function update() {
    if (choices.element.parentElement !== panel) panel.append(choices.element);
    const shown = model.shown();
    const at = shown.findIndex((item) => item.id === focused);
    // Where an answered photo has left the grid, the keys go on with the one that is there now.
    if (at < 0) focused = shown[Math.min(focusedAt, shown.length - 1)]?.id ?? null;
    else focusedAt = at;
    const hadFocus = list.contains(document.activeElement);
    said.textContent = `${model.selected.size.toLocaleString("en")} of ${shown.length.toLocaleString("en")} selected`;
    // Nothing may move below a finger that still selects.
    if (!drag) element.classList.toggle("selecting", model.selected.size > 0);
    none.disabled = !model.selected.size;
    all.disabled = !shown.length;
    empty.hidden = shown.length > 0;
    cells.show(shown);
    if (hadFocus && focused && !list.contains(document.activeElement)) reach(focused);
  }

  function select(items) {
    model.selected = new Set(items.map((item) => item.id));
    model.changed();
  }

  function toggle(id) {
    if (!model.selected.delete(id)) model.selected.add(id);
    anchor = focused = id;
    model.changed();
  }

  function range(from, to, base = new Set()) {
    const shown = model.shown();
    const [a, b] = [from, to].map((id) => shown.findIndex((item) => item.id === id)).sort((x, y) => x - y);
    if (a >= 0) model.selected = new Set([...base, ...shown.slice(a, b + 1).map((item) => item.id)]);
    focused = to;
    model.changed();
  }

  function makeCell(item) {
    return h(
      "div",
      { class: "cell", role: "option", "data-id": item.id },
      h("div", { class: "picture" }, thumbnail(item.id, "", 320), h("span", { class: "mark", "aria-hidden": "true" }, "✓")),
      h("span", { class: "labels" }),
      h("span", { class: "kind faint" }),
      // For the mouse alone: an option holds no button, and Enter does the same.
      h("span", { class: "open", "aria-hidden": "true", title: "Show it large", onclick: () => model.open(item.id) }, "⤢"),
    );
  }

  function fillCell(cell, item, index, total) {
    const answer = model.answerOf(item);
    const isSelected = model.selected.has(item.id);
    const labels = visible(changeText(item, answer, model.editedOf(item)));
    cell.querySelector(".labels").textContent = labels;
    cell.querySelector(".kind").textContent = answer ? (model.sending.has(item.id) ? "being saved …" : "✓ answered") : item.kind;
    cell.setAttribute("aria-selected", String(isSelected));
    cell.setAttribute("aria-label", `${labels}, ${answer ? "answered" : item.kind}, ${visible(item.name)}`);
    cell.setAttribute("aria-setsize", total);
    cell.setAttribute("aria-posinset", index + 1);
    cell.title = visible(item.name);
    cell.tabIndex = item.id === focused ? 0 : -1;
  }

  const cellAt = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest?.(".cell") ?? null;

  list.addEventListener("pointerdown", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell || event.button !== 0 || event.target.closest(".open")) return;
    const start = { id: cell.dataset.id, x: event.clientX, y: event.clientY, base: new Set(model.selected), isOn: false, isTouch: event.pointerType !== "mouse" };
    drag = start;
    if (start.isTouch) start.timer = setTimeout(() => begin(start), LONG_PRESS);
  });

  function begin(start) {
    if (drag !== start) return;
    start.isOn = true;
    anchor = start.id;
    range(start.id, start.id, start.base);
  }

  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const isFar = Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > SLACK;
    if (!drag.isOn && isFar) {
      if (drag.isTouch) return end(); // a finger that moves at once scrolls
      begin(drag);
    }
    if (!drag.isOn) return;
    const { top, bottom } = scroller.getBoundingClientRect();
    if (event.clientY < top + EDGE) scroller.scrollTop -= EDGE / 2;
    if (event.clientY > bottom - EDGE) scroller.scrollTop += EDGE / 2;
    const cell = cellAt(event);
    if (cell && cell.dataset.id !== focused) range(drag.id, cell.dataset.id, drag.base);
  });

  function end() {
    if (!drag) return;
    clearTimeout(drag.timer);
    drag = null;
    model.changed();
  }

  document.addEventListener("pointercancel", end);
  document.addEventListener("pointerup", (event) => {
    const was = drag;
    end();
    if (!was || was.isOn || cellAt(event)?.dataset.id !== was.id) return;
    if (event.shiftKey && anchor) range(anchor, was.id, model.selected);
    else toggle(was.id);
    cells.element(was.id)?.focus({ preventScroll: true });
  });
  // A long press that goes on to drag must neither scroll nor open the browser's menu.
  list.addEventListener("touchmove", (event) => drag?.isOn && event.preventDefault(), { passive: false });
  list.addEventListener("contextmenu", (event) => drag?.isTouch && event.preventDefault());

  list.addEventListener("keydown", (event) => {
    if (event.altKey) return;
    const shown = model.shown();
    const at = shown.findIndex((item) => item.id === focused);
    const columns = cells.columns();
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: shown.length - 1 - at, PageUp: -3 * columns, PageDown: 3 * columns };
    if (event.key in steps) {
      const to = shown[Math.min(Math.max(at + steps[event.key], 0), shown.length - 1)].id;
      if (event.shiftKey) range((anchor ??= focused), to);
      else anchor = focused = to;
      model.changed();
      reach(to);
    } else if (event.key === " ") toggle(focused);
    else if (event.key === "Enter" && !model.selected.size) model.open(focused);
    else if (event.key === "Escape") select([]);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) select(shown);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function reach(id) {
    cells.reveal(model.shown().findIndex((item) => item.id === id));
    cells.element(id)?.focus({ preventScroll: true });
  }

  return { element, update, focus: () => focused && reach(focused) };
}
