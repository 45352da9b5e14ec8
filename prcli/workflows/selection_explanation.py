"""Why each structure was picked: the targets it helps, and what of the training set it is near."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.numerics.explanation import Helped
from prcli.numerics.nearest import NearestRows
from prcli.workflows.rows import EnergyRows, RowForm
from prcli.workflows.selection import Selection

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Columns that follow those of the picks.
EXPLANATION_COLUMNS = (
    "helped",
    "helped_share",
    "nearest_train",
    "nearest_source",
    "nearest_frame",
    "nearest_distance",
)


@dataclass(frozen=True, eq=False)
class Nearest:
    """The training structure that resembles each of n picks most.

    Attributes
    ----------
    index : ndarray of shape (n,)
        Position in the training set, without the structures that are known by a Hessian only.
    source : ndarray of shape (n,)
        Structure file, or store.
    frame : ndarray of shape (n,)
    distance : ndarray of shape (n,)
        Distance of the mean features, each divided by the scale of the Hessian.
    """

    index: NDArray[np.int64]
    source: NDArray[np.object_]
    frame: NDArray[np.int64]
    distance: FloatArray


def nearest_training(
    record: HessianRecord,
    pool: Dataset,
    indices: NDArray[np.int64],
    train: Sequence[Dataset],
) -> Nearest | None:
    """Find the nearest training structure of each pick, in one pass over the training set.

    Parameters
    ----------
    record : HessianRecord
    pool : Dataset
    indices : ndarray of shape (n,)
        Picks.
    train : sequence of Dataset
        Training structures of which the features are known.

    Returns
    -------
    nearest : Nearest or None
        None if no training structure is known but by a Hessian.
    """
    n_known = sum(data.n_structures for data in train)
    if not n_known:
        logger.info(
            "no pick is told its nearest training structure: of these there is the Hessian only"
        )
    elif n_known < record.n_structures:
        logger.info(
            "the nearest training structures are among %d of %d: of the others there is the "
            "Hessian only",
            n_known,
            record.n_structures,
        )
    if not train:
        return None
    form = RowForm(record.n_features)
    search = NearestRows(EnergyRows(pool, form).take(indices))
    start = 0
    names: list[str] = []
    source, frame = [], []
    for data in train:
        for first, rows in EnergyRows(data, form).blocks():
            search.show(start + first, rows)
        start += data.n_structures
        files, number, frames = data.frames()
        source.append(number + len(names))
        frame.append(frames)
        names += files
    found = search.index
    return Nearest(
        found,
        np.array(names, dtype=object)[np.concatenate(source)[found]],
        np.concatenate(frame)[found],
        search.distance / record.scale,
    )


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why each pick was made.

    Attributes
    ----------
    table : dict
        Columns `EXPLANATION_COLUMNS`, arrays of shape (n,); nothing where nothing is known.
    picks : list of dict
        The same for the report, a mapping for each pick.
    """

    table: dict[str, NDArray[np.generic]]
    picks: list[dict[str, object]]


def explanation(selection: Selection, nearest: Nearest | None) -> Explanation:
    """Put together what is known of each pick."""
    n = len(selection.indices)
    empty = np.full(n, None, dtype=object)
    table: dict[str, NDArray[np.generic]] = dict.fromkeys(EXPLANATION_COLUMNS, empty)
    picks: list[dict[str, object]] = [{} for _ in range(n)]
    if selection.helped is not None:
        entries = [_entries(selection, selection.helped, i) for i in range(n)]
        for column, key in (("helped", "name"), ("helped_share", "share")):
            texts = [",".join(str(entry[key]) for entry in each) for each in entries]
            table[column] = np.array(texts, dtype=object)
        for pick, each in zip(picks, entries, strict=True):
            pick["helped"] = [{k: v for k, v in entry.items() if k != "name"} for entry in each]
    if nearest is not None:
        columns = nearest.index, nearest.source, nearest.frame, nearest.distance
        table |= dict(zip(EXPLANATION_COLUMNS[2:], columns, strict=True))
        for pick, values in zip(
            picks, zip(*(c.tolist() for c in columns), strict=True), strict=True
        ):
            names = ("index", "source", "frame", "distance")
            pick["nearest_training_structure"] = dict(zip(names, values, strict=True))
    return Explanation(table, picks)


def _entries(selection: Selection, helped: Helped, i: int) -> list[Mapping[str, object]]:
    """Describe the targets that pick `i` helps most."""
    entries: list[Mapping[str, object]] = []
    for k, target in enumerate(helped.target[i].tolist()):
        if target < 0:
            continue
        structure = int(selection.target_structure[target])
        place: dict[str, object] = {"name": str(structure), "index": structure}
        if selection.target_atom is not None:
            atom = int(selection.target_atom[target])
            place |= {"name": f"{structure}:{atom}", "atom": atom}
        if selection.target_component is not None:
            component = str(selection.target_component[target])
            place |= {"name": f"{structure}:{component}", "component": component}
        numbers = {
            "share": float(helped.share[i, k]),
            "pr_before": float(helped.pr_before[i, k]),
            "pr_after": float(helped.pr_after[i, k]),
        }
        entries.append(place | numbers)
    return entries
