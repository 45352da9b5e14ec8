"""Gradient rows by finite differences of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prcli.features.featurizer import Featurizer

if TYPE_CHECKING:
    from ase import Atoms

#: Rows and columns of the strain in Voigt order.
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def _central(featurizer: Featurizer, moved: list[Atoms], step: float) -> np.ndarray:
    """Fourth order: structures at −2, −1, 1 and 2 steps; sums over atoms, shape (D,)."""
    sums = [featurizer.describe([each]).features.sum(axis=0) for each in moved]
    weights = np.array([1.0, -8.0, 8.0, -1.0]) / (12.0 * step)
    return weights @ np.array(sums)


def force_row(featurizer: Featurizer, structure: Atoms, atom: int, axis: int) -> np.ndarray:
    """−∂(Σ_j f_j)/∂r of one atom and axis."""
    step = 1e-3
    moved = []
    for n_steps in (-2, -1, 1, 2):
        moved.append(structure.copy())
        moved[-1].positions[atom, axis] += n_steps * step
    return -_central(featurizer, moved, step)


def stress_row(featurizer: Featurizer, structure: Atoms, component: int) -> np.ndarray:
    """½(∂/∂ε_ij + ∂/∂ε_ji) Σ_j f_j / V of one component."""
    step = 1e-3
    i, j = VOIGT[component]
    moved = []
    for n_steps in (-2, -1, 1, 2):
        strain = np.eye(3)
        strain[i, j] += n_steps * step / 2
        strain[j, i] += n_steps * step / 2
        moved.append(structure.copy())
        moved[-1].set_cell(structure.cell.array @ strain, scale_atoms=True)
    return _central(featurizer, moved, step) / abs(np.linalg.det(structure.cell.array))


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Compare rows by the largest number of the one that is expected."""
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
