// What can be answered: buttons for each class, with its probability, and for everything else.

import { button, h, setVariables, visible } from "./dom.js";
import { areSame, count, labelText, percent } from "./words.js";

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
      { type: "button", onclick: () => answers.choose(label), "aria-keyshortcuts": key },
      h("kbd", { "aria-hidden": "true" }, key ?? ""),
      h("span", { class: "label" }, visible(label)),
      h("span", { class: "tag" }),
      h("span", { class: "share" }),
    );
    return element;
  }

  function update() {
    const { labels, multi_label: isMulti } = model.state;
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
    for (const label of labels) (isMulti ? fillLabel : fillClass)(buttons.get(label), label, one, shares, model);
    if (isMulti) {
      name(take, one ? `Confirm ${visible(labelText([...model.draftOf(one)].sort()))}` : "Confirm labels");
      take.disabled = !targets.length;
    } else {
      const proposed = new Set(targets.filter((item) => item.proposed !== null).map((item) => labelText(item.proposed)));
      name(take, proposed.size === 1 ? `Take ${visible([...proposed][0])}` : "Take proposals");
      take.hidden = isOne && !proposed.size;
      take.disabled = !proposed.size;
    }
    name(keep, one ? `Keep ${visible(labelText(one.labels))}` : "Keep labels");
    keep.querySelector("kbd").textContent = model.isGrid ? "k" : "Space";
    keep.hidden = one?.labels === null;
    keep.disabled = !targets.some((item) => item.labels !== null);
    for (const element of [exclude, ...buttons.values()]) element.disabled = !targets.length;
    const several = isMulti ? "A photo may have several labels, or none: turn each on or off, then confirm." : "";
    hint.textContent = model.isGrid ? (targets.length ? `One answer for ${count(targets.length, "photo")}. ${several}` : "Select photos to answer for them at once") : several;
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
  const chosen = answer && (answer.action === "keep" ? one.labels : answer.labels);
  const tags = one ? [areSame([label], one.labels) && "now", areSame([label], one.proposed) && "proposed"].filter(Boolean) : [];
  const isChosen = Boolean(answer) && answer.action !== "exclude" && areSame([label], chosen);
  element.querySelector(".tag").textContent = isChosen ? "✓ your answer" : tags.join(", ");
  element.querySelector(".share").textContent = share === undefined ? "" : percent(share);
  element.classList.toggle("proposed", tags.includes("proposed"));
  element.classList.toggle("chosen", isChosen);
  setVariables(element, { "--share": share ?? 0 });
}


// Where photos may have several labels: whether the next answer gives it, and what that changes.
function fillLabel(element, label, one, shares, model) {
  const share = shares.get(label);
  const targets = model.targets;
  const having = targets.filter((item) => model.draftOf(item).has(label)).length;
  const isOn = having > 0 && having === targets.length;
  const had = one?.labels?.includes(label) ?? false;
  const changed = isOn ? "added" : "removed";
  const some = having && !isOn ? `${having} of ${targets.length}` : "";
  element.querySelector(".tag").textContent = !one ? some : isOn === had ? (isOn ? "✓" : "") : one.labels === null ? "✓" : changed;
  element.querySelector(".share").textContent = share === undefined ? "" : percent(share);
  element.setAttribute("aria-pressed", isOn || !having ? String(isOn) : "mixed");
  element.classList.toggle("chosen", isOn);
  element.classList.toggle("proposed", one !== null && one.labels !== null && isOn !== had);
  setVariables(element, { "--share": share ?? 0 });
}
