"""Tables of ensembles: predictions of members, derived quantities, thermodynamic averages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.elements import SYMBOLS
from prcli.numerics.reweighting import Averages
from prcli.workflows.ensemble import Ensemble
from prcli.workflows.propagation import Derived
from prcli.workflows.score import row_offsets
from prcli.workflows.scores import COMPONENTS, Per

FloatArray = NDArray[np.float64]
Column: TypeAlias = NDArray[np.generic]
#: Columns by name, in their order.
Table: TypeAlias = dict[str, Column]

#: Units of predictions, as names of columns have them.
UNITS: dict[Per, str] = {
    "structure": "eV",
    "atom": "eV",
    "force": "eV_per_A",
    "stress": "eV_per_A3",
}

#: Columns between those that say where a row comes from and its prediction.
_PLACES: dict[Per, tuple[str, ...]] = {
    "structure": ("n_atoms",),
    "atom": ("atom", "species"),
    "force": ("atom", "axis"),
    "stress": ("component",),
}


def member_columns(per: Per, n_members: int, *, with_predicted: bool) -> tuple[str, ...]:
    """Name the columns of the table of predictions; `n_members` is 0 without members."""
    predicted = (f"predicted_{UNITS[per]}",) if with_predicted else ()
    places = ("index", "source", "frame", *_PLACES[per])
    return (*places, *predicted, f"sigma_{UNITS[per]}", *_member_names(n_members))


def member_table(
    blocks: Iterable[Ensemble], data: Dataset, per: Per, columns: Sequence[str]
) -> Iterator[Mapping[str, Column]]:
    """Yield batches of the table of predictions.

    Parameters
    ----------
    blocks : iterable of Ensemble
        All rows in order.
    data : Dataset
    per : {"structure", "atom", "force", "stress"}
    columns : sequence of str
        As `member_columns` names them.

    Yields
    ------
    batch : mapping of str to array
    """
    sources, source, frame = data.frames()
    names = np.array(sources, dtype=object)
    offsets = row_offsets(data, per)
    start = 0
    for block in blocks:
        rows = np.arange(start, start + len(block.sigma))
        start += len(rows)
        structure = np.searchsorted(offsets, rows, side="right") - 1
        batch: Table = {
            "index": structure,
            "source": names[source[structure]],
            "frame": frame[structure],
            "n_atoms": data.n_atoms[structure],
            f"sigma_{UNITS[per]}": block.sigma,
        }
        batch |= _place_columns(block, rows - offsets[structure])
        if block.predicted is not None:
            batch[f"predicted_{UNITS[per]}"] = block.predicted
        batch |= _members(block.members)
        yield {name: batch[name] for name in columns}


def derived_table(derived: Sequence[Derived], *, with_members: bool) -> Table:
    """Give a row for each derived quantity, or several where no function reduced them.

    `value` is from the predictions of the model, `mean` and `sigma` are those of the members.
    """
    heights = [len(each.value) for each in derived]
    members = np.concatenate([each.members for each in derived])
    table: Table = {
        "expression": np.repeat(_texts([each.text for each in derived]), heights),
        "row": np.concatenate([np.arange(height) for height in heights]),
        "value": np.concatenate([each.value for each in derived]),
        **_spread(members),
    }
    return table | (_members(members) if with_members else {})


def average_table(
    texts: Sequence[str], averages: Sequence[Averages], *, with_members: bool
) -> Table:
    """Give two rows for each observable: reweighted directly, and by the cumulant form.

    `value` is the average under the potential that was sampled. `n_effective` is the smallest
    number of frames that counts for a member; the cumulant form counts all of them alike.
    """
    members = np.stack([part for each in averages for part in (each.direct, each.cumulant)])
    counted = [(each.n_effective.min(), float(each.n_frames)) for each in averages]
    table: Table = {
        "observable": np.repeat(_texts(texts), 2),
        "method": _texts(["direct", "cumulant"] * len(averages)),
        "n_frames": np.repeat([each.n_frames for each in averages], 2),
        "n_effective": np.array(counted).ravel(),
        "value": np.repeat([each.plain for each in averages], 2),
        **_spread(members),
    }
    return table | (_members(members) if with_members else {})


def _spread(members: FloatArray) -> Table:
    """Mean and standard deviation of members (n, M); not finite where a member is not."""
    with np.errstate(all="ignore"):
        return {"mean": members.mean(axis=1), "sigma": members.std(axis=1, ddof=1)}


def _member_names(n_members: int) -> tuple[str, ...]:
    return tuple(f"member_{m}" for m in range(n_members))


def _members(members: FloatArray) -> Table:
    """Columns of the members, of shape (n, M)."""
    return dict(zip(_member_names(members.shape[1]), members.T, strict=True))


def _place_columns(block: Ensemble, place: NDArray[np.int64]) -> Table:
    """Columns that say which atom or component of its structure a row is."""
    if block.per == "structure":
        return {}
    if block.per == "atom":
        numbers = np.zeros(len(place), dtype=np.uint8) if block.species is None else block.species
        return {"atom": place, "species": np.array(SYMBOLS)[numbers]}
    components = np.array(COMPONENTS[block.per])
    if block.per == "stress":
        return {"component": components[place]}
    return {"atom": place // len(components), "axis": components[place % len(components)]}


def _texts(values: Sequence[str]) -> Column:
    texts = np.empty(len(values), dtype=object)
    texts[:] = values
    return texts
