// Structures in 3-D, by chemiscope. Its program is large and is started when it is asked for.

function viewer(section, dataset) {
  const box = section.querySelector(".viewer");
  const source = byId("chemiscope");
  const sets = dataset.properties.set ? dataset.properties.set.values : [];
  const what = sets.includes("target") ? "picks and targets" : "picks";
  const colours = dataset.properties.LPR ? "their local rigidity (LPR)."
    : "element: their local rigidities (LPR) need features of atoms, in all sets (--keep-features "
    + "keeps those that --featurizer computes).";
  section.hidden = false;
  if (!source) {
    box.replaceChildren(make("p", { class: "note" },
      "This page was made without chemiscope, so that it cannot turn structures; the file "
      + "chemiscope.json.gz beside it opens at chemiscope.org."));
    return;
  }
  const start = make("button", { type: "button" }, "show the structures");
  const note = make("p", { class: "note" },
    `${dataset.structures.length} ${what}; atoms are coloured by ${colours} By chemiscope `
    + "(BSD-3-Clause), inside this file.");
  box.replaceChildren(start, note);
  start.addEventListener("click", async () => {
    start.remove();
    const program = make("script");
    program.textContent = source.textContent;
    document.head.append(program);
    const panes = ["map", "structure", "info"].map((name) => make("div", { id: `viewer-${name}` }));
    const meta = make("div", { id: "viewer-meta" });
    meta.hidden = true;
    box.append(make("div", { class: "frame" }, ...panes, meta));
    const config = {
      map: "viewer-map", structure: "viewer-structure", info: "viewer-info", meta: "viewer-meta",
    };
    const warnings = new globalThis.Chemiscope.Warnings();
    try {
      await globalThis.Chemiscope.DefaultVisualizer.load(config, complete(dataset), warnings);
      box.dataset.state = "ready";
    } catch (error) {
      box.dataset.state = "failed";
      box.append(make("p", { class: "problem" },
        `The structures cannot be shown here: ${error.message || error}`));
    }
  });
}

// Undo what keeps the page small: null for nan, and environments that are all atoms.
function complete(dataset) {
  const properties = {};
  for (const [name, each] of Object.entries(dataset.properties)) {
    properties[name] = { ...each, values: each.values.map((v) => (v === null ? NaN : v)) };
  }
  const whole = { ...dataset, properties };
  if (dataset.cutoff) {
    whole.environments = dataset.structures.flatMap((each, structure) => (
      Array.from({ length: each.size }, (_, center) => ({ structure, center, cutoff: dataset.cutoff }))
    ));
    delete whole.cutoff;
  }
  return whole;
}
