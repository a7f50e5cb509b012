// Two runs, photo by photo: the change in accuracy, and the photos behind it.

import { h, scrolled, section } from "./dom.js";
import { count, NONE, percent } from "./numbers.js";
import { sortableTable } from "./tables.js";
import { gallery } from "./thumbnails.js";

const MOST_SHOWN = 24;
const KINDS = [
  ["lost", "lost: right before, wrong after"],
  ["gained", "gained: wrong before, right after"],
  ["wrong both times", "changed, wrong both times"],
];

export function changeSection(runs, view, fetchJson) {
  if (runs.length < 2) return null;
  // Names of runs begin with their time.
  const names = runs.map(({ run }) => run).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  if (!names.includes(view.before)) view.before = names.find((name) => name !== view.after);
  if (!names.includes(view.after) || view.after === view.before) view.after = names.findLast((name) => name !== view.before);
  const body = h("div", { class: "change", "aria-live": "polite" });
  const pick = (when, title) => {
    const choice = h(
      "select",
      {
        onchange: () => {
          view[when] = choice.value;
          load();
        },
      },
      names.map((name) => h("option", { value: name, selected: name === view[when] }, name)),
    );
    return h("label", { class: "pick" }, title, choice);
  };

  async function load() {
    const { before, after } = view;
    const address = `change?${new URLSearchParams({ before, after })}`;
    let content;
    if (before === after) content = note("Choose two runs.");
    else {
      try {
        content = shown(await fetchJson(address), view);
      } catch (error) {
        content = note(error.message);
      }
    }
    // Meanwhile another run may have been chosen.
    if (before === view.before && after === view.after) body.replaceChildren(...[content].flat().filter(Boolean));
  }
  body.replaceChildren(note("Loading …"));
  load();
  return section("Before and after", [pick("before", "Before"), pick("after", "After")], body);
}

function note(text) {
  return h("p", { class: "note" }, text);
}

function points(share) {
  const text = (share * 100).toFixed(1);
  return share > 0 ? `+${text}` : text.replace("-", "−");
}

function shown(change, view) {
  if (change.problem) return note(change.problem);
  const all = change.parts.at(-1);
  const [low, high] = all.interval_95;
  return [
    h(
      "p",
      { class: "headline" },
      h("b", {}, `${points(all.change)} points`),
      ` ${points(low)} to ${points(high)} (95% interval, paired by photo, N = ${all.n.toLocaleString("en")})`,
    ),
    change.notes.length ? h("ul", { class: "notices" }, change.notes.map((line) => h("li", {}, line))) : null,
    partsTable(change.parts),
    classTable(change.classes, view),
    ...KINDS.flatMap(([kind, text]) => photos(change.changed[kind], text)),
  ];
}

function partsTable(parts) {
  const cells = (part) => [
    part.n.toLocaleString("en"),
    percent(part.before.accuracy),
    percent(part.after.accuracy),
    points(part.change),
    part.interval_95.map(points).join(" to "),
  ];
  const heads = ["Photos", "N", "Before", "After", "Points", "95% interval"];
  return scrolled(
    "Accuracy before and after",
    h(
      "table",
      { class: "data", "aria-label": "Accuracy before and after" },
      h("thead", {}, h("tr", {}, heads.map((head, index) => h("th", { scope: "col", class: index ? "number" : null }, head)))),
      h(
        "tbody",
        {},
        parts.map((part) =>
          h("tr", {}, h("th", { scope: "row" }, part.name), cells(part).map((cell) => h("td", { class: "number" }, cell))),
        ),
      ),
    ),
  );
}

function classTable(classes, view) {
  const number = (title, value, text) => ({ title, number: true, value, cell: (row) => text(value(row)) });
  const change = ([, , before, after]) => after - before;
  const columns = [
    { title: "Class", value: ([label]) => label, cell: ([label]) => label },
    number("Photos", ([, n]) => n, (n) => n.toLocaleString("en")),
    number("Recall before", ([, , before]) => before, percent),
    number("After", ([, , , after]) => after, percent),
    number("Points", change, points),
  ];
  return sortableTable("Recall by class, before and after", columns, classes, view.changeSort);
}

function photos({ n, photos }, text) {
  const named = photos.filter(({ name }) => name !== null).slice(0, MOST_SHOWN);
  const left = n - named.length;
  return [
    h("h3", {}, `${count(n, "photo")} ${text}`),
    named.length ? gallery(named.map(item)) : null,
    left ? note(`${named.length ? count(left, "more photo") : count(left, "photo")} without a picture here; \`xferlearn diff\` lists all.`) : null,
  ].filter(Boolean);
}

function item({ truth, before, after, name, run, index }) {
  return {
    run,
    index,
    name,
    alt: `${name}: ${truth}, ${before} before, ${after} after`,
    caption: [
      h("span", {}, `${before} → ${after}`),
      [before, after].includes(truth) ? null : h("span", {}, `is ${truth || NONE}`),
    ],
  };
}
