"""A result directory of ``prcli select``, read back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prcli.data.extxyz import index_frames
from prcli.data.publish import RESULT_MARKER
from prcli.data.structure_file import read_frames
from prcli.data.tables import read_table
from prcli.errors import FormatError, InputFileError, PrcliError
from prcli.workflows.structure_labels import frame_labels

#: Files that a page is made from, beside the report and the picks.
MAP_FILE, AUDIT_FILE, VIEWER_FILE = "map.tsv", "audit.tsv", "chemiscope.json.gz"

#: What a page needs of a report.
_NEEDED = {
    "request": ("strategy", "objective", "n_to_select", "target_per", "exclude_train"),
    "hessian": ("n_structures", "n_features"),
    "pool": ("n_structures", "n_candidates", "n_in_training"),
    "targets": ("n_targets", "n_infinite"),
    "objective": ("before", "after"),
    "health": ("largest_relative_drift", "n_exact_gains"),
}
_PICK_NEEDS = ("source", "frame", "n_atoms", "objective")

#: The page itself.
PAGE_FILE = "report.html"

Table = dict[str, list[str]]


@dataclass(frozen=True, eq=False)
class SelectionResult:
    """What a result directory holds.

    Attributes
    ----------
    name : str
        What to call it: the directory's name, or the one that was given.
    report : dict
        ``report.json``.
    picks : dict of str to list of str
        ``selection.tsv``.
    formulas, kinds : list of (str or None)
        Of the picks; empty where their frames are gone.
    targets, places, audit : dict of str to list of str, or None
        ``targets.tsv``, ``map.tsv`` and ``audit.tsv``, where they are.
    viewer : dict or None
        ``chemiscope.json.gz``, where it is.
    """

    name: str
    report: dict[str, Any]
    picks: Table
    formulas: list[str | None]
    kinds: list[str | None]
    targets: Table | None = None
    places: Table | None = None
    audit: Table | None = None
    viewer: dict[str, Any] | None = None


def read_result(directory: str | Path, name: str | None = None) -> SelectionResult:
    """Read a result directory.

    Parameters
    ----------
    directory : path
    name : str, optional
        What to call it.

    Raises
    ------
    InputFileError
        If there is none, or a file of it cannot be read.
    FormatError
        If it is not what ``prcli select`` writes, or of a newer version.
    """
    folder = Path(directory)
    report = _read_report(folder / RESULT_MARKER)
    formulas, kinds = _read_labels(folder / "selected.xyz")
    picks = read_table(folder / "selection.tsv")
    lacking = {"rank", "index", "gain", "objective"} - picks.keys()
    if lacking or len(picks["rank"]) != len(report["picks"]):
        raise FormatError(
            "the table of picks does not fit the report beside it",
            where=str(folder / "selection.tsv"),
            expected=f"{len(report['picks'])} picks",
            got=f"no column {', '.join(sorted(lacking))}" if lacking else f"{len(picks['rank'])}",
            remedy="select again",
        )
    known = len(formulas) == len(picks["rank"])
    return SelectionResult(
        folder.resolve().name if name is None else name,
        report,
        picks,
        formulas if known else [],
        kinds if known else [],
        _read_if_there(folder / "targets.tsv"),
        _read_if_there(folder / MAP_FILE),
        _read_if_there(folder / AUDIT_FILE),
        _read_viewer(folder / VIEWER_FILE),
    )


def _read_if_there(path: Path) -> Table | None:
    return read_table(path) if path.exists() else None


def _read_report(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(
            "this is no result of prcli select",
            where=str(path),
            expected="a directory that prcli select -o has written",
            got=error.strerror or str(error),
        ) from error
    except ValueError as error:
        raise FormatError("report cannot be understood", where=str(path), got=str(error)) from error
    kind = content.get("format") if isinstance(content, dict) else None
    if kind != "prcli-report":
        raise FormatError(
            "this is the report of something else",
            where=str(path),
            expected="format prcli-report, that of a selection",
            got=str(kind),
        )
    if content.get("version") != 1:
        raise FormatError(
            "report has another version",
            where=str(path),
            expected="1",
            got=str(content.get("version")),
            remedy="use the version of prcli that wrote it",
        )
    lacking = [*_lacking(content)]
    if lacking:
        listed = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        raise FormatError("report is incomplete", where=str(path), got=f"no {listed}")
    return dict(content)


def _lacking(content: dict[str, Any]) -> Iterator[str]:
    """Name what a page needs of a report and does not find, or not of that kind."""
    if not isinstance(content.get("stopped"), str):
        yield "stopped"
    for name, keys in _NEEDED.items():
        part = content.get(name)
        if not isinstance(part, dict):
            yield name
        else:
            yield from (f"{name}.{key}" for key in keys if key not in part)
    picks = content.get("picks")
    if not isinstance(picks, list):
        yield "picks"
        return
    for number, pick in enumerate(picks, start=1):
        known = pick if isinstance(pick, dict) else {}
        yield from (f"{key} of pick {number}" for key in _PICK_NEEDS if key not in known)


def _read_labels(path: Path) -> tuple[list[str | None], list[str | None]]:
    """Formulas and kinds of the picked frames; nothing where they cannot be read any more."""
    formulas: list[str | None] = []
    kinds: list[str | None] = []
    try:
        index = index_frames(path, digest=False)
        for content in read_frames(path, range(len(index)), index.offset):
            formula, kind = frame_labels(content)
            formulas.append(formula)
            kinds.append(kind)
    except PrcliError:
        # They are the user's, who may have moved them to compute them.
        return [], []
    return formulas, kinds


def _read_viewer(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, EOFError, ValueError) as error:
        raise FormatError(
            "structures for the viewer cannot be read", where=str(path), got=str(error)
        ) from error
    return dict(content)
