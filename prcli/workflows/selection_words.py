"""What a report says of a selection, in sentences."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prcli.wording import counted
from prcli.workflows.budgeted_picks import BY_COST, SINGLE
from prcli.workflows.health import digits_left

#: What each objective is, and which way is up.
OBJECTIVE_NAMES = {
    "mean-pr": "mean PR of the targets",
    "mean-log-pr": "mean log PR of the targets",
    "min-pr": "smallest PR of the targets",
    "mean-variance": "mean of −1/PR of the targets",
    "log-det": "log det of the Hessian",
}

_HOW = {
    "pr": "each pick being the candidate that raises it most at its turn",
    "random": "drawn at random",
    "fps": "each pick being the candidate farthest from all before (farthest point sampling)",
    "leverage": "those of the highest leverage, which looks at no target",
}

#: How the kept one of several searches within a budget has chosen.
_SEARCHES = {
    BY_COST: "each pick being the candidate that raises it most for its cost at its turn",
    SINGLE: "the one candidate that raises it most",
}

#: Objectives of which a multiple means something: others are logarithms or negative.
_RATIOS = ("mean-pr", "min-pr")

_STOPPED = {
    "n_to_select": "",
    "stop_gain": "It stopped early because the next gain fell below --stop-gain.",
    "stop_pr": "It stopped early because every target is above --stop-pr.",
    "budget": "It stopped because the budget pays for no further candidate.",
    "constraints": "It stopped early because the constraints allow no further candidate.",
    "pool": "It took all candidates.",
}

#: Share of the gain that most users want.
_MOST = 0.9


def title(n_picks: int, sources: Iterable[str]) -> str:
    """Call a selection something, by where its picks come from.

    Parameters
    ----------
    n_picks : int
    sources : iterable of str
        File of each pick.
    """
    names = list(dict.fromkeys(os.path.basename(source) or source for source in sources))
    listed = ", ".join(names[:2]) + (" and others" if len(names) > 2 else "")
    return f"{counted(n_picks, 'structure')} selected" + (f" from {listed}" if listed else "")


def asked(report: Mapping[str, Any]) -> str:
    """Say what was asked for."""
    request, hessian, pool = report["request"], report["hessian"], report["pool"]
    wanted = request["n_to_select"]
    number = "as many structures as the budget pays for"
    if wanted is not None:
        number = counted(wanted, "structure")
    parts = [f"Asked for: {number} out of {counted(pool['n_candidates'], 'candidate')}"]
    if pool["n_candidates"] < pool["n_structures"]:
        parts.append(f" (of a pool of {pool['n_structures']})")
    n_targets = report["targets"]["n_targets"]
    objective = objective_name(request["objective"])
    if request["strategy"] == "pr":
        parts.append(f" to raise the {objective}")
    else:
        # A baseline aims at nothing: targets only tell what it does for them.
        parts.append(f" by the baseline {request['strategy']}")
        parts.append(f", judged by the {objective}" if n_targets else "")
    if n_targets:
        what = request["target_per"]
        parts.append(f", {counted(n_targets, what)}")
    parts.append(
        f", beside a training set of {counted(hessian['n_structures'], 'structure')} with "
        f"{counted(hessian['n_features'], 'feature')}."
    )
    return "".join(parts)


def chosen(report: Mapping[str, Any]) -> str:
    """Say what was chosen and why."""
    picks, request = report["picks"], report["request"]
    before, after = report["objective"]["before"], report["objective"]["after"]
    n_atoms = sum(pick["n_atoms"] for pick in picks)
    text = (
        f"Chosen: {counted(len(picks), 'structure')} with {counted(n_atoms, 'atom')}, "
        f"{_how(report)}"
    )
    if not math.isnan(_float(before)):
        text += (
            f"; the {objective_name(request['objective'])} goes from {number_text(before)} to "
            f"{number_text(after)}"
        )
    has_ratio = request["objective"] in _RATIOS and _is_number(before) and _is_number(after)
    if has_ratio and before > 0.0:
        text += f", {after / before:.3g} times as high"
    reached = _reached(report)
    if reached:
        text += f". {reached}"
    ending = _STOPPED.get(report["stopped"], f"It stopped by {report['stopped']}.")
    return f"{text.removesuffix('.')}. {ending}".strip()


def limits(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences on how much better another selection could be, where that is known."""
    bound = report.get("bound")
    if bound is None:
        return
    others = "within the budget" if report.get("cost", {}).get("budget") else "of as many"
    text = (
        f"No set {others} gains more than {number_text(bound['gain'])}; this one gains at least "
        f"{100 * _float(bound['share']):.3g} % of what the best possible one does"
    )
    left_out = {"quotas", "min_distance", "duplicates_within"} & report.keys()
    if left_out and not bound["counts_quotas"]:
        text += ", with quotas and distances left out of that bound"
    yield f"{text}."


