// Fill the sections that there are data for.

const data = JSON.parse(byId("data").textContent);
document.body.append(tip);

function section(name, content, fill) {
  if (!content) return;
  byId(name).hidden = false;
  fill(byId(name), content);
}

function pickLines(each, i) {
  const name = data.objective.series.length > 1 ? `${each.name}, ` : "";
  const row = each.picks && i > 0 ? data.picks.rows[i - 1] : null;
  const lines = [`${name}${each.x[i]} added`];
  if (row) {
    const cell = (key) => row[data.picks.columns.findIndex((column) => column.name === key)];
    lines[0] = `${name}pick ${cell("rank")}`;
    lines.push(`${cell("source")}, frame ${cell("frame")}`);
    const what = [cell("formula"), cell("config_type")].filter(Boolean);
    if (what.length) lines.push(what.join(", "));
    lines.push(`gain ${show(cell("gain"))}`);
  } else if (each.labels && i > 0) {
    lines.push(...each.labels[i - 1]);
  }
  lines.push(`${data.objective.label} ${show(each.y[i])}`);
  return lines;
}

const isKnown = data.objective.series.some((each) => each.y.some((value) => value !== null));
section("objective", isKnown && data.objective, (node, content) => lineChart(node, content, pickLines));
section("distribution", data.distribution, histogram);
section("map", data.map, mapChart);
section("comparison", data.comparison, (node, content) => table(node, content, "selections"));
section("picks", data.picks, (node, content) => {
  table(node, content, data.kind === "comparison" ? "structures" : "picks");
});
section("targets", data.targets, (node, content) => table(node, content, "targets"));
if (data.viewer) viewer(byId("structures"), data.viewer);

const themes = ["auto", "light", "dark"];
let theme = 0;
function setTheme() {
  if (theme) document.documentElement.dataset.theme = themes[theme];
  else delete document.documentElement.dataset.theme;
  byId("theme").textContent = `theme: ${themes[theme]}`;
  redraw();
}
byId("theme").addEventListener("click", () => { theme = (theme + 1) % 3; setTheme(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
matchMedia("print").addEventListener("change", redraw);
// On paper nothing can be unfolded.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
});
setTheme();
document.documentElement.dataset.state = "ready";
