// Pictures of photos: small ones, large ones, and galleries of them.

import { copyButton, h, openDialog } from "./dom.js";

// Relative to the page's <base>, so that --path_prefix and experiments keep working.
function address(kind, { run, index }) {
  return `${kind}?${new URLSearchParams({ run, index })}`;
}

export function picture({ run, index, alt }, className) {
  const image = h("img", {
    class: className,
    src: address("photo", { run, index }),
    alt,
    width: 160,
    height: 160,
    loading: "lazy",
    decoding: "async",
    onerror: () => image.replaceWith(h("span", { class: `missing ${className ?? ""}` }, "not available")),
  });
  return image;
}

// Items: { run, index, alt, name, path, caption, details() }; those without a picture have an index
// of null. `path` and `details` may be missing.
export function gallery(items) {
  const open = items.filter(({ index }) => index !== null);
  return h(
    "div",
    { class: "grid" },
    items.map((item) =>
      h(
        "figure",
        {},
        item.index === null
          ? h("span", { class: "missing" }, "no picture")
          : h("button", { type: "button", class: "why", onclick: () => openPhoto(open, open.indexOf(item)) }, picture(item)),
        h("figcaption", {}, item.caption, h("span", { class: "file", title: item.name }, item.name.split("/").pop())),
      ),
    ),
  );
}

function openPhoto(items, first) {
  let place = first;
  const body = h("div", { class: "photo" });
  const dialog = openDialog("", "evidence", body);
  const said = h("span", { role: "status" });
  const step = (by, sign, name) => h("button", { type: "button", class: "quiet", "aria-label": name, title: name, onclick: () => show(place + by) }, sign);
  const steps = [step(-1, "←", "Previous photo"), step(1, "→", "Next photo")];
  if (items.length > 1) dialog.querySelector(".head").after(h("p", { class: "steps" }, steps[0], said, steps[1]));
  function show(next) {
    place = (next + items.length) % items.length;
    const item = items[place];
    dialog.querySelector("h2").textContent = item.name;
    said.textContent = `${place + 1} of ${items.length}`;
    body.replaceChildren(large(item), pathLine(item), ...(item.details?.() ?? [h("p", { class: "note" }, item.alt)]));
    dialog.scrollTop = 0;
  }
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || items.length < 2 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(place + by);
  });
  show(first);
}

// The thumbnail is there at once, and stays where the photo itself is gone.
function large(item) {
  const image = h("img", { class: "large", src: address("photo", item), alt: item.alt });
  const note = h("figcaption", { class: "note" }, "The thumbnail, cropped as the network sees it.");
  const whole = new Image();
  whole.onload = () => {
    image.src = whole.src;
    note.textContent = `The whole photo, ${whole.naturalWidth} × ${whole.naturalHeight} px here.`;
  };
  whole.onerror = () => (note.textContent += " The photo itself is not on this machine any more, or was changed.");
  whole.src = address("original", item);
  return h("figure", { class: "large" }, image, note);
}

function pathLine({ name, path }) {
  const text = path ?? name;
  return h("p", { class: "path" }, h("code", {}, text), copyButton(text, path ? "Copy path" : "Copy name"));
}
