"""What a page shows of several selections side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from prcli.workflows.page_content import distribution, label_columns
from prcli.workflows.result_numbers import numbers, plain
from prcli.workflows.selection_result import SelectionResult
from prcli.workflows.selection_words import health, number_text, objective_name

_NUMBERS = {
    "picks": "structures picked",
    "atoms": "atoms of them",
    "cost": "what they cost",
    "before": "objective before any pick",
    "after": "objective after the last pick",
    "at_equal_number": "objective after as many picks as the shortest selection has",
    "target_pr_mean": "mean rigidity of the targets after the last pick",
    "target_pr_min": "smallest rigidity of a target after the last pick",
    "in_all": "picks that all selections share",
}


def comparison_content(results: Sequence[SelectionResult]) -> dict[str, object]:
    """Collect what the page of several selections shows.

    Parameters
    ----------
    results : sequence of SelectionResult
        At least two, with names of their own.

    Returns
    -------
    content : dict
        Plain values; numbers that are not finite are None.
    """
    names = [result.name for result in results]
    return {
        "kind": "comparison",
        "title": f"Selections {', '.join(names)}",
        "sentences": [_outcome(results), *differences(results)],
        "objective": _objective(results),
        "distribution": distribution([(each.name, "after", each) for each in results]),
        "comparison": _side_by_side(results),
        "picks": _picks(results),
        "health": [f"{each.name}: {text}" for each in results for text in health(each.report)],
        "request": [
            [f"{each.name}: {key}", str(value)]
            for each in results
            for key, value in each.report["request"].items()
            if value is not None
        ],
        "provenance": _provenance(results),
    }


def differences(results: Sequence[SelectionResult]) -> Iterator[str]:
    """Yield warnings where numbers of the selections do not mean the same."""
    first = results[0].report
    for each in results[1:]:
        here = f"{results[0].name} and {each.name}"
        if each.report["request"]["objective"] != first["request"]["objective"]:
            yield f"Note: {here} have different objectives, so that these cannot be compared."
        elif not _same(each.report["objective"]["before"], first["objective"]["before"]):
            yield (
                f"Note: {here} start from different values of the objective: training set, "
                "targets or numerical settings differ. Rigidities compare only within one Hessian."
            )


def _outcome(results: Sequence[SelectionResult]) -> str:
    """Say which selection reaches most."""
    objectives = {each.report["request"]["objective"] for each in results}
    if len(objectives) > 1:
        return f"{len(results)} selections."
    shortest = min(len(each.picks["rank"]) for each in results)
    values = [_after(each, shortest) for each in results]
    order = np.argsort(np.nan_to_num(values, nan=-np.inf))[::-1]
    listed = ", ".join(f"{results[i].name} {number_text(values[i])}" for i in order)
    return (
        f"After {shortest} picks each, the {objective_name(objectives.pop())} is highest with "
        f"{results[order[0]].name}: {listed}."
    )


def _after(result: SelectionResult, n_picks: int) -> float:
    values = numbers(result.picks, "objective")
    if not n_picks or not len(values):
        return float(str(result.report["objective"]["before"]))
    return float(values[n_picks - 1])


def _objective(results: Sequence[SelectionResult]) -> dict[str, object]:
    """Give the objective over the picks; what all have where objectives differ."""
    names = {objective_name(each.report["request"]["objective"]) for each in results}
    has_one = len(names) == 1
    series = []
    for each in results:
        values = numbers(each.picks, "objective" if has_one else "target_pr_mean")
        before = float(str(each.report["objective"]["before"])) if has_one else _mean_before(each)
        extra = label_columns(each)
        labels = []
        for i, (source, frame) in enumerate(_places(each)):
            what = ", ".join(filter(None, (column[i] for column in extra.values())))
            gain = f"gain {number_text(float(each.picks['gain'][i]))}"
            labels.append([text for text in (f"{source}, frame {frame}", what, gain) if text])
        series.append(
            {
                "name": each.name,
                "x": list(range(len(values) + 1)),
                "y": plain([before, *values.tolist()]),
                "labels": labels,
            }
        )
    if has_one:
        return {"label": names.pop(), "series": series, "note": ""}
    note = "The selections have different objectives: shown is what all of them do for the targets."
    return {"label": "mean PR of the targets", "series": series, "note": note}


def _mean_before(result: SelectionResult) -> float:
    """Mean rigidity of the targets before any pick, weighted as that after each pick is."""
    if result.targets is None:
        return np.nan
    values, weights = (numbers(result.targets, name) for name in ("pr_before", "weight"))
    known = np.isfinite(values)
    total = weights[known].sum()
    return float(weights[known] @ values[known] / total) if total > 0.0 else np.nan


def _side_by_side(results: Sequence[SelectionResult]) -> dict[str, object]:
    shortest = min(len(each.picks["rank"]) for each in results)
    shared = set.intersection(*(set(_places(each)) for each in results))
    rows: list[list[object]] = []
    for each in results:
        request, picks = each.report["request"], each.picks
        cells: list[object] = [each.name, request["strategy"], request["objective"]]
        n = len(picks["rank"])
        last = {
            name: numbers(picks, name)[-1] if n else np.nan
            for name in ("target_pr_mean", "target_pr_min")
        }
        values = [
            n,
            numbers(picks, "n_atoms").sum(),
            numbers(picks, "cost").sum(),
            float(str(each.report["objective"]["before"])),
            _after(each, n),
            _after(each, shortest),
            last["target_pr_mean"],
            last["target_pr_min"],
            len(shared),
        ]
        rows.append(cells + plain(values, 8))
    columns = [{"name": name, "is_number": False, "meaning": ""} for name in _TEXTS]
    columns += [
        {"name": name, "is_number": True, "meaning": meaning} for name, meaning in _NUMBERS.items()
    ]
    return {"columns": columns, "rows": rows}


_TEXTS = ("selection", "strategy", "objective")


def _picks(results: Sequence[SelectionResult]) -> dict[str, object]:
    """Every structure that some selection has picked, with its rank in each."""
    ranks: dict[tuple[str, str], dict[str, int]] = {}
    labels: dict[tuple[str, str], str] = {}
    for each in results:
        extra = label_columns(each)
        for i, place in enumerate(_places(each)):
            ranks.setdefault(place, {})[each.name] = i + 1
            what = ", ".join(filter(None, (column[i] for column in extra.values())))
            labels.setdefault(place, what)
    columns: list[dict[str, object]] = [
        {"name": name, "is_number": name == "frame", "meaning": ""}
        for name in ("source", "frame", "what")
    ]
    columns.append({"name": "picked_by", "is_number": True, "meaning": "how many selections"})
    columns += [
        {"name": f"rank in {each.name}", "is_number": True, "meaning": "number of the pick"}
        for each in results
    ]
    rows = [
        [
            source,
            int(frame),
            labels[source, frame],
            len(own),
            *(own.get(each.name) for each in results),
        ]
        for (source, frame), own in ranks.items()
    ]
    rows.sort(key=lambda row: -int(str(row[3])))
    return {"columns": columns, "rows": rows}


def _places(result: SelectionResult) -> list[tuple[str, str]]:
    return list(zip(result.picks["source"], result.picks["frame"], strict=True))


def _provenance(results: Sequence[SelectionResult]) -> dict[str, object] | None:
    facts: list[list[str]] = []
    for each in results:
        known = each.report.get("provenance")
        if known:
            facts.append([f"{each.name}: command", str(known["command"])])
            facts.append([f"{each.name}: time", f"{known['time']}, prcli {known['version']}"])
    return {"facts": facts, "inputs": []} if facts else None


def _same(one: object, other: object) -> bool:
    a, b = float(str(one)), float(str(other))
    return bool(np.isclose(a, b, rtol=1e-9, atol=0.0, equal_nan=True))
