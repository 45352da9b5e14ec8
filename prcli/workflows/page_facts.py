"""Facts of a report that a page lists: what was asked for, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What a report may say of limits and of searches within them.
_LIMITS = (
    "cost",
    "quotas",
    "min_distance",
    "duplicates_within",
    "included",
    "n_excluded",
    "searches",
    "refinement",
    "bound",
)


def request_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """List what was asked for, option by option, and what decided the numbers."""
    rows = [[name, str(value)] for name, value in report["request"].items() if value is not None]
    hessian = report["hessian"]
    for name, value in hessian.items():
        if name.startswith("condition_number") or name == "featurizer":
            continue
        text = ", ".join(f"{n} {kind}" for kind, n in value.items()) if name == "n_rows" else value
        rows.append([f"hessian {name}", f"{text:.6g}" if isinstance(text, float) else str(text)])
    rows += [[name, _words(report[name])] for name in _LIMITS if name in report]
    return rows


def provenance(report: Mapping[str, Any]) -> dict[str, object] | None:
    """Where the result comes from; None where it was not recorded."""
    known = report.get("provenance")
    if not known:
        return None
    facts = [["version", f"prcli {known['version']}"], ["time", known["time"]]]
    facts.append(["command", known["command"]])
    facts += [[name, _words(value)] for name, value in known["settings"].items() if value]
    return {
        "facts": facts,
        "inputs": [
            [str(entry["path"]), str(entry["size"]), str(entry["digest"])]
            for entry in known["inputs"]
        ],
    }


def _words(value: object) -> str:
    """Write a value of a report in a line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(_words(each) for each in value)
    return str(value)
