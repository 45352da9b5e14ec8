// Scales and axes of the charts.

function ticks(low, high, most = 6) {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => span / s <= most);
  const values = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * span; k++) {
    values.push(Number((k * step).toPrecision(12)));
  }
  return values;
}

// Smallest and largest, of any number of values.
function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function decades(low, high) {
  const values = [];
  for (let k = Math.ceil(low - 1e-9); k <= high + 1e-9; k++) values.push(k);
  if (values.length >= 3) {
    const step = Math.ceil(values.length / 7);
    return values.filter((_, i) => i % step === 0);
  }
  const between = [];
  for (let k = Math.floor(low); k <= high; k++) {
    for (const m of [1, 2, 5]) between.push(k + Math.log10(m));
  }
  const inside = between.filter((value) => low <= value && value <= high);
  return inside.length >= 2 ? inside : ticks(low, high, 3);
}

// Values of a logarithmic axis, with as many digits as tell them apart.
function powers(exponents) {
  for (let digits = 2; digits < 6; digits++) {
    const texts = exponents.map((k) => show(10 ** k, digits));
    if (new Set(texts).size === texts.length) return exponents.map((k, i) => [k, texts[i]]);
  }
  return exponents.map((k) => [k, show(10 ** k, 6)]);
}

// A chart of a width: a group to draw in, and functions from values to places.
function frame(node, { x, y, height, xLabel, yLabel, xTicks, yTicks, label }) {
  const width = Math.max(280, node.clientWidth);
  const edge = { left: 66, right: 12, top: 10, bottom: 44 };
  const svg = make("svg", {
    viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label,
  });
  const [x0, x1] = [edge.left, width - edge.right];
  const [y0, y1] = [height - edge.bottom, edge.top];
  const place = {
    x: (value) => x0 + ((value - x[0]) / (x[1] - x[0] || 1)) * (x1 - x0),
    y: (value) => y0 + ((value - y[0]) / (y[1] - y[0] || 1)) * (y1 - y0),
    x0, x1, y0, y1,
  };
  const line = colour("--line");
  for (const [value, text] of yTicks) {
    const at = place.y(value);
    svg.append(make("line", { x1: x0, x2: x1, y1: at, y2: at, stroke: line }));
    svg.append(make("text", { x: x0 - 8, y: at + 4, "text-anchor": "end" }, text));
  }
  for (const [value, text] of xTicks) {
    const at = place.x(value);
    svg.append(make("line", { x1: at, x2: at, y1: y0, y2: y0 + 5, stroke: colour("--grey") }));
    svg.append(make("text", { x: at, y: y0 + 19, "text-anchor": "middle" }, text));
  }
  svg.append(make("line", { x1: x0, x2: x1, y1: y0, y2: y0, stroke: colour("--grey") }));
  svg.append(make("text", { x: (x0 + x1) / 2, y: height - 6, "text-anchor": "middle" }, xLabel));
  const middle = (y0 + y1) / 2;
  svg.append(make("text", {
    x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})`,
  }, yLabel));
  node.replaceChildren(svg);
  return { svg, place };
}

function legend(entries) {
  return make("div", { class: "legend" }, ...entries.map(([name, index]) => {
    const mark = make("i");
    mark.style.background = `var(--c${index % 6})`;
    return make("span", {}, mark, name);
  }));
}
