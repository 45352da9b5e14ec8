"""What a page shows of one selection: plain lists and numbers, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prcli.workflows.page_facts import provenance, request_rows
from prcli.workflows.result_numbers import integers, numbers, plain
from prcli.workflows.selection_result import SelectionResult
from prcli.workflows.selection_words import (
    asked,
    chosen,
    explanation,
    health,
    limits,
    objective_name,
    title,
)

#: Targets that a page lists at most: those with the lowest rigidity after the picks.
MOST_TARGETS = 2000

#: Picks that a page lists at most: the first ones.
MOST_PICKS = 5000

_N_BINS = 32

#: Letters of a formula or a kind that a page shows.
_LONGEST_LABEL = 120

#: The column of explanations, which are long.
_WHY = "why"

#: Columns of the picks that are numbers, with what they mean.
_PICK_NUMBERS = {
    "rank": "number of the pick",
    "frame": "position in its file",
    "n_atoms": "atoms",
    "cost": "cost of the structure",
    "gain": "what the pick adds to the objective",
    "objective": "value after the pick",
    "target_pr_min": "smallest rigidity of a target after the pick",
    "margin": "lead over the runner-up, relative to the gain",
}


def page_content(result: SelectionResult) -> dict[str, object]:
    """Collect what the page of one selection shows.

    Parameters
    ----------
    result : SelectionResult

    Returns
    -------
    content : dict
        Plain values; numbers that are not finite are None.
    """
    report = result.report
    names = target_names(result)
    return {
        "kind": "selection",
        "title": title(len(report["picks"]), result.picks["source"]),
        "sentences": [asked(report), chosen(report), *limits(report)],
        "objective": _objective(result),
        "distribution": distribution(
            [("before the picks", "before", result), ("after the picks", "after", result)]
        ),
        "map": _map(result),
        "picks": _picks(result, names),
        "targets": _targets(result),
        "health": list(health(report)),
        "provenance": provenance(report),
        "request": request_rows(report),
        "viewer": result.viewer,
    }


def target_names(result: SelectionResult) -> list[str]:
    """Name the structures of the target set by index, as far as they are known."""
    table = result.targets
    if table is None:
        return []
    known = dict(
        zip(
            integers(table, "index"),
            zip(table["source"], table["frame"], strict=True),
            strict=True,
        )
    )
    size = max(known, default=-1) + 1
    return ["{}, frame {}".format(*known[i]) if i in known else f"target {i}" for i in range(size)]


def label_columns(result: SelectionResult) -> dict[str, list[str | None]]:
    """Name formula and kind of the picks, where they are known; long ones by their beginnings."""
    columns = {"formula": _cut(result.formulas), "config_type": _cut(result.kinds)}
    return {name: values for name, values in columns.items() if any(values)}


def _cut(texts: Sequence[str | None]) -> list[str | None]:
    """Leave the beginnings of texts that fill more than a line."""
    long = _LONGEST_LABEL
    return [f"{text[:long]}…" if text and len(text) > long else text for text in texts]


def _objective(result: SelectionResult) -> dict[str, object]:
    """Give the objective over the picks, beside that of other strategies if they were audited."""
    request, values = result.report["request"], numbers(result.picks, "objective")
    before = float(str(result.report["objective"]["before"]))
    series: list[dict[str, object]] = [
        {
            "name": request["strategy"],
            "x": list(range(len(values) + 1)),
            "y": plain([before, *values.tolist()]),
            "picks": True,
        }
    ]
    audit = result.audit
    if audit is not None:
        strategies = np.array(audit["strategy"])
        for name in dict.fromkeys(audit["strategy"]):
            if name == request["strategy"]:
                continue
            rows = np.flatnonzero(strategies == name)
            series.append(
                {
                    "name": name,
                    "x": numbers(audit, "n_added")[rows].astype(int).tolist(),
                    "y": plain(numbers(audit, "objective")[rows]),
                    "spread": plain(numbers(audit, "objective_std")[rows]),
                }
            )
    note = "Baselines are drawn after a selection with --audit."
    if audit is not None:
        n_draws = max(integers(audit, "n_runs"), default=1)
        note = f"Band: one standard deviation of {n_draws} random draws." if n_draws > 1 else ""
    return {"label": objective_name(request["objective"]), "series": series, "note": note}


def distribution(series: Sequence[tuple[str, str, SelectionResult]]) -> dict[str, object] | None:
    """Histograms of rigidities of targets, with common bins.

    Parameters
    ----------
    series : sequence of (label, {"before", "after"}, SelectionResult)
        Those without targets are left out.
    """
    series = [each for each in series if each[2].targets is not None]
    values = []
    for _, when, result in series:
        own = np.empty(0) if result.targets is None else numbers(result.targets, f"pr_{when}")
        values.append(own[np.isfinite(own) & (own > 0.0)])
    together = np.concatenate([np.empty(0), *values])
    if not together.size:
        return None
    low, high = np.log10(together.min()), np.log10(together.max())
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _N_BINS + 1)
    # The ends belong to the bins, whatever rounding makes of them.
    edges[0], edges[-1] = low - 1e-9, high + 1e-9
    return {
        "edges": plain(edges),
        "series": [
            {"name": label, "counts": np.histogram(np.log10(own), edges)[0].tolist()}
            for (label, _, _), own in zip(series, values, strict=True)
        ],
    }


def _map(result: SelectionResult) -> dict[str, object] | None:
    """Points of the map; texts that recur are numbered."""
    table = result.places
    if table is None or not table["set"]:
        return None
    facts = result.report.get("map") or {}
    ranks = {index: rank for rank, index in enumerate(integers(result.picks, "index"), start=1)}
    coded = {name: _coded(table[name]) for name in ("set", "source")}
    coded |= {name: _coded(_cut(table[name])) for name in ("formula", "config_type")}
    return {
        "x": plain(numbers(table, "pc1"), 5),
        "y": plain(numbers(table, "pc2"), 5),
        "pr": plain(numbers(table, "pr"), 4),
        "frame": integers(table, "frame"),
        "rank": [
            ranks.get(index, 0) if name == "pool" else 0
            for name, index in zip(table["set"], integers(table, "index"), strict=True)
        ],
        **coded,
        "gain": plain(numbers(result.picks, "gain")),
        # What is rounding is no share.
        "shares": [share if share > 1e-9 else 0.0 for share in facts.get("variance_shares", [])],
        "points": facts.get("points", {}),
    }


def _coded(texts: Sequence[str | None]) -> dict[str, object]:
    known = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return {"names": list(known), "codes": [known[text] for text in texts]}


def _picks(result: SelectionResult, names: Sequence[str]) -> dict[str, object]:
    table, extra = result.picks, label_columns(result)
    columns = ["rank", "source", "frame", *extra, *list(_PICK_NUMBERS)[2:]]
    if set(numbers(table, "cost").tolist()) <= {1.0}:
        columns.remove("cost")
    # Baselines without targets have neither gains nor leads.
    for name in ("gain", "objective", "target_pr_min", "margin"):
        if not np.isfinite(numbers(table, name)).any():
            columns.remove(name)
    why = [explanation(pick, names) for pick in result.report["picks"]]
    if any(why):
        columns.append(_WHY)
    cells: dict[str, Sequence[object]] = {_WHY: why, "source": table["source"], **extra}
    cells |= {name: plain(numbers(table, name), 8) for name in columns if name in _PICK_NUMBERS}
    content = _table(columns, {name: cells[name][:MOST_PICKS] for name in columns}, _PICK_NUMBERS)
    n_picks = len(table["source"])
    if n_picks > MOST_PICKS:
        content["note"] = f"The first {MOST_PICKS} of {n_picks} picks; selection.tsv has all."
    return content


def _targets(result: SelectionResult) -> dict[str, object] | None:
    table = result.targets
    if table is None:
        return None
    after = numbers(table, "pr_after")
    n = len(after)
    shown = np.sort(np.argsort(after, kind="stable")[:MOST_TARGETS])
    columns = ["index", "source", "frame", "n_atoms", "weight", "pr_before", "pr_after", "ratio"]
    columns[3:3] = [name for name in ("atom", "component") if name in table]
    if set(numbers(table, "weight").tolist()) <= {1.0}:
        columns.remove("weight")
    with np.errstate(invalid="ignore"):
        # Rows of zeros are infinitely rigid before and after.
        ratio = after / numbers(table, "pr_before")
    cells: dict[str, Sequence[object]] = {
        **{
            name: [table[name][i] for i in shown]
            for name in ("source", "component")
            if name in table
        },
        "ratio": plain(ratio[shown], 4),
    }
    cells |= {name: plain(numbers(table, name)[shown]) for name in columns if name not in cells}
    meanings = {
        "index": "position in the target set",
        "frame": "position in its file",
        "atom": "position in the structure",
        "n_atoms": "atoms",
        "weight": "weight in the objective",
        "pr_before": "rigidity before the picks",
        "pr_after": "rigidity after the picks",
        "ratio": "after over before",
    }
    content = _table(columns, cells, meanings)
    if len(shown) < n:
        content["note"] = (
            f"The {len(shown)} of {n} targets with the lowest rigidity after the picks; "
            "targets.tsv has all."
        )
    return content


def _table(
    columns: Sequence[str], cells: Mapping[str, Sequence[object]], meanings: Mapping[str, str]
) -> dict[str, object]:
    """Columns, and rows in their order; those with a meaning are numbers."""
    return {
        "columns": [
            {
                "name": name,
                "is_number": name in meanings,
                "is_below": name == _WHY,
                "meaning": meanings.get(name, ""),
            }
            for name in columns
        ],
        "rows": [list(row) for row in zip(*(cells[name] for name in columns), strict=True)],
    }
