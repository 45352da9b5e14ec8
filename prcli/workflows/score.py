"""Rigidities of structures and atoms, streamed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.annotation import add_column, annotate
from prcli.data.dataset import Dataset
from prcli.data.extxyz import join_frames
from prcli.data.hessian_record import HessianRecord
from prcli.data.publish import publish_file
from prcli.elements import SYMBOLS
from prcli.errors import RequestError
from prcli.numerics.rigidity import rigidities
from prcli.records import Progress, no_progress
from prcli.workflows.frames import Frames
from prcli.workflows.model import check_fits, full_factor, row_form, warn_about_training
from prcli.workflows.rows import EnergyRows, local_blocks

logger = logging.getLogger(__name__)

Per: TypeAlias = Literal["structure", "atom"]
Order: TypeAlias = Literal["rank", "file"]
FloatArray = NDArray[np.float64]

#: Rows that one batch of a table holds.
_TABLE_ROWS = 1 << 16


@dataclass(frozen=True, eq=False)
class Scores:
    """Rigidities of a data set.

    Attributes
    ----------
    per : {"structure", "atom"}
    rigidity : ndarray of shape (M,)
        PR of each structure, or LPR of each atom, in the order of the set.
    rank : ndarray of shape (M,)
        1 for the least rigid; equal rigidities in the order of the set.
    structure : ndarray of shape (M,)
        Structure that a row belongs to.
    atom : ndarray of shape (M,) or None
        Position in the structure.
    species : ndarray of shape (M,) or None
        Atomic numbers, where they are known.
    alpha : float or None
        Calibration factor, eV/atom (eV for total energies), if the Hessian is calibrated.
    """

    per: Per
    rigidity: FloatArray
    rank: NDArray[np.int64]
    structure: NDArray[np.int64]
    atom: NDArray[np.int64] | None
    species: NDArray[np.uint8] | None
    alpha: float | None

    @property
    def sigma(self) -> FloatArray | None:
        """Standard deviation α/√PR of each prediction."""
        return None if self.alpha is None else self.alpha / np.sqrt(self.rigidity)

    @property
    def n_infinite(self) -> int:
        """Rows of zeros, which every training set holds infinitely firmly."""
        return int(np.count_nonzero(np.isinf(self.rigidity)))


def score(
    record: HessianRecord,
    data: Dataset,
    per: Per = "structure",
    progress: Progress = no_progress,
) -> Scores:
    """Compute the rigidity of every structure or atom.

    Features are read block by block; only one number a row is kept.

    Parameters
    ----------
    record : HessianRecord
    data : Dataset
    per : {"structure", "atom"}
    progress : callable

    Returns
    -------
    scores : Scores

    Raises
    ------
    FeatureError
        If atoms are asked for and have no features.
    """
    check_fits(record, data)
    if per not in ("structure", "atom"):
        raise RequestError("per is not known", expected="structure or atom", got=repr(per))
    warn_about_training(record, data)
    factor = full_factor(record)
    form = row_form(record)
    atom = species = None
    if per == "structure":
        values = np.empty(data.n_structures)
        for start, rows in EnergyRows(data, form).blocks():
            values[start : start + len(rows)] = rigidities(rows, factor, overwrite=True)
            progress("score", start + len(rows), len(values))
        structure = np.arange(len(values))
    else:
        n_atoms = data.n_atoms_total
        values, done = np.empty(n_atoms), 0
        structure = np.empty(n_atoms, dtype=np.int64)
        atom = np.empty(n_atoms, dtype=np.int64)
        species = np.empty(n_atoms, dtype=np.uint8) if data.has_species else None
        for of_structure, of_atom, rows, numbers in local_blocks(data, form):
            here = slice(done, done + len(rows))
            values[here] = rigidities(rows, factor, overwrite=True)
            structure[here], atom[here] = of_structure, of_atom
            if species is not None and numbers is not None:
                species[here] = numbers
            done += len(rows)
            progress("score", done, n_atoms)
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(values, kind="stable")] = np.arange(1, len(values) + 1)
    return Scores(per, values, rank, structure, atom, species, record.alpha_energy)


def chosen_rows(
    scores: Scores,
    order: Order = "rank",
    *,
    top: int | None = None,
    below: float | None = None,
) -> NDArray[np.int64]:
    """Positions of the rows of a table, in its order.

    Parameters
    ----------
    scores : Scores
    order : {"rank", "file"}
        Least rigid first, or as in the files.
    top : int, optional
        Only so many of the least rigid.
    below : float, optional
        Only those of lower rigidity.

    Returns
    -------
    positions : ndarray of int
    """
    keep = np.ones(len(scores.rigidity), dtype=bool)
    if top is not None:
        keep &= scores.rank <= top
    if below is not None:
        keep &= scores.rigidity < below
    positions = np.flatnonzero(keep)
    if order == "rank":
        positions = positions[np.argsort(scores.rank[positions])]
    return positions


def score_columns(scores: Scores, record: HessianRecord) -> tuple[str, ...]:
    """Names of the columns of the table, stable between versions."""
    if scores.per == "structure":
        names = ["index", "source", "frame", "n_atoms", "pr", "rank"]
        unit = "sigma_eV_per_atom" if record.energy == "per-atom" else "sigma_eV"
    else:
        names = ["index", "source", "frame", "atom", "species", "lpr", "rank"]
        unit = "sigma_eV"
    return tuple(names + [unit] * (scores.alpha is not None))


def score_table(
    scores: Scores, data: Dataset, columns: tuple[str, ...], rows: NDArray[np.int64]
) -> Iterator[Mapping[str, NDArray[np.generic]]]:
    """Yield batches of the table, a mapping of column names to arrays of equal length."""
    sources, source, frame = data.frames()
    names = np.array(sources, dtype=object)
    symbols = np.array(SYMBOLS, dtype=object)
    for start in range(0, len(rows), _TABLE_ROWS):
        here = rows[start : start + _TABLE_ROWS]
        structure = scores.structure[here]
        batch: dict[str, NDArray[np.generic]] = {
            "index": structure,
            "source": names[source[structure]],
            "frame": frame[structure],
            "n_atoms": data.n_atoms[structure],
            "rank": scores.rank[here],
            columns[5 if scores.per == "atom" else 4]: scores.rigidity[here],
        }
        if scores.atom is not None:
            batch["atom"] = scores.atom[here]
            known = scores.species is not None
            batch["species"] = (
                symbols[scores.species[here]]
                if known and scores.species is not None
                else np.full(len(here), "X", dtype=object)
            )
        if scores.sigma is not None:
            batch[columns[-1]] = scores.sigma[here]
        yield {name: batch[name] for name in columns}


def write_scored(
    path: str,
    scores: Scores,
    data: Dataset,
    frames: Frames,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> None:
    """Copy all frames with their rigidities added, in the order of the set.

    Structures get ``prcli_pr=`` (and ``prcli_sigma=`` from a calibrated Hessian) in the
    comment line, atoms a column ``prcli_lpr``; every other byte stays.

    Parameters
    ----------
    path : str
    scores : Scores
    data : Dataset
    frames : Frames
        Of `data`.
    overwrite : bool
    progress : callable
    """
    with publish_file(path, overwrite) as temporary, open(temporary, "wb") as file:
        for content in join_frames(_scored_frames(scores, data, frames, progress)):
            file.write(content)


def _scored_frames(
    scores: Scores, data: Dataset, frames: Frames, progress: Progress
) -> Iterator[bytes]:
    contents = frames.read(range(data.n_structures))
    sigma = scores.sigma
    done = 0
    for i, content in enumerate(contents):
        where = f"{data.label}, structure {i}"
        if scores.per == "structure":
            values = {"prcli_pr": float(scores.rigidity[i])}
            if sigma is not None:
                values["prcli_sigma"] = float(sigma[i])
            yield annotate(content, values, overwrite=True, where=where)
        else:
            n_atoms = int(data.n_atoms[i])
            lpr = scores.rigidity[done : done + n_atoms]
            done += n_atoms
            yield add_column(content, "prcli_lpr", lpr, overwrite=True, where=where)
        progress("write", i + 1, data.n_structures)
