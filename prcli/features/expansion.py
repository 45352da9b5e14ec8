"""Expansions of densities or potentials around atoms, and their contraction to invariants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from prcli.features.assembly import Assembly


class Expansion:
    """Coefficients of a density or potential around some atoms, without gaps.

    Parameters
    ----------
    species : tuple of int
        Elements of centres and neighbours.
    numbers : (n,) array of int
        Elements of the atoms of the batch.
    rows : (m,) array of int
        The centres among them.
    n_angular, n_radial : int
        L and N.

    Attributes
    ----------
    place : (n,) array of int64
        Position of an atom among the centres of its element; −1 if it is none.
    values : dict of (centre, l) to (m_c, 2 l + 1, K, N) array
        By neighbour element, K of them.
    """

    def __init__(
        self,
        species: tuple[int, ...],
        numbers: np.ndarray,
        rows: np.ndarray,
        n_angular: int,
        n_radial: int,
    ) -> None:
        self._species, self._n_angular = species, n_angular
        self._atoms = {centre: rows[numbers[rows] == centre] for centre in species}
        self.place = np.full(len(numbers), -1, dtype=np.int64)
        for atoms in self._atoms.values():
            self.place[atoms] = np.arange(len(atoms))
        self.values = {
            (centre, ell): np.zeros((len(atoms), 2 * ell + 1, len(species), n_radial))
            for centre, atoms in self._atoms.items()
            for ell in range(n_angular)
        }

    def add(self, sign: float, tensors: Any, assembly: Assembly) -> None:
        """Add what featomic computed, times a sign."""
        for key, block in tensors.items():
            samples = np.asarray(block.samples.values)
            place = self.place[assembly.rows_of(samples[:, 0], samples[:, 1])]
            position = self._species.index(key["neighbor_type"])
            target = self.values[key["center_type"], key["o3_lambda"]]
            target[place, :, position] += sign * np.asarray(block.values)

    def joined(self, other: Expansion, centre: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Contract with another expansion over m.

        Returns
        -------
        atoms : (m_c,) array of int
            Centres of an element.
        values : list of (m_c, L N N') array
            One for each pair of neighbour elements, the first one's in the outer loop.
        """
        parts = [
            contraction_factor(ell)
            * np.einsum(
                "imap,imbq->iabpq",
                self.values[centre, ell],
                other.values[centre, ell],
                optimize=True,
            )
            for ell in range(self._n_angular)
        ]
        # (i, a, b, l, p, q): the order of the columns within a pair.
        values = np.stack(parts, axis=3)
        n_species = len(self._species)
        pairs = values.reshape(len(values), n_species**2, math.prod(values.shape[3:]))
        return self._atoms[centre], [pairs[:, pair] for pair in range(n_species**2)]


def contraction_factor(ell: int) -> float:
    """Give what a full Clebsch-Gordan product multiplies the sum over m by."""
    return float((-1) ** ell / np.sqrt(2 * ell + 1))
