"""Features of a large structure, whole or in pieces, and the rigidities of its atoms."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.data.hessian_record import HessianRecord
from prcli.elements import ATOMIC_NUMBERS
from prcli.environments.pieces import Piece, pieces
from prcli.environments.surroundings import surroundings
from prcli.errors import FeatureError
from prcli.features.featurizer import Featurizer, FeaturizerOptions, make_featurizer
from prcli.numerics.rigidity import rigidities
from prcli.numerics.rows import atom_rows
from prcli.records import Progress, RowKind
from prcli.workflows.compute_batches import check_structure
from prcli.workflows.compute_request import ComputeRequest
from prcli.workflows.compute_setup import read_hypers
from prcli.workflows.featurizer_choice import chosen_featurizer, known_columns
from prcli.workflows.input_options import InputOptions
from prcli.workflows.model import full_factor, row_form
from prcli.workflows.one_structure import OneStructure
from prcli.workflows.species_option import parse_species

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Memory that describing a structure at once may take.
WHOLE_BYTES = 1 << 30

#: Own atoms of a piece.
_PIECE_ATOMS = 4096


@dataclass(frozen=True, eq=False)
class Model:
    """A Hessian, and what computes features for it.

    Attributes
    ----------
    record : HessianRecord
    featurizer : Featurizer
    kinds : tuple of {"force", "stress"}
        Gradient rows that a structure adds besides its energy.
    """

    record: HessianRecord
    featurizer: Featurizer
    kinds: tuple[RowKind, ...]

    @property
    def reach(self) -> float | None:
        """How far atoms see, in angstrom, where the featurizer says so."""
        cutoff = getattr(self.featurizer, "cutoff", None)
        return float(cutoff) if isinstance(cutoff, (int, float)) else None


def make_model(
    record: HessianRecord, inputs: InputOptions, structures: Sequence[OneStructure]
) -> Model:
    """Make the featurizer that goes with a Hessian.

    Parameters
    ----------
    record : HessianRecord
    inputs : InputOptions
        With a featurizer.
    structures : sequence of OneStructure
        All that will be described.

    Returns
    -------
    model : Model

    Raises
    ------
    MismatchError
        If its features are not those of the Hessian.
    RequestError, FeatureError
        If it cannot describe the structures.
    """
    known = known_columns([record], [])
    told = known[0] if known[0].settings is not None else None
    request = chosen_featurizer(inputs, told)
    numbers = sorted({int(z) for each in structures for z in np.unique(each.atoms.numbers)})
    species = parse_species(request.species) or tuple(numbers)
    _check_elements(species, structures)
    featurizer = _make(request, species, structures)
    known[0].check(featurizer)
    for each in structures:
        check_structure(featurizer, each.atoms, each.where)
    return Model(record, featurizer, request.kinds)


def _make(
    request: ComputeRequest, species: tuple[int, ...], structures: Sequence[OneStructure]
) -> Featurizer:
    smallest = min(structures, key=lambda each: len(each.atoms))
    options = FeaturizerOptions(
        species=species,
        hypers=read_hypers(request),
        per_species=request.per_species,
        distinct=request.distinct,
        gradients=request.kinds,
        example=smallest.atoms,
        where=request.hypers if isinstance(request.hypers, str) else "hypers",
    )
    featurizer = make_featurizer(request.featurizer, options)
    logger.info("%s: %d features per atom", featurizer.name, featurizer.n_features)
    return featurizer


def _check_elements(species: tuple[int, ...], structures: Sequence[OneStructure]) -> None:
    """Refuse elements for which there are no columns."""
    symbols = {number: symbol for symbol, number in ATOMIC_NUMBERS.items()}
    for each in structures:
        foreign = np.setdiff1d(each.atoms.numbers, species)
        if len(foreign):
            raise FeatureError(
                "structure holds an element for which there are no columns",
                where=each.where,
                expected=", ".join(symbols[number] for number in species),
                got=", ".join(symbols[number] for number in foreign.tolist()),
                remedy="build the Hessian again with --species, for all sets that go together",
            )


class LargeFeatures:
    """Features of a large structure, computed when they are asked for.

    Parameters
    ----------
    model : Model
    structure : OneStructure
    cutoff : float
        How far atoms see, in angstrom: what does not fit into memory is described in pieces
        with so much around them.
    progress : callable
    """

    def __init__(
        self, model: Model, structure: OneStructure, cutoff: float, progress: Progress
    ) -> None:
        self._model, self._structure, self._cutoff = model, structure, cutoff
        self._progress = progress
        self._whole: FloatArray | None = None
        self._sum: FloatArray | None = None
        cost = model.featurizer.n_bytes(structure.atoms, ())
        self._in_pieces = cost > WHOLE_BYTES
        if self._in_pieces:
            logger.info(
                "%s would take %.1f GiB to describe at once: it is described in pieces, each with "
                "%g angstrom around it",
                structure.where,
                cost / (1 << 30),
                cutoff,
            )

    @property
    def mean(self) -> FloatArray | None:
        """(D,) mean over all atoms; None if not all were described."""
        if self._whole is not None:
            mean: FloatArray = self._whole.mean(axis=0)
            return mean
        return None if self._sum is None else self._sum / len(self._structure.atoms)

    def rigidities(self) -> FloatArray:
        """(N,) LPR of every atom; infinite for a row of zeros."""
        record, atoms = self._model.record, self._structure.atoms
        factor, form = full_factor(record), row_form(record)
        values = np.empty(len(atoms))
        done, total = 0, np.zeros(self._model.featurizer.n_features)
        for own, features in self._features():
            total += features.sum(axis=0)
            for start in range(0, len(own), form.block_rows):
                here = own[start : start + form.block_rows]
                rows = atom_rows(
                    features[start : start + len(here)],
                    intercept=record.intercept,
                    species=atoms.numbers[here],
                )
                values[here] = rigidities(rows, factor, overwrite=True)
            done += len(own)
            self._progress("score", done, len(atoms))
        self._sum = total
        return values

    def of_atoms(self, atoms: Sequence[int]) -> FloatArray:
        """(k, D) features of some atoms."""
        if not self._in_pieces:
            return self._all()[np.array(atoms, dtype=np.int64)]
        rows = [self._of_one(atom) for atom in atoms]
        return np.stack(rows)

    def _of_one(self, atom: int) -> FloatArray:
        """Features of one atom in a ball that is twice as large as it sees."""
        from ase import Atoms

        found = surroundings(self._structure.atoms, atom, 2.0 * self._cutoff)
        ball = Atoms(numbers=self._structure.atoms.numbers[found.index], positions=found.vectors)
        row: FloatArray = self._describe(ball)[0]
        return row

    def _features(self) -> Iterator[tuple[NDArray[np.int64], FloatArray]]:
        """Yield (atoms, their features)."""
        if not self._in_pieces:
            yield np.arange(len(self._structure.atoms)), self._all()
            return
        piece: Piece
        for piece in pieces(self._structure.atoms, self._cutoff, _PIECE_ATOMS):
            yield piece.own, self._describe(piece.atoms)[: len(piece.own)]

    def _all(self) -> FloatArray:
        if self._whole is None:
            self._whole = self._describe(self._structure.atoms)
        whole: FloatArray = self._whole
        return whole

    def _describe(self, atoms: Atoms) -> FloatArray:
        description = self._model.featurizer.describe([atoms], ())
        features: FloatArray = np.asarray(description.features, dtype=np.float64)
        if not np.isfinite(features).all():
            raise FeatureError(
                f"{self._model.featurizer.name} gave a value that is not finite",
                where=self._structure.where,
                remedy="look at the structure: atoms that are on top of each other, or an odd cell",
            )
        return features
