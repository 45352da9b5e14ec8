// Elements, numbers as text, and the box that follows the pointer. Text goes into the page as
// text content only.

const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "rect", "circle", "text", "polyline"].includes(tag);
  const node = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, String(value));
  }
  for (const child of children) {
    node.append(typeof child === "object" ? child : String(child));
  }
  return node;
}

function show(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
  const size = Math.abs(value);
  const plain = size >= 1e-3 && size < 1e6;
  return plain ? String(Number(value.toPrecision(digits))) : value.toExponential(digits - 1);
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const tip = make("div", { id: "tip", role: "status", hidden: "" });

function showTip(event, lines) {
  tip.replaceChildren(...lines.map((line) => make("p", {}, line)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const right = event.clientX + 14 + width > innerWidth;
  const low = event.clientY + 14 + height > innerHeight;
  tip.style.left = `${Math.max(4, right ? event.clientX - 10 - width : event.clientX + 14)}px`;
  tip.style.top = `${Math.max(4, low ? event.clientY - 10 - height : event.clientY + 14)}px`;
}

function hideTip() {
  tip.hidden = true;
}

// Draw again when the width or the colours change.
const drawings = [];

function onRedraw(node, draw) {
  let width = 0;
  drawings.push(draw);
  draw();
  new ResizeObserver(() => {
    if (Math.abs(node.clientWidth - width) < 1) return;
    width = node.clientWidth;
    draw();
  }).observe(node);
}

const redraw = () => drawings.forEach((draw) => draw());
