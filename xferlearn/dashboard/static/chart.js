// Charts of lines: values by mouse, by finger and by the arrow keys, and all of them as a table.

import { h, s, scrolled, uniqueId } from "./dom.js";

const [WIDTH, HEIGHT] = [380, 250];
const [LEFT, RIGHT, TOP, BOTTOM] = [66, 20, 12, 40];
const ABOUT_TICKS = 5;

// Lines differ by dashes and markers too, not by colour alone.
const MARKERS = ["circle", "square", "diamond"];

// Axes: { title, domain: [low, high], format(value), tick(value) }, of which `tick` is the shorter
// text; the domain grows to the next round numbers. Series: { name, points: [[x, y]],
// diagonal }, of which `diagonal` is a line to compare with. Returns the element, and `mark`, which
// moves named marks to points.
export function lineChart({ title, x: xGiven, y: yGiven, series, describe, marks = [] }) {
  const [x, y] = [rounded(xGiven), rounded(yGiven)];
  const place = ([px, py]) => [scale(px, x.domain, LEFT, WIDTH - RIGHT), scale(py, y.domain, HEIGHT - BOTTOM, TOP)];
  const cross = s("line", { class: "cross", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const dots = s("g", { class: "dots" });
  const marked = new Map(marks.map((name, index) => [name, s("g", { class: `mark mark-${index}` })]));
  const drawing = s(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", focusable: "false" },
    axis(x, true),
    axis(y, false),
    series.map((one, index) => s("path", { class: `line ${one.diagonal ? "line-diagonal" : `line-${index}`}`, d: path(one.points.map(place)) })),
    series.map((one, index) => (one.markers ? one.points.map((point) => marker(MARKERS[index], place(point), `dot-${index}`)) : null)),
    cross,
    dots,
    [...marked.values()],
  );
  const status = h("p", { class: "status", role: "status", id: uniqueId("chart") }, HINT);
  const main = series.filter(({ diagonal }) => !diagonal);
  const steps = [...new Set(main.flatMap(({ points }) => points.map(([px]) => px)))].sort((a, b) => a - b);
  let at = null;

  function show(index) {
    at = Math.min(Math.max(index, 0), steps.length - 1);
    const value = steps[at];
    const near = main.map((one) => [one, nearest(one.points, value)]).filter(([, point]) => point);
    const [px] = place([value, 0]);
    cross.setAttribute("x1", px);
    cross.setAttribute("x2", px);
    cross.removeAttribute("visibility");
    dots.replaceChildren(...near.map(([one, point]) => marker(MARKERS[series.indexOf(one)], place(point), `dot-${series.indexOf(one)}`)));
    status.textContent = describe(value, near.map(([one, point]) => [one.name, point]));
  }
  function follow(event) {
    const box = drawing.getBoundingClientRect();
    const value = scale(((event.clientX - box.left) / box.width) * WIDTH, [LEFT, WIDTH - RIGHT], ...x.domain);
    const distances = steps.map((step) => Math.abs(step - value));
    show(distances.indexOf(Math.min(...distances)));
  }
  function move(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show((at ?? (moves[event.key] > 0 ? -1 : steps.length)) + moves[event.key]);
  }
  const area = h(
    "div",
    { class: "plot", tabIndex: 0, role: "group", "aria-label": `Chart: ${title}. Left and right show values.`, "aria-describedby": status.id, onpointermove: follow, onpointerdown: follow, onkeydown: move },
    drawing,
  );
  return {
    element: h("figure", { class: "chart" }, h("figcaption", {}, h("h3", {}, title), legend(series, marks)), area, status, table(title, x, y, main)),
    mark(name, point, text) {
      const group = marked.get(name);
      group.replaceChildren(...(point ? [marker(marks.indexOf(name) ? "diamond" : "circle", place(point), "large"), s("title", {}, text)] : []));
    },
  };
}

const HINT = "Point at the chart, or focus it and press an arrow key.";

function scale(value, [from, to], low, high) {
  return low + ((value - from) / (to - from || 1)) * (high - low);
}

function path(points) {
  return points.map(([px, py], index) => `${index ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
}

function nearest(points, value) {
  return points.reduce((best, point) => (!best || Math.abs(point[0] - value) < Math.abs(best[0] - value) ? point : best), null);
}

function marker(kind, [px, py], name) {
  const size = name === "large" ? 6 : 3.5;
  if (kind === "circle") return s("circle", { class: name, cx: px, cy: py, r: size });
  const turned = kind === "diamond" ? `rotate(45 ${px} ${py})` : null;
  return s("rect", { class: name, x: px - size, y: py - size, width: 2 * size, height: 2 * size, transform: turned });
}

// With ticks at multiples of 1, 2 or 5, and the domain from the first of them to the last.
function rounded({ domain: [low, high], tick, ...axis }) {
  const rough = (high - low || 1) / ABOUT_TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999);
  const [first, last] = [Math.floor(low / step + 1e-6), Math.ceil(high / step - 1e-6)];
  const ticks = [...Array(last - first + 1).keys()].map((index) => (first + index) * step);
  return { ...axis, ticks, domain: [ticks[0], ticks.at(-1)], tick: tick ?? axis.format };
}

function axis({ title, domain, tick: format, ticks: values }, flat) {
  return s(
    "g",
    { class: "axis" },
    values.map((value) => {
      if (flat) {
        const px = scale(value, domain, LEFT, WIDTH - RIGHT);
        return [s("line", { x1: px, x2: px, y1: TOP, y2: HEIGHT - BOTTOM }), s("text", { x: px, y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, format(value))];
      }
      const py = scale(value, domain, HEIGHT - BOTTOM, TOP);
      return [s("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: py, y2: py }), s("text", { x: LEFT - 6, y: py + 4, "text-anchor": "end" }, format(value))];
    }),
    flat
      ? s("text", { class: "title", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, title)
      : s("text", { class: "title", x: -(TOP + HEIGHT - BOTTOM) / 2, y: 12, "text-anchor": "middle", transform: "rotate(-90)" }, title),
  );
}

function legend(series, marks) {
  const sample = (name, ...shapes) => h("li", {}, s("svg", { viewBox: "0 0 28 12", width: 28, height: 12, "aria-hidden": "true" }, shapes), name);
  return h(
    "ul",
    { class: "legend" },
    series.map((one, index) =>
      sample(one.name, s("path", { class: `line ${one.diagonal ? "line-diagonal" : `line-${index}`}`, d: "M1 6L27 6" }), one.markers ? marker(MARKERS[index], [14, 6], `dot-${index}`) : null),
    ),
    marks.map((name, index) => sample(name, s("g", { class: `mark mark-${index}` }, marker(index ? "diamond" : "circle", [14, 6], "dot")))),
  );
}

function table(title, x, y, series) {
  const heads = [x.title, ...series.map(({ name }) => name)];
  const steps = [...new Set(series.flatMap(({ points }) => points.map(([px]) => px)))].sort((a, b) => a - b);
  const rows = steps.map((step) => [x.format(step), ...series.map(({ points }) => {
    const point = points.find(([px]) => px === step);
    return point ? y.format(point[1]) : "";
  })]);
  return h(
    "details",
    {},
    h("summary", {}, "As a table"),
    scrolled(
      `${title}, values`,
      h(
        "table",
        { class: "data", "aria-label": title },
        h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
        h("tbody", {}, rows.map(([first, ...cells]) => h("tr", {}, h("th", { scope: "row" }, first), cells.map((cell) => h("td", {}, cell))))),
      ),
    ),
  );
}
