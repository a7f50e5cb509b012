// Elements are built from nodes, never from markup: labels are folder names of any origin.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") setVariables(element, value);
    else if (name in PROPERTIES) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

const PROPERTIES = { checked: 1, value: 1, tabIndex: 1 };

// The style object is allowed where a style attribute would not be.
function setVariables(element, variables) {
  for (const [name, value] of Object.entries(variables)) element.style.setProperty(name, value);
}

// Names of runs and layers are long words; they may break after "_" and "/".
export function breakable(text) {
  return text.split(/(?<=[_/])/).flatMap((part) => [part, document.createElement("wbr")]);
}

// Of this page's own elements, so that no address stands here.
const SVG = new DOMParser().parseFromString("<svg/>", "text/html").querySelector("svg").namespaceURI;

let lastId = 0;

export function uniqueId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

// A choice among few options: radio buttons, so that the arrow keys work as everywhere.
export function segmented(label, options, current, onChange) {
  const name = uniqueId("choice");
  return h(
    "fieldset",
    { class: "segmented" },
    h("legend", { class: "hidden" }, label),
    options.map(([value, text]) =>
      h(
        "label",
        {},
        h("input", {
          type: "radio",
          name,
          value,
          checked: value === current,
          onchange: () => onChange(value),
        }),
        h("span", {}, text),
      ),
    ),
  );
}

export function copyButton(text, label = "Copy") {
  const button = h("button", { type: "button", class: "quiet", onclick: copy }, label);
  async function copy() {
    const done = (await copied(text)) ? "Copied" : "Copy failed: select the text";
    button.textContent = done;
    setTimeout(() => (button.textContent = label), 1600);
  }
  return button;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Only https and localhost have a clipboard; on other hosts this older way works.
    const area = h("textarea", { class: "hidden", value: text, "aria-hidden": "true" });
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return done;
  }
}

export function section(title, tools, ...children) {
  const id = uniqueId("section");
  return h(
    "section",
    { class: "card", "aria-labelledby": id },
    h("header", {}, h("h2", { id }, title), h("div", { class: "tools" }, tools)),
    children,
  );
}

// What may be wider or higher than its place; the keyboard scrolls it too.
export function scrolled(name, ...children) {
  return h("div", { class: "scroll", tabIndex: 0, role: "group", "aria-label": name }, children);
}

// A dialog may open another one on top of it; each gives the focus back.
export function openDialog(name, kind, ...children) {
  const back = document.activeElement;
  const title = h("h2", { id: uniqueId("dialog") }, name);
  const dialog = h(
    "dialog",
    { class: kind, "aria-labelledby": title.id, onclose: close, onclick: closeOutside },
    h("div", { class: "head" }, title, h("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() }, "✕")),
    children,
  );
  function close() {
    dialog.remove();
    back?.focus();
  }
  function closeOutside(event) {
    if (event.target === dialog) dialog.close();
  }
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// SVG elements have a namespace of their own.
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}
