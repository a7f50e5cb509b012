// A list of any length, of which only what is in sight is in the document.

import { setVariables } from "./dom.js";

const AROUND = 2; // rows above and below that are made ahead

// `make(item)` makes an element and `fill(element, item, index, total)` shows the item in it; items have an `id`.
export function windowed(scroller, list, { layout, make, fill }) {
  let items = [];
  let ids = new Set();
  let shape = null;
  const elements = new Map();

  function measure() {
    shape = layout(list.clientWidth);
    setVariables(list, { height: `${Math.ceil(items.length / shape.columns) * shape.height}px` });
  }

  function draw() {
    const { columns, width, height } = shape;
    const top = scroller.scrollTop - list.offsetTop;
    const first = Math.max(0, Math.floor(top / height) - AROUND) * columns;
    // Where the list is out of sight nothing is loaded.
    const end = !scroller.clientHeight ? 0 : Math.min(items.length, (Math.ceil((top + scroller.clientHeight) / height) + AROUND) * columns);
    const wanted = new Set(items.slice(first, end).map((item) => item.id));
    // What has the focus stays, or the focus would be lost by scrolling.
    for (const [id, element] of elements) {
      if (wanted.has(id) || (ids.has(id) && element.contains(document.activeElement))) continue;
      element.remove();
      elements.delete(id);
    }
    let next = list.firstElementChild;
    for (let index = first; index < end; index += 1) {
      const item = items[index];
      const isNew = !elements.has(item.id);
      const element = elements.get(item.id) ?? make(item);
      if (isNew) elements.set(item.id, element);
      if (element === next) next = next.nextElementSibling;
      else list.insertBefore(element, next);
      const [x, y] = [(index % columns) * width, Math.floor(index / columns) * height];
      setVariables(element, { transform: `translate(${x}px, ${y}px)`, width: `${width}px`, height: `${height}px` });
      fill(element, item, index, items.length);
    }
  }

  scroller.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  new ResizeObserver(() => {
    measure();
    draw();
  }).observe(scroller);

  return {
    show(shown) {
      items = shown;
      ids = new Set(items.map((item) => item.id));
      measure();
      draw();
    },
    reveal(index) {
      if (!shape || index < 0) return;
      const top = list.offsetTop + Math.floor(index / shape.columns) * shape.height;
      const bottom = top + shape.height;
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      else if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = bottom - scroller.clientHeight;
      draw();
    },
    element: (id) => elements.get(id) ?? null,
    columns: () => shape?.columns ?? 1,
  };
}
