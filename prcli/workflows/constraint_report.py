"""What a selection says of its budget, its constraints and what was chosen before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from prcli.data.dataset import Dataset
from prcli.workflows.budgeted_picks import BY_COST, BY_GAIN, SINGLE
from prcli.workflows.selection import Selection

#: What may be said of the best of several searches.
GUARANTEE = (
    "Only for log-det, and with no constraint but the budget, is there a textbook guarantee: the "
    "better of the two greedy searches gains at least half of 1 - 1/e of what the best selection "
    "within the budget gains."
)

_HOW = {
    BY_COST: "greedy by gain per cost",
    BY_GAIN: "greedy by gain until the budget",
    SINGLE: "best single candidate",
}


def constraint_report(selection: Selection, pool: Dataset) -> dict[str, object]:
    """Give what belongs into ``report.json``; nothing where there is nothing to keep within."""
    constraints = selection.constraints
    options = constraints.options
    content: dict[str, object] = {}
    if options.cost is not None:
        content["cost"] = {
            "expression": options.cost,
            "budget": options.budget,
            "spent": float(selection.costs.sum()),
        }
    if selection.searches:
        content["searches"] = [
            {"how": _HOW[each.name], **asdict(each)} for each in selection.searches
        ]
        content["guarantee"] = GUARANTEE
    if constraints.groups:
        content["quotas"] = [
            {
                "group": group.name,
                "at_least": group.least,
                "at_most": group.most,
                "chosen_before": int(np.count_nonzero(group.members[constraints.included])),
                "picked": int(np.count_nonzero(group.members[selection.indices])),
            }
            for group in constraints.groups
        ]
    for name in ("min_distance", "duplicates_within"):
        if getattr(options, name) is not None:
            content[name] = getattr(options, name)
    if options.include:
        content["included"] = _included(selection, pool)
    if constraints.excluded is not None:
        content["n_excluded"] = int(np.count_nonzero(constraints.excluded))
    if selection.refinement is not None:
        content["refinement"] = asdict(selection.refinement)
    if selection.bound is not None:
        content["bound"] = asdict(selection.bound)
    return content


def outcome_lines(selection: Selection) -> Iterator[str]:
    """Yield lines on searches, exchanges and the bound, for people."""
    yield from _search_lines(selection)
    objective, found = selection.options.objective, selection.refinement
    if found is not None:
        gained = found.objective_refined - found.objective_greedy
        total = found.objective_greedy - selection.objective_before
        share = f", {100.0 * gained / total:.3g} % more gain" if total > 0.0 else ""
        end = "no exchange helps any more" if found.is_settled else "more sweeps may help"
        yield (
            f"{found.n_exchanges} exchanges in {found.n_sweeps} sweeps: {objective} "
            f"{found.objective_greedy:.6g} -> {found.objective_refined:.6g}{share}; {end}"
        )
    bound = selection.bound
    if bound is not None:
        has_budget = selection.constraints.options.budget is not None
        gained = selection.objective_after - selection.objective_before
        yield (
            f"within {100.0 * (1.0 - bound.share):.3g} % of the best possible set: it gains "
            f"{gained:.6g} in {objective}, and no set "
            f"{'within the budget' if has_budget else 'of as many'} more than {bound.gain:.6g} "
            f"(to {bound.objective:.6g})"
        )
        if selection.constraints.groups or selection.constraints.options.has_distances:
            yield "that bound leaves quotas and distances out: the best set within them gains less"


def _search_lines(selection: Selection) -> Iterator[str]:
    """Yield a small table of the searches within a budget."""
    objective = selection.options.objective
    if not selection.searches:
        return
    rows = [("", "picks", "cost", objective, "")]
    for each in selection.searches:
        note = "kept" if each.is_kept else "" if each.keeps_limits else "leaves floors unmet"
        rows.append(
            (_HOW[each.name], str(each.n_picks), f"{each.cost:g}", f"{each.objective:.6g}", note)
        )
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3)), row[4]]
        yield "  ".join(cells).rstrip()
    if objective != "log-det":
        yield f"the textbook guarantee of such searches holds for log-det only, not {objective}"


def _included(selection: Selection, pool: Dataset) -> list[dict[str, object]]:
    """Name what was chosen before."""
    sources, source, frame = pool.frames()
    return [
        {
            "index": index,
            "source": sources[int(source[index])],
            "frame": int(frame[index]),
            "n_atoms": int(pool.n_atoms[index]),
        }
        for index in selection.constraints.included.tolist()
    ]