def health(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences on how far the numbers can be trusted."""
    hessian, found, targets = report["hessian"], report["health"], report["targets"]
    for key, about in (("condition_number", ""), ("condition_number_estimate", "about ")):
        if key in hessian:
            condition = _float(hessian[key])
            yield (
                f"The condition number of R is {about}{condition:.2g}: rounding leaves at least "
                f"{digits_left(condition)} digits of a rigidity."
            )
    drift = _float(found["largest_relative_drift"])
    if targets["n_targets"]:
        yield (
            "Rigidities of the targets, updated pick by pick, are those of a fresh factorization "
            "after the last pick."
            if drift == 0.0
            else "Rigidities of the targets, updated pick by pick, differ from those of a fresh "
            f"factorization after the last pick by {drift:.1e} at most, relative to them."
        )
        held = found.get("targets_held_mostly_by_the_regularizer")
        if held is not None:
            yield _held(held, targets["n_targets"])
    if targets["n_infinite"]:
        yield (
            f"{counted(targets['n_infinite'], 'target')} with features of zero have no finite "
            "rigidity and are left out of every mean."
        )
    if report["pool"]["n_in_training"]:
        left = "left out" if report["request"]["exclude_train"] else "candidates all the same"
        known = counted(report["pool"]["n_in_training"], "structure")
        yield f"{known} of the pool stand in the training set already, {left}."
    if report["request"]["strategy"] == "pr":
        yield (
            f"{counted(found['n_exact_gains'], 'gain')} had to be computed with care, so that "
            "errors of rounding decide no pick."
        )


def explanation(pick: Mapping[str, Any], targets: Sequence[str]) -> str:
    """Say why a pick was made.

    Parameters
    ----------
    pick : mapping
        Of the report.
    targets : sequence of str
        Names of the structures of the target set, by index; may be empty.
    """
    parts = []
    for entry in pick.get("helped", [])[:2]:
        index = entry["index"]
        name = targets[index] if index < len(targets) else f"target {index}"
        if "atom" in entry:
            name += f", atom {entry['atom']}"
        if "component" in entry:
            name += f", component {entry['component']}"
        change = f"{number_text(entry['pr_before'])} → {number_text(entry['pr_after'])}"
        parts.append(f"PR of {name}: {change}")
    nearest = pick.get("nearest_training_structure")
    if nearest is not None:
        parts.append(
            f"nearest in training: {nearest['source']}, frame {nearest['frame']} "
            f"(distance {number_text(nearest['distance'])})"
        )
    return "; ".join(parts)


def objective_name(objective: str) -> str:
    """Call an objective what people call it."""
    return OBJECTIVE_NAMES.get(objective, objective)


def number_text(value: object) -> str:
    """Three digits, for a sentence."""
    return f"{value:.3g}" if _is_number(value) else str(value)


def _how(report: Mapping[str, Any]) -> str:
    """Say how picks were found."""
    strategy = report["request"]["strategy"]
    kept = next((each["name"] for each in report.get("searches", ()) if each["is_kept"]), "")
    how = str(_SEARCHES.get(kept, _HOW.get(strategy, strategy)))
    n_exchanges = report.get("refinement", {}).get("n_exchanges", 0)
    return f"{how}, with {counted(n_exchanges, 'exchange')} afterwards" if n_exchanges else how


def _held(held: Mapping[str, int], n_targets: int) -> str:
    if not (held["before"] or held["after"]):
        all_targets = "the target" if n_targets == 1 else f"all {n_targets} targets"
        return f"Training rows determine {all_targets} more than the regularizer does."
    were = "was" if held["before"] == 1 else "were"
    return (
        f"Of {counted(n_targets, 'target')}, {held['before']} {were} held in place by the "
        f"regularizer more than by training structures before the picks, and {held['after']} "
        f"{'is' if held['after'] == 1 else 'are'} after them: their "
        "rigidities change with the regularizer, so take them as low rather than by their number."
    )


def _reached(report: Mapping[str, Any]) -> str:
    """Say how fast the gain comes."""
    before, after = report["objective"]["before"], report["objective"]["after"]
    picks = report["picks"]
    if len(picks) < 2 or not (_is_number(before) and _is_number(after)) or after <= before:
        return ""
    shares = [(_float(pick["objective"]) - before) / (after - before) for pick in picks]
    enough = next(i for i, share in enumerate(shares, 1) if share >= _MOST)
    first = f"The first, {picks[0]['source']}, frame {picks[0]['frame']}, brings "
    return (
        f"{first}{100 * shares[0]:.0f} % of the gain; {100 * _MOST:.0f} % are reached after "
        f"{counted(enough, 'pick')}"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _float(value: object) -> float:
    """Read a number of a report, where infinite ones are texts."""
    return float(str(value))
