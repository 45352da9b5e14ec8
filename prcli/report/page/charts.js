// Lines over the number of picks, histograms, and the map.

function lineChart(section, content, linesOf) {
  const box = section.querySelector(".chart");
  const values = content.series.flatMap((each) => each.y).filter((v) => v !== null);
  if (!values.length) return;
  const [least, most] = range(values);
  const positive = least > 0;
  const logarithmic = make("input", { type: "checkbox" });
  logarithmic.checked = positive && most > 100 * least;
  const choice = make("label", { class: "choice" }, logarithmic, "logarithmic");
  choice.hidden = !positive;
  const names = legend(content.series.map((each, index) => [each.name, index]));
  names.append(choice);
  const node = make("div", { class: "plot" });
  box.replaceChildren(names, node);
  if (content.note) box.append(make("p", { class: "note" }, content.note));
  const longest = Math.max(1, range(content.series.flatMap((each) => each.x))[1]);
  const draw = () => {
    const log = logarithmic.checked;
    const of = (value) => (log ? Math.log10(value) : value);
    const pad = 0.04 * (of(most) - of(least)) || 0.5;
    const y = [of(least) - pad, of(most) + pad];
    const yTicks = log
      ? powers(decades(...y))
      : ticks(...y).map((v) => [v, show(v)]);
    const xTicks = ticks(0, longest).filter(Number.isInteger).map((v) => [v, show(v)]);
    const { svg, place } = frame(node, {
      x: [0, longest], y, height: 320, xTicks, yTicks, label: `${content.label} over picks`,
      xLabel: "structures added", yLabel: content.label,
    });
    const dots = [];
    content.series.forEach((each, index) => {
      const stroke = `var(--c${index % 6})`;
      const points = each.x.map((n, i) => [n, each.y[i], i]).filter((p) => p[1] !== null);
      if (each.spread && !log) svg.append(band(points, each.spread, place, stroke));
      const path = points.map(([n, v]) => `${place.x(n)},${place.y(of(v))}`).join(" ");
      svg.append(make("polyline", { points: path, fill: "none", stroke, "stroke-width": 2 }));
      for (const [n, value, i] of points) {
        const [cx, cy] = [place.x(n), place.y(of(value))];
        if (points.length <= 200) svg.append(make("circle", { cx, cy, r: 3, fill: stroke }));
        dots.push({ x: cx, y: cy, lines: () => linesOf(each, i) });
      }
    });
    hover(svg, dots);
  };
  logarithmic.addEventListener("change", draw);
  onRedraw(node, draw);
}

function band(points, spread, place, fill) {
  const known = points.filter(([, , i]) => spread[i] !== null);
  const at = (sign) => known.map(([n, v, i]) => `${place.x(n)},${place.y(v + sign * spread[i])}`);
  const path = known.length ? `M${[...at(1), ...at(-1).reverse()].join("L")}Z` : "M0,0";
  return make("path", { d: path, fill, opacity: 0.18 });
}

// Tell of the nearest dot, and mark it.
function hover(svg, dots) {
  const ring = make("circle", { r: 6, fill: "none", stroke: "currentColor", "stroke-width": 2 });
  const move = (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best = null;
    let least = 30 ** 2;
    for (const dot of dots) {
      const distance = (dot.x - x) ** 2 + (dot.y - y) ** 2;
      if (distance < least) [best, least] = [dot, distance];
    }
    if (!best) {
      ring.remove();
      hideTip();
      return;
    }
    ring.setAttribute("cx", best.x);
    ring.setAttribute("cy", best.y);
    svg.append(ring);
    showTip(event, best.lines());
  };
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("pointerleave", () => { ring.remove(); hideTip(); });
}

function histogram(section, content) {
  const box = section.querySelector(".chart");
  const node = make("div", { class: "plot" });
  const note = make("p", { class: "note" },
    "Prediction rigidities, a pure number: the higher, the more firmly the training data hold "
    + "the prediction. Logarithmic axis.");
  box.replaceChildren(legend(content.series.map((each, i) => [each.name, i])), node, note);
  const edges = content.edges;
  const most = Math.max(1, ...content.series.flatMap((each) => each.counts));
  onRedraw(node, () => {
    const x = [edges[0], edges[edges.length - 1]];
    const { svg, place } = frame(node, {
      x, y: [0, most * 1.04], height: 260, label: "distribution of the rigidities of the targets",
      xTicks: powers(decades(...x)),
      yTicks: ticks(0, most * 1.04, 5).filter(Number.isInteger).map((v) => [v, show(v)]),
      xLabel: "PR of a target", yLabel: "targets",
    });
    const few = content.series.length <= 2;
    content.series.forEach((each, index) => {
      let path = `M${place.x(edges[0])},${place.y(0)}`;
      each.counts.forEach((count, i) => {
        path += `V${place.y(count)}H${place.x(edges[i + 1])}`;
      });
      const stroke = `var(--c${index % 6})`;
      svg.append(make("path", {
        d: `${path}V${place.y(0)}Z`, fill: few ? stroke : "none", "fill-opacity": 0.3, stroke,
        "stroke-width": 1.5,
      }));
    });
    svg.addEventListener("pointermove", (event) => {
      const bounds = svg.getBoundingClientRect();
      const at = (event.clientX - bounds.left) * (svg.viewBox.baseVal.width / bounds.width);
      const value = edges[0] + ((at - place.x0) / (place.x1 - place.x0)) * (x[1] - x[0]);
      const bin = edges.findIndex((edge, i) => edge <= value && value < edges[i + 1]);
      if (bin < 0) return hideTip();
      return showTip(event, [
        `PR from ${show(10 ** edges[bin], 3)} to ${show(10 ** edges[bin + 1], 3)}`,
        ...content.series.map((each) => `${each.name}: ${each.counts[bin]}`),
      ]);
    });
    svg.addEventListener("pointerleave", hideTip);
  });
}
