"""Rigidities of structures, atoms, forces and stresses, streamed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from prcli.data.checks import atom_offsets
from prcli.data.dataset import Dataset
from prcli.data.gradient_blocks import gradient_blocks
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError, RequestError
from prcli.numerics.rigidity import reciprocal, rigidities
from prcli.records import Progress, no_progress
from prcli.workflows.gradient_rows import gradient_rows
from prcli.workflows.model import (
    check_fits,
    full_factor,
    row_form,
    warn_about_descriptors,
    warn_about_training,
)
from prcli.workflows.rows import EnergyRows, RowForm, local_blocks

logger = logging.getLogger(__name__)

Per: TypeAlias = Literal["structure", "atom", "force", "stress"]
GradientKind: TypeAlias = Literal["force", "stress"]
FloatArray = NDArray[np.float64]

#: Components of the force on an atom, and of the stress of a structure, in the order of rows.
COMPONENTS: dict[Per, tuple[str, ...]] = {
    "force": ("x", "y", "z"),
    "stress": ("xx", "yy", "zz", "yz", "xz", "xy"),
}

#: Options of ``prcli features import`` that bring gradients in.
_GRADIENT_OPTIONS: dict[GradientKind, str] = {
    "force": "--gradients or --position-gradients",
    "stress": "--gradients or --strain-gradients",
}


@dataclass(frozen=True, eq=False)
class Scores:
    """Rigidities of a data set.

    Only rigidities and ranks are kept for every row; where a row belongs is worked out from
    `offsets` when it is asked for.

    Attributes
    ----------
    per : {"structure", "atom", "force", "stress"}
    rigidity : ndarray of shape (M,)
        PR of each structure, LPR of each atom, or PR of each component of a force or stress, in
        the order of the set; forces atom by atom in x, y, z, stresses in Voigt order.
    rank : ndarray of shape (M,)
        1 for the least rigid; equal rigidities in the order of the set.
    offsets : ndarray of shape (S + 1,)
        Rows of structure i are ``offsets[i]:offsets[i + 1]``; there may be none.
    species : ndarray of shape (M,) or None
        Atomic numbers of the atoms, 0 where they are not known.
    alpha : float or None
        Calibration factor, if the Hessian has it: eV/atom for structures (eV for total
        energies), eV for atoms, eV/Å for forces, eV/Å³ for stresses.
    """

    per: Per
    rigidity: FloatArray
    rank: NDArray[np.integer]
    offsets: NDArray[np.int64]
    species: NDArray[np.uint8] | None
    alpha: float | None

    @property
    def structure(self) -> NDArray[np.int64]:
        """(M,) structure that a row belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @property
    def atom(self) -> NDArray[np.int64] | None:
        """(M,) position in the structure of the atom that a row belongs to."""
        if self.per not in ("atom", "force"):
            return None
        place = np.arange(len(self.rigidity)) - np.repeat(self.offsets[:-1], np.diff(self.offsets))
        return place // self.n_components

    @property
    def component(self) -> NDArray[np.uint8] | None:
        """(M,) axis of a force, 0 to 2, or component of a stress in Voigt order, 0 to 5."""
        if self.per not in COMPONENTS:
            return None
        components = np.arange(self.n_components, dtype=np.uint8)
        return np.tile(components, len(self.rigidity) // self.n_components)

    @property
    def n_components(self) -> int:
        """Rows that belong together: 3 for a force, 6 for a stress, else 1."""
        return len(COMPONENTS.get(self.per, "1"))

    @property
    def trace(self) -> FloatArray | None:
        """Trace of the covariance G H⁻¹ Gᵀ of each force or stress: the sum of its 1/PR.

        (M/3,) for forces, one per atom, (M/6,) for stresses, one per structure. A pure number;
        times α² it is the sum of the variances of the components.
        """
        return None if self.per not in COMPONENTS else self.traces_of(slice(None))

    def traces_of(self, groups: slice | NDArray[np.int64]) -> FloatArray:
        """Traces of some of the forces or stresses, counted over all."""
        rigidity = self.rigidity.reshape(-1, self.n_components)[groups]
        traces: FloatArray = reciprocal(rigidity).sum(axis=1)
        return traces

    def locate(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Find the structures of some rows, and the places of the rows within them."""
        structure = np.searchsorted(self.offsets, rows, side="right") - 1
        return structure, rows - self.offsets[structure]

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
    """Compute the rigidity of every structure, atom, or component of forces or stresses.

    Features are read block by block; only two numbers a row are kept.

    Parameters
    ----------
    record : HessianRecord
    data : Dataset
        For forces and stresses, structures without such rows are passed over.
    per : {"structure", "atom", "force", "stress"}
    progress : callable

    Returns
    -------
    scores : Scores

    Raises
    ------
    FeatureError
        If the rows that are asked for are not there, or were reduced.
    """
    check_scorable(record, data, per)
    return score_rows(record, data, per, progress)


def score_rows(
    record: HessianRecord, data: Dataset, per: Per, progress: Progress = no_progress
) -> Scores:
    """Score as `score` a set, or a share of one that may lack such rows, that was checked."""
    warn_about_training(record, data)
    warn_about_descriptors(data)
    warn_of_missing(data, per)
    factor = full_factor(record)
    offsets = row_offsets(data, per)
    values, done = np.empty(int(offsets[-1])), 0
    species = None
    if per == "atom" and any(part.table.species is not None for part in data.parts):
        species = np.zeros(len(values), dtype=np.uint8)
    for rows, numbers in row_blocks(data, row_form(record), per):
        here = slice(done, done + len(rows))
        values[here] = rigidities(rows, factor, overwrite=True)
        if species is not None and numbers is not None:
            species[here] = numbers
        done += len(rows)
        progress("score", done, len(values))
    return Scores(per, values, ranks_of(values), offsets, species, alpha_of(record, per))


def check_scorable(record: HessianRecord, data: Dataset, per: Per) -> None:
    """Refuse, before long work, a data set without the rows that are asked for.

    Raises
    ------
    MismatchError
        If features and Hessian do not fit.
    RequestError
        If `per` is unknown.
    FeatureError
        If the rows are not there, or were reduced.
    """
    check_fits(record, data)
    if per not in get_args(Per):
        raise RequestError(
            "per is not known", where="--per", expected=" or ".join(get_args(Per)), got=repr(per)
        )
    if per == "atom" and not data.has_atoms:
        raise FeatureError(
            "rigidities of atoms need features of atoms",
            where=data.label,
            expected="the dataset atoms/features",
            remedy="import features with --convention per-atom, or use --per structure",
        )
    if per == "force" or per == "stress":
        _check_gradients(data, per)


def ranks_of(rigidity: FloatArray) -> NDArray[np.integer]:
    """Rank rows, 1 for the least rigid; equal ones in their order."""
    kind = np.int32 if len(rigidity) <= np.iinfo(np.int32).max else np.int64
    rank: NDArray[np.integer] = np.empty(len(rigidity), dtype=kind)
    rank[np.argsort(rigidity, kind="stable")] = np.arange(1, len(rigidity) + 1, dtype=kind)
    return rank


def _check_gradients(data: Dataset, kind: GradientKind) -> None:
    """Refuse a set without rows of a kind, or with blocks of them instead of single rows."""
    if not data.has_gradients(kind):
        raise FeatureError(
            f"there are no {kind} rows",
            where=data.label,
            expected=f"gradients of the features, with {kind} rows",
            remedy=f"give {_GRADIENT_OPTIONS[kind]} to prcli features import, or --gradients to "
            "prcli features compute, or use --per structure",
        )
    stored = data.gradient_counts(kind)
    mixed = np.flatnonzero(stored < data.original_gradient_counts(kind))
    if mixed.size:
        index = int(mixed[0])
        part, position = data.locate(index)
        raise FeatureError(
            f"the {kind} rows of a structure were reduced, so that single ones are lost",
            where=f"{part.table.label}, structure {position}",
            expected=f"{data.original_gradient_counts(kind)[index]} {kind} rows",
            got=f"{stored[index]} rows",
            remedy="run prcli features import again without --reduce-gradients",
        )


def warn_of_missing(data: Dataset, per: Per) -> None:
    """Say how many structures have no rows of the kind that is asked for."""
    if per == "force" or per == "stress":
        n_missing = int(np.count_nonzero(data.gradient_counts(per) == 0))
        if n_missing:
            logger.warning(
                "%d of %d structures have no %s rows and are left out",
                n_missing,
                data.n_structures,
                per,
            )


def row_offsets(data: Dataset, per: Per) -> NDArray[np.int64]:
    """(S + 1,) first row of each structure, and the number of all."""
    if per == "structure":
        return np.arange(data.n_structures + 1)
    return atom_offsets(data.n_atoms if per == "atom" else data.gradient_counts(per))


def row_blocks(
    data: Dataset, form: RowForm, per: Per
) -> Iterator[tuple[FloatArray, NDArray[np.uint8] | None]]:
    """Yield all rows in order, free to be overwritten, with the elements of atoms."""
    if per == "structure":
        for _, rows in EnergyRows(data, form).blocks():
            yield rows, None
    elif per == "atom":
        for _, _, rows, species in local_blocks(data, form):
            yield rows, species
    else:
        for block in gradient_blocks(data, form.block_rows):
            for _, _, rows in gradient_rows(block, form, data, (per,)):
                yield rows, None


def alpha_of(record: HessianRecord, per: Per) -> float | None:
    """Calibration factor of the rows."""
    if per == "force":
        return record.alpha_force
    return record.alpha_stress if per == "stress" else record.alpha_energy
