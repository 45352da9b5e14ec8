"""Whether gradient rows of a model are the derivatives of its features.

Models run compiled operations of other packages, and not all of them differentiate as they
should: then forces and rows are wrong, and nothing says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.errors import FeatureError
from prcli.features.featurizer import Description

if TYPE_CHECKING:
    from ase import Atoms

#: Largest displacement of an atom, angstrom, and error allowed relative to the largest column:
#: rounding makes more of a difference the smaller the step.
_STEPS = {"float64": (1e-4, 1e-3), "float32": (1e-2, 5e-2)}

#: Roundings of the features, in units of the last place, that are allowed besides.
_ROUNDINGS = 16


def check_gradients(
    features_of: Callable[[Atoms], np.ndarray],
    structure: Atoms,
    description: Description,
    precision: str,
    where: str,
) -> None:
    """Compare gradient rows with differences along one direction.

    Parameters
    ----------
    features_of : callable
        From a structure to its (n, D) features.
    structure : ase.Atoms
        Described first in `description`.
    description : Description
        With force rows, stress rows or both.
    precision : {"float32", "float64"}
        Of the numbers that the model computes with.
    where : str
        The model.

    Raises
    ------
    FeatureError
        If they do not agree.
    """
    for rows in (description.features, description.forces, description.stress):
        if rows is not None and not np.isfinite(rows).all():
            # Refused by whoever stores them, who knows the frame.
            return
    step, tolerance = _STEPS[precision]
    rng = np.random.default_rng(0)
    n_atoms = len(structure)
    if description.forces is not None:
        moves = rng.uniform(-1.0, 1.0, size=(n_atoms, 3))
        expected = -moves.reshape(-1) @ description.forces[: 3 * n_atoms]

        def moved(sign: int) -> Atoms:
            return _deformed(structure, moves=sign * step * moves)

        _compare(features_of, moved, expected, step, tolerance, f"{where}, force rows")
    if description.stress is not None:
        strain = rng.uniform(-0.1, 0.1, size=(3, 3))
        strain += strain.T
        # Voigt order; each shear stands for two entries of the strain.
        weights = strain[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] * np.array([1, 1, 1, 2, 2, 2])
        expected = weights @ description.stress[:6] * abs(structure.cell.volume)

        def strained(sign: int) -> Atoms:
            return _deformed(structure, strain=sign * step * strain)

        _compare(features_of, strained, expected, step, tolerance, f"{where}, stress rows")


def _deformed(
    structure: Atoms,
    moves: NDArray[np.float64] | float = 0.0,
    strain: NDArray[np.float64] | float = 0.0,
) -> Atoms:
    """Copy a structure with its atoms moved, or all of it strained."""
    from ase import Atoms

    deformation = np.eye(3) + strain
    return Atoms(
        numbers=structure.numbers,
        positions=structure.positions @ deformation + moves,
        cell=structure.cell.array @ deformation,
        pbc=structure.pbc,
        info=structure.info,
    )


def _compare(
    features_of: Callable[[Atoms], np.ndarray],
    deformed: Callable[[int], Atoms],
    expected: NDArray[np.floating],
    step: float,
    tolerance: float,
    where: str,
) -> None:
    after, before = features_of(deformed(1)), features_of(deformed(-1))
    difference = after.sum(axis=0, dtype=np.float64) - before.sum(axis=0, dtype=np.float64)
    obtained = difference / (2 * step)
    roundings = _ROUNDINGS * np.finfo(after.dtype).eps * np.abs(after).sum(axis=0) / step
    scale = max(np.max(np.abs(obtained)), np.max(np.abs(expected)))
    # Not "above", which a NaN never is.
    is_right = np.abs(obtained - expected) <= tolerance * scale + roundings
    if not is_right.all():
        worst = int(np.argmax(np.where(is_right, -1.0, np.abs(obtained - expected))))
        raise FeatureError(
            "the gradient rows are not the derivatives of the features",
            where=f"{where}, column {worst}",
            expected=f"{obtained[worst]:.6g}, by differences",
            got=f"{expected[worst]:.6g}",
            remedy="the model, or a package that it runs, does not differentiate correctly: "
            "leave --gradients out, or update the package",
        )
