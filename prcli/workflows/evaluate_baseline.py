"""What energies are measured from: energies of atoms, fitted to the base training set."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.elements import SYMBOLS
from prcli.errors import FeatureError, MismatchError, RequestError
from prcli.numerics.refit import Regression
from prcli.records import EnergyKind
from prcli.workflows.rows import elements_of, species_counts

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

BaselineKind: TypeAlias = Literal["composition", "mean", "none"]

#: Structures whose elements are counted together.
_STRUCTURES_AT_A_TIME = 1 << 14


@dataclass(frozen=True, eq=False)
class Baseline:
    """Energies of atoms that a model adds to what it has learned.

    Attributes
    ----------
    kind : {"composition", "mean", "none"}
        An energy for each element, one for every atom, or none.
    species : tuple of int
        Atomic numbers; empty unless there is an energy for each element.
    energies : ndarray of shape (len(species),), (1,) or (0,)
        eV.
    """

    kind: BaselineKind
    species: tuple[int, ...]
    energies: FloatArray

    def of(self, data: Dataset, energy: EnergyKind, needed: NDArray[np.bool_]) -> FloatArray:
        """Give the baseline of every structure.

        Parameters
        ----------
        data : Dataset
        energy : {"per-atom", "total"}
        needed : ndarray of bool of shape (S,)
            Structures that must have one.

        Returns
        -------
        values : ndarray of shape (S,)
            eV/atom or eV; nan for a structure with an element of which the base training set
            says nothing.

        Raises
        ------
        MismatchError
            If a structure that needs one has none.
        """
        if self.kind == "none":
            return np.zeros(data.n_structures)
        values = np.concatenate(
            [counts @ self.energies for counts in _counts(data, self.species, energy)]
        )
        lacking = np.flatnonzero(np.isnan(values) & needed)
        if lacking.size:
            raise _unfitted_element(data, int(lacking[0]), self.species)
        return values

    def __str__(self) -> str:
        """Say it in words."""
        if self.kind == "none":
            return "none"
        if self.kind == "mean":
            return f"{self.energies[0]:.6g} eV for every atom"
        pairs = zip(self.species, self.energies, strict=True)
        return ", ".join(f"{SYMBOLS[z]} {energy:.6g} eV" for z, energy in pairs)


def choose_baseline(
    kind: BaselineKind | None, train: Dataset
) -> tuple[BaselineKind, tuple[int, ...]]:
    """Settle the kind of baseline before long work.

    Parameters
    ----------
    kind : {"composition", "mean", "none"} or None
        None takes the composition where the training set has several elements, else the mean.
    train : Dataset

    Returns
    -------
    kind : {"composition", "mean", "none"}
    species : tuple of int
        Atomic numbers of the training set, where the composition counts.

    Raises
    ------
    RequestError
        If there is no such baseline.
    FeatureError
        If the composition is asked for and elements are not known.
    """
    if kind is not None and kind not in get_args(BaselineKind):
        raise RequestError(
            "--baseline is not known", expected=" or ".join(get_args(BaselineKind)), got=repr(kind)
        )
    if kind == "composition" and not train.has_species:
        raise _unknown_elements(train)
    if kind in ("mean", "none") or not train.has_species:
        return kind or "mean", ()
    species = elements_of(train)
    if kind is None and len(species) < 2:
        return "mean", ()
    return "composition", species


def fit_baseline(
    kind: BaselineKind,
    species: tuple[int, ...],
    train: Dataset,
    energy: EnergyKind,
    energies: FloatArray,
    weights: FloatArray | None,
) -> Baseline:
    """Fit energies of atoms to the energies of the training set, by least squares.

    Parameters
    ----------
    kind, species
        As `choose_baseline` settles them.
    train : Dataset
    energy : {"per-atom", "total"}
        What the energy of a structure is in the fit.
    energies : ndarray of shape (S,)
        Total energies, eV, where a structure has weight.
    weights : ndarray of shape (S,) or None
        Of the energies; None where all are 1.

    Returns
    -------
    baseline : Baseline
    """
    if kind == "none":
        return Baseline(kind, (), np.empty(0))
    regression, start = Regression(max(1, len(species))), 0
    values = energies / train.n_atoms if energy == "per-atom" else energies
    factors = np.ones(len(values)) if weights is None else np.sqrt(weights)
    for counts in _counts(train, species, energy):
        here = slice(start, start + len(counts))
        # What has no weight may have no energy.
        known = np.where(factors[here] > 0.0, values[here], 0.0)
        regression.add_rows(counts * factors[here, np.newaxis], known * factors[here])
        start += len(counts)
    found, rank = regression.smallest()
    if rank < len(found):
        logger.warning(
            "the compositions of the training set determine only %d of %d energies of atoms; the "
            "smallest ones that fit are taken, which says little about other compositions",
            rank,
            len(found),
        )
    return Baseline(kind, species, found)


def _counts(data: Dataset, species: Sequence[int], energy: EnergyKind) -> Iterator[FloatArray]:
    """Yield atoms of each element, or of any, per structure or per atom, shape (n, k).

    A structure that holds another element has nan instead.
    """
    if species and not data.has_species:
        raise _unknown_elements(data)
    for start, part, positions in data.structure_runs(_STRUCTURES_AT_A_TIME):
        n_atoms = data.n_atoms[start : start + len(positions), np.newaxis]
        counts = n_atoms.astype(np.float64)
        if species:
            counts = species_counts(part, positions, species).astype(np.float64)
            counts[counts.sum(axis=1) != n_atoms[:, 0]] = np.nan
        yield counts / n_atoms if energy == "per-atom" else counts


def _unknown_elements(data: Dataset) -> FeatureError:
    return FeatureError(
        "the elements of the atoms are not known",
        where=data.label,
        expected="the dataset atoms/species, as energies of atoms need it",
        remedy="import the features again, or use --baseline mean",
    )


def _unfitted_element(data: Dataset, index: int, species: Sequence[int]) -> MismatchError:
    part, position = data.locate(index)
    return MismatchError(
        "an element has no energy, since no structure of the training set holds it",
        where=f"{part.table.label}, structure {position}",
        expected="only " + ", ".join(SYMBOLS[z] for z in species),
        remedy="leave such structures out, add some to the training set, or use --baseline mean",
    )
