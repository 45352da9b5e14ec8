"""SOAP power spectra (smooth overlap of atomic positions), computed by featomic.

Columns are those of featomic: for each pair of neighbour elements a ≤ b all (l, n, n'), with pairs
of different elements times √2, so that the product of two rows is the overlap of two densities.
For a = b, (l, n, n') and (l, n', n) are equal; ``distinct`` keeps one of them, times √2, which
changes no product of rows and so no rigidity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np

from prcli.elements import SYMBOLS
from prcli.features.assembly import Assembly
from prcli.features.featomic_package import (
    GRADIENT_BYTES,
    as_systems,
    centre_parts,
    count_neighbours,
    featomic_errors,
    load_featomic,
)
from prcli.features.featurizer import Description, FeaturizerOptions, refuse_gradients
from prcli.features.hypers import BASIS, CUTOFF, DENSITY, Table, check_hypers
from prcli.features.pair_columns import distinct_columns, pair_columns
from prcli.records import RowKind

if TYPE_CHECKING:
    from ase import Atoms

#: The settings of the sample data: 125 features for each pair of neighbour elements.
DEFAULTS: dict[str, Any] = {
    "cutoff": {"radius": 4.0, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
    "density": {"type": "Gaussian", "width": 0.3},
    "basis": {
        "type": "TensorProduct",
        "max_angular": 4,
        "radial": {"type": "Gto", "max_radial": 4},
    },
}

HYPERS = Table({"cutoff": CUTOFF, "density": DENSITY, "basis": BASIS})

_PARAMETERS: dict[RowKind, str] = {"force": "positions", "stress": "strain"}


def make_soap(options: FeaturizerOptions) -> Soap:
    """Make a SOAP featurizer; without hyperparameters, with `DEFAULTS`."""
    return Soap(options)


class Soap:
    """Power spectra of the neighbour density of each atom; see `Featurizer`.

    Parameters
    ----------
    options : FeaturizerOptions
        `hypers` are the arguments ``cutoff``, ``density`` and ``basis`` of
        ``featomic.SoapPowerSpectrum``.

    Raises
    ------
    RequestError
        If featomic is not installed.
    FormatError, FeatureError
        If a hyperparameter is not known, or featomic refuses them.
    """

    name = "soap"

    def __init__(self, options: FeaturizerOptions) -> None:
        refuse_gradients(self.name, options.gradients, ("force", "stress"))
        featomic = load_featomic()
        hypers = check_hypers(
            DEFAULTS if options.hypers is None else options.hypers, HYPERS, options.where
        )
        self.cutoff = float(hypers["cutoff"]["radius"])
        self.species = options.species
        per_species = options.per_species
        self.per_species = len(self.species) > 1 if per_species is None else per_species
        with featomic_errors("featomic does not take these hyperparameters", options.where):
            self._calculator = featomic.SoapPowerSpectrum(**hypers)
            labels = self._labels()
        self._distinct = distinct_columns(labels) if options.distinct else None
        layout = pair_columns(self.species, self._widths(len(labels)), self.per_species)
        self._columns = layout.columns
        self.blocks, self.n_features = layout.blocks, layout.n_features
        self.settings: Mapping[str, object] = {
            "hypers": hypers,
            "species": [SYMBOLS[number] for number in self.species],
            "per_species": self.per_species,
            "distinct": options.distinct,
            "featomic": featomic.__version__,
        }

    def _labels(self) -> np.ndarray:
        """Labels l, n, n' of the columns of a pair: what featomic gives for a lone atom."""
        from ase import Atoms

        block = self._calculator.compute(Atoms([self.species[0]], [(0.0, 0.0, 0.0)])).block(0)
        return np.array(block.properties.values)

    def _widths(self, width: int) -> dict[tuple[int, int], int]:
        """Columns of each pair of neighbour elements."""
        kept = width if self._distinct is None else len(self._distinct.kept)
        pairs = combinations_with_replacement(self.species, 2)
        return {(one, other): kept if one == other else width for one, other in pairs}

    def check(self, structure: Atoms) -> None:
        """Accept any structure."""

    def n_bytes(self, structure: Atoms, gradients: Sequence[RowKind] = ()) -> int:
        """Estimate the memory that describing a structure takes."""
        rows = len(structure) * self.n_features * (3 + 6 * ("force" in gradients))
        entries = min(self._n_gradients(structure, gradients), GRADIENT_BYTES // 8)
        return int(8 * (rows + entries))

    def _n_gradients(self, structure: Atoms, gradients: Sequence[RowKind]) -> float:
        """Numbers that featomic returns as gradients of the features of a structure."""
        n_columns = self.n_features / (len(self.species) if self.per_species else 1)
        derivatives = 9.0 * ("stress" in gradients)
        if "force" in gradients:
            derivatives += 3.0 * count_neighbours(structure, self.cutoff)
        return len(structure) * n_columns * derivatives

    def describe(
        self, structures: Sequence[Atoms], gradients: Sequence[RowKind] = ()
    ) -> Description:
        """Compute power spectra; see `Featurizer`."""
        assembly = Assembly(structures, self.n_features, gradients)
        systems = as_systems(structures, self.cutoff)
        parameters = [_PARAMETERS[kind] for kind in gradients]
        n_numbers = sum(self._n_gradients(structure, gradients) for structure in structures)
        with featomic_errors("featomic cannot describe the structures"):
            for samples in centre_parts(structures, n_numbers):
                tensors = self._calculator.compute(
                    systems, gradients=parameters, selected_samples=samples
                )
                for key, block in tensors.items():
                    self._take(assembly, self._columns[tuple(key.values.tolist())], key, block)
        return assembly.description()

    def _take(self, assembly: Assembly, columns: slice, key: Any, block: Any) -> None:
        """Take the features, and their gradients, of one centre and one pair of neighbours."""
        is_square = key["neighbor_1_type"] == key["neighbor_2_type"]
        samples = np.asarray(block.samples.values)
        assembly.add(
            assembly.rows_of(samples[:, 0], samples[:, 1]),
            columns,
            self._kept(block.values, is_square),
        )
        for parameter in block.gradients_list():
            gradient = block.gradient(parameter)
            entries = np.asarray(gradient.samples.values)
            values = self._kept(gradient.values, is_square)
            if parameter == "positions":
                moved = assembly.rows_of(entries[:, 1], entries[:, 2])
                assembly.add_positions(moved, columns, values)
            else:
                assembly.add_strain(samples[entries[:, 0], 0], columns, values)

    def _kept(self, values: Any, is_square: bool) -> np.ndarray:
        """Drop columns that equal another one, where that was asked for."""
        array = np.asarray(values)
        return self._distinct.of(array) if self._distinct is not None and is_square else array
