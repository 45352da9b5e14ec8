"""The table of scores: which rows, in which order, with which columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.elements import SYMBOLS
from prcli.errors import RequestError
from prcli.workflows.relative import Relative
from prcli.workflows.scores import COMPONENTS, ScorePer, Scores

Order: TypeAlias = Literal["rank", "file"]
Columns: TypeAlias = dict[str, NDArray[np.generic]]

#: Rows that one batch of a table holds.
_TABLE_ROWS = 1 << 16

#: Columns between those that say where a row comes from and its uncertainty.
_COLUMNS: dict[ScorePer, tuple[str, ...]] = {
    "structure": ("n_atoms", "pr", "rank"),
    "atom": ("atom", "species", "lpr", "rank"),
    "force": ("atom", "axis", "pr", "rank", "trace"),
    "stress": ("component", "pr", "rank", "trace"),
    "component": ("n_atoms", "component", "cpr", "rank"),
    "atom-component": ("atom", "species", "component", "lcpr", "rank"),
}

#: How rigidities are called that are not just PR.
_RIGIDITIES: dict[ScorePer, str] = {"atom": "lpr", "component": "cpr", "atom-component": "lcpr"}


@dataclass(frozen=True)
class Limits:
    """Which rows of a table are wanted; what is None limits nothing.

    Attributes
    ----------
    below, above : float, optional
        Only rows whose rigidity is lower, or higher.
    below_sigma, above_sigma : float, optional
        Only rows whose σ is lower, or higher, in the unit of its column.

    Raises
    ------
    RequestError
        If one is not a number.
    """

    below: float | None = None
    above: float | None = None
    below_sigma: float | None = None
    above_sigma: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name, value in vars(self).items():
            if value is not None and np.isnan(value):
                raise RequestError(f"--{name.replace('_', '-')} must be a number", got="nan")

    @property
    def of_sigma(self) -> bool:
        """Whether σ has to be known."""
        return self.below_sigma is not None or self.above_sigma is not None

    def ranks(self, scores: Scores) -> tuple[int, int]:
        """Give the number of rows that rank too low, and the last rank that is wanted.

        σ falls as rigidity rises, so every limit cuts off one end of the ranking.
        """
        rigidity, sigma = scores.rigidity, scores.sigma
        first, last = 0, len(scores.rank)
        if self.above is not None:
            first = max(first, _count(rigidity <= self.above))
        if self.below is not None:
            last = min(last, _count(rigidity < self.below))
        if self.below_sigma is not None and sigma is not None:
            first = max(first, _count(sigma >= self.below_sigma))
        if self.above_sigma is not None and sigma is not None:
            last = min(last, _count(sigma > self.above_sigma))
        return first, max(first, last)


def chosen_rows(
    scores: Scores,
    order: Order = "rank",
    *,
    top: int | None = None,
    limits: Limits | None = None,
) -> NDArray[np.int64]:
    """Positions of the rows of a table, in its order.

    Parameters
    ----------
    scores : Scores
    order : {"rank", "file"}
        Least rigid first, or as in the files.
    top : int, optional
        Only so many of the least rigid of those within the limits.
    limits : Limits, optional

    Returns
    -------
    positions : ndarray of int
    """
    first, last = (limits or Limits()).ranks(scores)
    if top is not None:
        last = min(last, first + top)
    # Ranks that follow each other are chosen, so that nothing is sorted again.
    positions = np.flatnonzero((scores.rank > first) & (scores.rank <= last))
    if order == "file":
        return positions
    ranked = np.empty_like(positions)
    ranked[scores.rank[positions] - first - 1] = positions
    return ranked


def score_columns(scores: Scores, record: HessianRecord) -> tuple[str, ...]:
    """Names of the columns of the table, stable between versions."""
    return columns_of(scores.per, record, is_calibrated=scores.alpha is not None)


def columns_of(per: ScorePer, record: HessianRecord, *, is_calibrated: bool) -> tuple[str, ...]:
    """Names of the columns of a table that is still to come."""
    names = ("index", "source", "frame", *_COLUMNS[per])
    return (*names, _sigma_name(per, record)) if is_calibrated else names


def score_table(
    scores: Scores,
    data: Dataset,
    columns: tuple[str, ...],
    rows: NDArray[np.int64],
    first: int = 0,
    relative: Relative | None = None,
) -> Iterator[Mapping[str, NDArray[np.generic]]]:
    """Yield batches of the table, a mapping of column names to arrays of equal length.

    `first` is added to the positions of the structures, where `data` is a share of a set;
    `relative` adds its columns.
    """
    sources, source, frame = data.frames()
    names = np.array(sources, dtype=object)
    for start in range(0, len(rows), _TABLE_ROWS):
        here = rows[start : start + _TABLE_ROWS]
        structure, place = scores.locate(here)
        rigidity = scores.rigidity[here]
        batch: Columns = {
            "index": structure + first,
            "source": names[source[structure]],
            "frame": frame[structure],
            "n_atoms": data.n_atoms[structure],
            "rank": scores.rank[here],
            _RIGIDITIES.get(scores.per, "pr"): rigidity,
        }
        if scores.per == "atom" or scores.per == "atom-component":
            atom = place // scores.n_components
            batch |= {"atom": atom, "species": _symbols(scores, here)}
        if scores.blocks:
            batch["component"] = np.array(scores.blocks, dtype=object)[place % len(scores.blocks)]
        elif scores.per in COMPONENTS:
            batch |= _component_columns(scores, here, place)
        if scores.alpha is not None:
            name = next(name for name in columns if name.startswith("sigma_"))
            batch[name] = scores.alpha / np.sqrt(rigidity)
        if relative is not None:
            batch |= relative.batch(rigidity, here)
        yield {name: batch[name] for name in columns}


def _sigma_name(per: ScorePer, record: HessianRecord) -> str:
    """Name of the column of standard deviations, with its unit."""
    if per == "structure" or per == "component":
        return "sigma_eV_per_atom" if record.energy == "per-atom" else "sigma_eV"
    return {"force": "sigma_eV_per_A", "stress": "sigma_eV_per_A3"}.get(per, "sigma_eV")


def _count(rows: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(rows))


def _symbols(scores: Scores, rows: NDArray[np.int64]) -> NDArray[np.generic]:
    """Chemical symbols of some atoms; X where they are not known."""
    numbers = np.zeros(len(rows), dtype=np.uint8)
    if scores.species is not None:
        numbers = scores.species[rows]
    return np.array(SYMBOLS)[numbers]


def _component_columns(
    scores: Scores, rows: NDArray[np.int64], place: NDArray[np.int64]
) -> Columns:
    """Columns that only components of forces and stresses have."""
    component = np.array(COMPONENTS[scores.per])[place % scores.n_components]
    trace = scores.traces_of(rows // scores.n_components)
    if scores.per == "stress":
        return {"component": component, "trace": trace}
    return {"atom": place // scores.n_components, "axis": component, "trace": trace}
