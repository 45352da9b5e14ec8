// The map: points on a canvas, with a box of any part of it drawn larger.

const KINDS = [
  { name: "pool", title: "candidates", colour: "--grey", size: 2.5 },
  { name: "train", title: "training set", colour: "--c0", size: 3 },
  { name: "target", title: "targets", colour: "--c2", size: 3.5 },
  { name: "pick", title: "picks", colour: "--c1", size: 6 },
];

function mapChart(section, content) {
  const box = section.querySelector(".chart");
  const points = content.x.map((x, i) => ({
    x, y: content.y[i], i,
    kind: content.rank[i] ? "pick" : content.set.names[content.set.codes[i]],
  })).filter((point) => point.x !== null && point.y !== null);
  const canvas = make("canvas", { role: "img", "aria-label": "map of the structures" });
  const hidden = new Set();
  const entries = KINDS.filter((kind) => points.some((point) => point.kind === kind.name));
  const whole = make("button", { type: "button" }, "whole map");
  let view = null;
  const names = make("div", { class: "legend" }, ...entries.map((kind) => {
    const check = make("input", { type: "checkbox", checked: "" });
    check.addEventListener("change", () => {
      hidden[check.checked ? "delete" : "add"](kind.name);
      draw();
    });
    const mark = make("i");
    mark.style.background = `var(${kind.colour})`;
    return make("label", {}, check, mark, kind.title);
  }), whole);
  whole.addEventListener("click", () => { view = null; draw(); });
  box.replaceChildren(names, canvas, make("p", { class: "note" }, mapNote(content)));
  let seen = [];

  function draw(current = null, box2 = null) {
    const width = Math.max(280, box.clientWidth);
    const height = Math.round(Math.min(520, Math.max(320, width * 0.6)));
    const ratio = devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const area = view || extent(points);
    const px = (x) => 44 + ((x - area.x[0]) / (area.x[1] - area.x[0])) * (width - 54);
    const py = (y) => height - 44 - ((y - area.y[0]) / (area.y[1] - area.y[0])) * (height - 54);
    pen.strokeStyle = colour("--line");
    pen.strokeRect(44, 10, width - 54, height - 54);
    pen.fillStyle = colour("--ink");
    pen.font = "12px sans-serif";
    pen.textAlign = "center";
    for (const x of ticks(...area.x)) pen.fillText(show(x), px(x), height - 28);
    pen.textAlign = "right";
    for (const y of ticks(...area.y)) pen.fillText(show(y), 40, py(y) + 4);
    pen.textAlign = "center";
    const [first, second] = content.shares.map((s) => (s === null ? "" : ` (${show(100 * s, 3)} %)`));
    pen.fillText(`first principal component${first || ""}`, width / 2, height - 8);
    pen.save();
    pen.translate(13, height / 2 - 10);
    pen.rotate(-Math.PI / 2);
    pen.fillText(`second principal component${second || ""}`, 0, 0);
    pen.restore();
    pen.save();
    pen.beginPath();
    pen.rect(44, 10, width - 54, height - 54);
    pen.clip();
    seen = [];
    for (const kind of entries) {
      if (hidden.has(kind.name)) continue;
      pen.fillStyle = colour(kind.colour);
      for (const point of points) {
        if (point.kind !== kind.name) continue;
        const spot = { px: px(point.x), py: py(point.y), point };
        pen.globalAlpha = kind.name === "pool" ? 0.6 : 0.9;
        pen.beginPath();
        pen.arc(spot.px, spot.py, kind.size, 0, 2 * Math.PI);
        pen.fill();
        seen.push(spot);
      }
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("--ink");
    if (current) {
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(current.px, current.py, 8, 0, 2 * Math.PI);
      pen.stroke();
    }
    if (box2) pen.strokeRect(box2.x, box2.y, box2.width, box2.height);
    pen.restore();
    whole.hidden = view === null;
    canvas.dataset.shown = String(seen.length);
    return { px, py, area, width, height };
  }

  const place = (event) => {
    const bounds = canvas.getBoundingClientRect();
    return [event.clientX - bounds.left, event.clientY - bounds.top];
  };
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse") from = place(event);
    else tell(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return tell(event);
    const [x, y] = place(event);
    hideTip();
    draw(null, { x: from[0], y: from[1], width: x - from[0], height: y - from[1] });
    return undefined;
  });
  addEventListener("pointerup", (event) => {
    if (!from) return;
    const [[x0, y0], [x1, y1]] = [from, place(event)];
    from = null;
    const { area, width, height } = draw();
    if (Math.abs(x1 - x0) < 8 || Math.abs(y1 - y0) < 8) return;
    const vx = (x) => area.x[0] + ((x - 44) / (width - 54)) * (area.x[1] - area.x[0]);
    const vy = (y) => area.y[0] + ((height - 44 - y) / (height - 54)) * (area.y[1] - area.y[0]);
    view = {
      x: [vx(Math.min(x0, x1)), vx(Math.max(x0, x1))],
      y: [vy(Math.max(y0, y1)), vy(Math.min(y0, y1))],
    };
    draw();
  });
  canvas.addEventListener("pointerleave", () => { hideTip(); if (!from) draw(); });

  let last = null;
  function tell(event) {
    const [x, y] = place(event);
    let best = null;
    let least = 14 ** 2;
    for (const spot of seen) {
      const distance = (spot.px - x) ** 2 + (spot.py - y) ** 2;
      // Of points at one place the last one drawn is on top.
      if (distance <= least) [best, least] = [spot, distance];
    }
    if (best?.point !== last) draw(best);
    last = best?.point;
    if (best) showTip(event, mapLines(content, best.point.i, best.point.kind));
    else hideTip();
  }
  onRedraw(box, () => draw());
}

function mapLines(content, i, kind) {
  const text = (name) => content[name].names[content[name].codes[i]];
  const rank = content.rank[i];
  const lines = [`${text("source")}, frame ${content.frame[i]}`];
  const what = [text("formula"), text("config_type")].filter(Boolean);
  if (what.length) lines.push(what.join(", "));
  const title = { train: "training set", pool: "candidate, not picked", target: "target" }[kind];
  lines.push(rank ? `pick ${rank}, gain ${show(content.gain[rank - 1])}` : title);
  lines.push(`PR before any pick ${show(content.pr[i])}`);
  return lines;
}

function extent(points) {
  const padded = (values) => {
    const [low, high] = range(values);
    const pad = 0.04 * (high - low) || 1;
    return [low - pad, high + pad];
  };
  return { x: padded(points.map((p) => p.x)), y: padded(points.map((p) => p.y)) };
}

function mapNote(content) {
  const thinned = Object.entries(content.points).filter(([, each]) => each.shown < each.of)
    .map(([name, each]) => `${each.shown} of ${each.of} of the ${name} set`);
  const shown = thinned.length ? ` Thinned evenly: it shows ${thinned.join(", ")}.` : "";
  const unknown = content.set.names.includes("train") ? ""
    : " The training set is not on it: of it there is the Hessian only.";
  return "Structures by the principal components of the whitened features of what is shown: there "
    + "the length of a structure's row is 1/√PR, so that what the training set does not know lies "
    + `far out. Drag a box to enlarge it.${shown}${unknown}`;
}
