// What can be answered: buttons for each class, with its probability, and for everything else.

import { button, h, setVariables, visible } from "./dom.js";
import { count, percent } from "./words.js";

// The letters that are left over by the commands.
export const CLASS_KEYS = [..."123456789abcdeijlmnopqstvwyz"];
// More than these are sorted by probability, and can be searched.
const MANY = 12;

export function makeChoices(model, answers, addClass) {
  const take = button("", "Enter", () => answers.propose(), { class: "primary" });
  const keep = button("", "Space", () => answers.keep());
  const exclude = button("Exclude", "x", () => answers.exclude());
  const undo = button("Undo", "u", () => answers.undo());
  const search = h("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class", oninput: update, onkeydown: takeFirst });
  const classes = h("div", { class: "classes", role: "group", "aria-label": "Classes" });
  const buttons = new Map();
  let probabilities = null;

  function takeFirst(event) {
    const [first] = classes.children;
    if (event.key !== "Enter" || !first || !search.value) return;
    event.preventDefault();
    search.blur();
    search.value = "";
    first.click();
  }

  function classButton(label, index) {
    const key = CLASS_KEYS[index];
    const element = h(
      "button",
      { type: "button", onclick: () => answers.relabel(label), "aria-keyshortcuts": key },
      h("kbd", { "aria-hidden": "true" }, key ?? ""),
      h("span", { class: "label" }, visible(label)),
      h("span", { class: "tag" }),
      h("span", { class: "share" }),
    );
    return element;
  }

  function update() {
    const { labels } = model.state;
    const targets = model.targets;
    const one = targets.length === 1 ? targets[0] : null;
    const isOne = !model.isGrid;
    labels.forEach((label, index) => buttons.has(label) || buttons.set(label, classButton(label, index)));
    const shares = new Map((isOne && probabilities) || []);
    const isMany = labels.length > MANY;
    search.hidden = !isMany;
    const found = labels.filter((label) => label.toLowerCase().includes(isMany ? search.value.toLowerCase() : ""));
    if (isMany && shares.size) found.sort((a, b) => (shares.get(b) ?? 0) - (shares.get(a) ?? 0));
    const wanted = found.map((label) => buttons.get(label));
    if (wanted.length !== classes.children.length || wanted.some((element, at) => classes.children[at] !== element)) classes.replaceChildren(...wanted);
    for (const label of labels) fillClass(buttons.get(label), label, one, shares, model);
    const proposed = new Set(targets.map((item) => item.proposed).filter((label) => label !== ""));
    name(take, proposed.size === 1 ? `Take ${visible([...proposed][0])}` : "Take proposals");
    take.hidden = isOne && !proposed.size;
    take.disabled = !proposed.size;
    name(keep, one ? `Keep ${visible(one.label)}` : "Keep labels");
    keep.querySelector("kbd").textContent = model.isGrid ? "k" : "Space";
    keep.hidden = one?.label === "";
    keep.disabled = !targets.some((item) => item.label !== "");
    for (const element of [exclude, ...buttons.values()]) element.disabled = !targets.length;
    hint.textContent = model.isGrid ? (targets.length ? `One answer for ${count(targets.length, "photo")}` : "Select photos to answer for them at once") : "";
  }

  const hint = h("p", { class: "hint" });
  const element = h(
    "section",
    { class: "choices", "aria-label": "Answer" },
    hint,
    h("div", { class: "actions" }, take, keep, exclude, undo),
    search,
    classes,
    button("Add a class", "+", addClass, { class: "quiet add" }),
  );
  return {
    element,
    update,
    find: () => search.hidden || search.focus(),
    show(known) {
      probabilities = known;
      update();
    },
  };
}

function name(element, text) {
  element.firstElementChild.textContent = text;
  element.title = text;
}

function fillClass(element, label, one, shares, model) {
  const share = shares.get(label);
  const answer = one ? model.answerOf(one) : null;
  const chosen = answer && (answer.action === "keep" ? one.label : answer.label);
  const tags = one ? [label === one.label && "now", label === one.proposed && "proposed"].filter(Boolean) : [];
  const isChosen = Boolean(answer) && answer.action !== "exclude" && chosen === label;
  element.querySelector(".tag").textContent = isChosen ? "✓ your answer" : tags.join(", ");
  element.querySelector(".share").textContent = share === undefined ? "" : percent(share);
  element.classList.toggle("proposed", tags.includes("proposed"));
  element.classList.toggle("chosen", isChosen);
  setVariables(element, { "--share": share ?? 0 });
}

