// One photo, large, with what speaks for and against its label.

import { breakable, button, copyButton, h, openDialog, visible } from "./dom.js";
import { detailOf, heatMap, largePhoto, loadAhead, picture, thumbnail } from "./pictures.js";
import { photoAddress } from "./server.js";
import { answerText, areSame, labelText, percent, sizeOf } from "./words.js";

const AHEAD = 3;

export function makeOne(model, choices, say) {
  const frame = h("button", { type: "button", class: "frame", title: "Enlarge", onclick: () => enlarge(model.current) });
  const name = h("p", { class: "name" });
  const size = h("p", { class: "size faint" });
  const heat = button("Heat map", "h", () => toggleHeat(), { class: "quiet heat-switch" });
  const why = h("div", { class: "why" });
  const evidence = h("div", { class: "evidence" });
  const photo = h(
    "section",
    { class: "stage", "aria-label": "Photo" },
    frame,
    h(
      "div",
      { class: "caption" },
      h("div", { class: "file" }, name, size),
      h("div", { class: "tools" }, copyButton(() => model.current.name), heat, button("Back", "←", () => model.back(), { class: "quiet" }), button("Next", "→", () => model.forward(), { class: "quiet" })),
    ),
  );
  const panel = h("div", { class: "panel" }, why);
  const element = h("div", { class: "one" }, photo, panel);
  let shown = null;
  let detail = null;

  function toggleHeat() {
    model.showsHeat = !model.showsHeat;
    model.changed();
  }

  function update() {
    const item = model.current;
    if (choices.element.parentElement !== panel) panel.append(choices.element, evidence);
    if (item.id !== shown) show(item);
    fillWhy(why, item, model);
    heat.setAttribute("aria-pressed", String(model.showsHeat));
    heat.disabled = detail !== null && !detail.heat;
    const map = model.showsHeat && detail?.heat ? heatMap(item.id) : null;
    for (const old of frame.querySelectorAll(".heat")) if (old !== map) old.remove();
    if (map && map.parentElement !== frame) frame.append(map);
  }

  function show(item) {
    const isNew = item.id !== shown;
    shown = item.id;
    if (isNew) {
      detail = null;
      frame.replaceChildren(largePhoto(item));
      name.replaceChildren(h("bdi", {}, breakable(item.name)));
      size.textContent = "";
      evidence.replaceChildren();
      choices.show(null);
      say(spoken(item));
      element.closest("main")?.scrollTo(0, 0);
    }
    detailOf(item.id).then(
      (known) => shown === item.id && fill(item, known),
      (error) => shown === item.id && evidence.replaceChildren(h("p", { class: "faint" }, error.message)),
    );
    const list = model.shown();
    const at = list.indexOf(item);
    loadAhead(list.slice(at + 1, at + 1 + AHEAD));
  }

  function fill(item, known) {
    detail = known;
    size.textContent = sizeOf(known);
    choices.show(known.probabilities);
    evidence.replaceChildren(...parts(item, known));
    model.changed();
  }

  return {
    element,
    update,
    toggleHeat,
    // The heads have learned: what they say of the same photo is another thing.
    refresh() {
      if (shown && model.current?.id === shown) show(model.current);
    },
  };
}

function spoken(item) {
  const label = item.labels === null ? "without a label" : `labelled ${visible(labelText(item.labels))}`;
  const proposed = item.proposed ? ` Proposed: ${visible(labelText(item.proposed))}.` : "";
  return `${visible(item.name)}, ${label}.${proposed} ${item.kind}: ${visible(item.text)}`;
}

function fillWhy(place, item, model) {
  const answer = model.answerOf(item);
  const isSending = model.sending.has(item.id);
  place.replaceChildren(
    h(
      "p",
      { class: "labels" },
      h("b", {}, visible(labelText(item.labels))),
      item.proposed && !areSame(item.proposed, item.labels)
        ? [
            h("span", { class: "faint", "aria-hidden": "true" }, " → "),
            h("span", { class: "hidden" }, ", proposed: "),
            h("b", {}, visible(labelText(item.proposed))),
          ]
        : null,
    ),
    h("p", { class: "text" }, h("b", {}, item.kind), item.text ? `: ${visible(item.text)}` : null),
    answer ? h("p", { class: isSending ? "answer sending" : "answer" }, isSending ? "… " : "✓ ", h("b", {}, visible(answerText(answer))), isSending ? " is being saved" : ", saved") : "",
  );
}

function parts(item, detail) {
  const labels = (near) => (areSame(near, item.proposed) ? "proposed" : areSame(near, item.labels) ? "same" : "");
  return [
    detail.twins.length ? strip("Twins", detail.twins, labels, () => "") : "",
    detail.nearest.length ? strip("Nearest photos", detail.nearest, labels, (near) => percent(near.similarity, 0)) : "",
    detail.familiarity === null ? "" : h("p", { class: "note" }, familiarity(detail.familiarity)),
    ...detail.notes.map((note) => h("p", { class: "note" }, visible(note))),
  ];
}

function familiarity(share) {
  const [word, part] = share < 0.5 ? ["less", 1 - share] : ["more", share];
  return `Familiarity: ${word} typical than ${percent(part, 0)} of your own photos.`;
}

function strip(title, photos, labels, extra) {
  return h(
    "section",
    { "aria-label": title },
    h("h2", {}, title),
    h(
      "ul",
      { class: "strip" },
      photos.map((photo) =>
        h(
          "li",
          {},
          h(
            "button",
            { type: "button", title: visible(photo.name), onclick: () => enlarge(photo) },
            thumbnail(photo.id, "", 256),
            h("span", { class: `label ${labels(photo.labels)}` }, visible(labelText(photo.labels))),
            h("span", { class: "faint" }, extra(photo)),
          ),
        ),
      ),
    ),
  );
}

function enlarge(photo) {
  if (!photo) return;
  openDialog(photo.name, "large", h("p", { class: "faint" }, visible(labelText(photo.labels))), picture(photoAddress(photo.id, 2048), visible(photo.name)));
}
