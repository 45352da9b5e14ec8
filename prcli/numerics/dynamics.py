"""Learning dynamics: how rigidities of the same environments differ between models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Rigidities of some environments under several models (Chong2025, section III.2).

    Attributes
    ----------
    rigidities : tuple of ndarray of shape (N,)
        Of the same environments in the same order under each model.
    order : ndarray of shape (n,)
        Environments from the least to the most rigid of the reference model; those of infinite
        rigidity under any model are left out.
    highest : int
        The most rigid environment of the reference; of several the first.
    differences : ndarray of shape (n_models,)
        Mean of |x - x_ref|/x_ref over the environments, with x as `curve` gives it; 0 for the
        reference.
    """

    rigidities: tuple[FloatArray, ...]
    order: NDArray[np.intp]
    highest: int
    differences: FloatArray

    @property
    def n_left_out(self) -> int:
        """Environments of infinite rigidity under any model."""
        return len(self.rigidities[0]) - len(self.order)

    def curve(self, model: int) -> FloatArray:
        """Normalize the rigidities of a model, in the order of the reference; shape (n,).

        Each is divided by that of the reference's most rigid environment in the same model. The
        reference itself rises to 1, and a model that has learned the same lies on it.
        """
        own = self.rigidities[model]
        normalized: FloatArray = own[self.order] / own[self.highest]
        return normalized


def learning_dynamics(rigidities: Sequence[FloatArray], reference: int) -> Dynamics:
    """Compare the distributions of rigidities of several models.

    Parameters
    ----------
    rigidities : sequence of ndarray of shape (N,)
        Of the same environments in the same order under each model.
    reference : int
        Which model the others are compared with.

    Returns
    -------
    dynamics : Dynamics

    Raises
    ------
    ValueError
        If no environment has a finite rigidity under all models.
    """
    finite = np.ones(len(rigidities[reference]), dtype=bool)
    for each in rigidities:
        finite &= np.isfinite(each)
    kept = np.flatnonzero(finite)
    if not kept.size:
        raise ValueError("no environment has a finite rigidity under all models")
    of_reference = rigidities[reference][kept]
    order = kept[np.argsort(of_reference, kind="stable")]
    highest = int(kept[np.argmax(of_reference)])
    base = of_reference / rigidities[reference][highest]
    differences = np.array(
        [np.mean(np.abs(each[kept] / each[highest] - base) / base) for each in rigidities]
    )
    return Dynamics(tuple(rigidities), order, highest, differences)
