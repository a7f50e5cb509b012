// Elements are built from nodes, never from markup: names and labels may hold anything.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") setVariables(element, value);
    else if (name in PROPERTIES) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PROPERTIES = { checked: 1, value: 1, disabled: 1 };

// The style object is allowed where a style attribute would not be.
export function setVariables(element, variables) {
  for (const [name, value] of Object.entries(variables)) element.style.setProperty(name, value);
}

// What would turn or break the line shows as its number; the copy button still gives the name itself.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

export function visible(text) {
  return text.replace(UNSEEN, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// A path may break after its slashes.
export function breakable(text) {
  return visible(text)
    .split(/(?<=[/_])/)
    .flatMap((part) => [part, document.createElement("wbr")]);
}

export function button(text, key, onclick, attributes = {}) {
  return h("button", { type: "button", onclick, "aria-keyshortcuts": SHORTCUTS[key] ?? key, ...attributes }, h("span", {}, text), keycap(key));
}

const SHORTCUTS = { "←": "ArrowLeft", "→": "ArrowRight" };

export function keycap(key) {
  return key ? h("kbd", { "aria-hidden": "true" }, key) : null;
}

const NAME = "Copy name";

export function copyButton(text) {
  const copy = h("button", { type: "button", class: "quiet", onclick }, NAME);
  async function onclick() {
    const done = await navigator.clipboard.writeText(text()).then(
      () => "Copied",
      () => "Copy failed",
    );
    copy.textContent = done;
    setTimeout(() => (copy.textContent = NAME), 1600);
  }
  return copy;
}

// Gives the focus back when it closes.
export function openDialog(name, kind, ...children) {
  const back = document.activeElement;
  const close = () => dialog.close();
  const dialog = h(
    "dialog",
    {
      class: kind,
      "aria-label": visible(name),
      onclose: () => {
        dialog.remove();
        back?.focus();
      },
      onclick: (event) => event.target === dialog && close(),
    },
    h("header", {}, h("h2", {}, breakable(name)), h("button", { type: "button", class: "quiet close", "aria-label": "Close", onclick: close }, "✕")),
    children,
  );
  document.body.append(dialog);
  dialog.showModal();
  return close;
}

export function isDialogOpen() {
  return document.querySelector("dialog[open]") !== null;
}
