// The page of `xferlearn review`: puts its parts together and keeps them up to date.

import { Answers } from "./answers.js";
import { makeChoices } from "./choices.js";
import { h, openDialog } from "./dom.js";
import { makeGrid } from "./grid.js";
import { listenToKeys, openKeys } from "./keys.js";
import { Model } from "./model.js";
import { makeNotices } from "./notices.js";
import { makeOne } from "./one.js";
import { forgetDetails } from "./pictures.js";
import { follow } from "./server.js";
import { makeSide } from "./side.js";
import { makeTop } from "./top.js";
import { capital, count } from "./words.js";

const place = (id) => document.getElementById(id);
const model = new Model();
const answers = new Answers(model);
const choices = makeChoices(model, answers, openClass);
const one = makeOne(model, choices, say);
const grid = makeGrid(model, choices);
const top = makeTop(model, answers, { openKeys: showKeys, toggleGrid, toggleFilters });
const side = makeSide(model);
const notices = makeNotices(model, place("notices"));
let learned = null; // what the heads were when the page last looked

function update() {
  notices.update();
  if (!model.state) return;
  if (!place("top").childElementCount) {
    place("top").append(...top.element);
    place("side").append(...side.element);
  }
  noticeFit();
  document.body.classList.toggle("grid", model.isGrid);
  top.update();
  const view = model.isGrid ? grid.element : model.current ? one.element : nothingLeft();
  if (place("main").firstElementChild !== view) {
    place("main").replaceChildren(view);
    if (document.activeElement === document.body) place("main").focus({ preventScroll: true });
  }
  choices.update();
  if (model.isGrid) grid.update();
  else if (model.current) one.update();
  side.update();
}

// After a fit the heads say something else of every photo.
function noticeFit() {
  const { accuracy, fit, items } = model.state;
  const now = JSON.stringify([accuracy, fit.busy]);
  if (learned !== null && now !== learned && !fit.busy) {
    forgetDetails();
    one.refresh();
    say(`${accuracy ? `${capital(accuracy.measure)} ${accuracy.text}. ` : ""}${count(items.filter((item) => model.isOpen(item)).length, "photo")} left.`);
  }
  learned = now;
}

function showKeys() {
  openKeys(model.state.multi_label);
}

function say(text) {
  place("said").textContent = text;
}

function toggleGrid() {
  model.isGrid = !model.isGrid;
  model.changed();
  if (model.isGrid) queueMicrotask(() => grid.focus());
}

// On a phone they are out of sight until they are asked for.
function toggleFilters() {
  document.body.classList.toggle("filtering");
  model.changed();
}

function focusFilters() {
  document.body.classList.add("filtering");
  side.focus();
  model.changed();
}

function nothingLeft() {
  const { state, filters } = model;
  const isAll = !filters.kind && !filters.label;
  const open = state.items.filter((item) => model.isOpen(item)).length;
  return h(
    "section",
    { class: "nothing" },
    h("h2", {}, open ? "No photo is left here" : "All photos are answered"),
    h("p", {}, open ? `${count(open, "photo")} still ${open === 1 ? "waits" : "wait"} under other filters.` : `${count(state.answered, "answer")} ${state.answered === 1 ? "is" : "are"} in ${state.corrections}.`),
    open && !isAll ? h("button", { type: "button", class: "primary", onclick: () => model.filter({ kind: "", label: "" }) }, "Show all that are left") : "",
    open ? "" : h("p", {}, "Train with them: ", h("code", {}, `xferlearn train … --corrections=${state.corrections}`)),
  );
}

function give(label, targets) {
  if (model.state.multi_label) model.turn(label, true, targets);
  else answers.relabel([label], targets);
}

function openClass() {
  const input = h("input", { type: "text", required: true, maxlength: 200, "aria-label": "Name of the class", autocomplete: "off" });
  // The answer is for these, wherever the person is when the class is there.
  const targets = model.targets;
  const add = (isGiven) => {
    const label = input.value.trim();
    if (!label) return input.focus();
    close();
    answers.addClass(label, isGiven ? () => give(label, targets) : null);
  };
  const form = h(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        add(targets.length > 0);
      },
    },
    h("p", {}, "Name of the class"),
    input,
    h(
      "div",
      { class: "tools" },
      targets.length
        ? h("button", { type: "submit", class: "primary" }, targets.length === 1 ? "Add, and give it to this photo" : `Add, and give it to these ${count(targets.length, "photo")}`)
        : null,
      h("button", { type: "button", class: "quiet", onclick: () => add(false) }, "Only add"),
    ),
  );
  const close = openDialog("Add a class", "class", form);
  input.focus();
}

// An answer on its way would be lost with the page.
window.addEventListener("beforeunload", (event) => model.sending.size && event.preventDefault());
listenToKeys(model, {
  choose: (label) => answers.choose(label),
  Enter: () => answers.propose(),
  " ": () => (model.isGrid ? grid.focus() : answers.keep()),
  k: () => answers.keep(),
  x: () => answers.exclude(),
  u: () => answers.undo(),
  r: () => answers.refit(),
  h: () => one.toggleHeat(),
  g: toggleGrid,
  f: focusFilters,
  ArrowLeft: () => (model.isGrid ? grid.focus() : model.back()),
  ArrowRight: () => (model.isGrid ? grid.focus() : model.forward()),
  "+": openClass,
  "/": () => choices.find(),
  "?": showKeys,
});
model.onChange(update);
follow(
  () => model.revision,
  (state) => {
    answers.begin(state);
    model.receive(state);
  },
  (error) => {
    const before = model.lost;
    // An answer that was lost stays in sight also when the server is back.
    if (!error && before) model.problem = before.unsaved.length ? { text: "The server is back.", unsaved: before.unsaved, retry: null } : null;
    if (Boolean(error) === Boolean(before)) return;
    model.lost = error ? { text: error.message, unsaved: [] } : null;
    model.changed();
  },
);
