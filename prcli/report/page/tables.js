// Tables that can be sorted and filtered.

const ROWS_AT_FIRST = 50;

function table(section, content, unit) {
  const box = section.querySelector(".table");
  const { columns, rows } = content;
  const filter = make("input", {
    type: "search", placeholder: "filter: words that a row must hold", "aria-label": "filter",
  });
  const count = make("span", { class: "note", "aria-live": "polite" });
  const more = make("button", { type: "button" }, "show all");
  // Long texts stand below the cells of their row.
  const beside = columns.map((column, k) => [column, k]).filter(([column]) => !column.is_below);
  const below = columns.map((column, k) => [column, k]).filter(([column]) => column.is_below);
  const heads = beside.map(([column]) => {
    const button = make("button", { type: "button", title: column.meaning }, column.name);
    const head = make("th", { scope: "col", class: column.is_number ? "number" : "text" }, button);
    return head;
  });
  const body = make("tbody");
  const scroll = make("div", { class: "scroll" },
    make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body));
  box.replaceChildren(make("div", { class: "bar" }, filter, count, more), scroll);
  if (content.note) box.append(make("p", { class: "note" }, content.note));
  const texts = rows.map((row) => row.map((cell) => show(cell, 6)).join("\n").toLowerCase());
  let order = rows.map((_, i) => i);
  let limit = ROWS_AT_FIRST;

  function fill() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const passing = order.filter((i) => words.every((word) => texts[i].includes(word)));
    body.replaceChildren(...passing.slice(0, limit).flatMap((i) => [
      make("tr", { class: "row" }, ...beside.map(([column, k]) => (
        make("td", { class: column.is_number ? "number" : "text" }, show(rows[i][k]))))),
      ...below.map(([, k]) => make("tr", { class: "below" },
        make("td", { colspan: beside.length }, make("span", {}, show(rows[i][k]))))),
    ]));
    more.hidden = passing.length <= limit;
    const part = passing.length < rows.length ? `${passing.length} of ` : "";
    count.textContent = `${part}${rows.length} ${rows.length === 1 ? unit.slice(0, -1) : unit}`
      + (more.hidden ? "" : `, the first ${limit} shown`);
  }

  heads.forEach((head, place) => head.firstChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const k = beside[place][1];
    heads.forEach((each, j) => {
      each.firstChild.textContent = beside[j][0].name + (j === place ? (down ? " ▾" : " ▴") : "");
    });
    const sign = down ? -1 : 1;
    order = rows.map((_, i) => i).sort((a, b) => compare(rows[a][k], rows[b][k], sign) || a - b);
    fill();
  }));
  filter.addEventListener("input", fill);
  more.addEventListener("click", () => { limit = rows.length; fill(); });
  addEventListener("beforeprint", () => { limit = Math.max(limit, 500); fill(); });
  fill();
}

// What is not known comes last, whichever way is up.
function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
}
