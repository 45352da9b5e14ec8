"""Averages over a trajectory, reweighted to every member of an ensemble (Imbalzano2021).

The trajectory samples the potential V of the model; a member's potential is V_m. With
d = V_m − V and β = 1/(k_B T), the average of an observable under member m is, directly,

    ⟨a⟩_m = ⟨a exp(−β d)⟩ / ⟨exp(−β d)⟩,

which rests on fewer and fewer frames as β d grows, or by its cumulant form to first order,

    ⟨a⟩_m = ⟨a⟩ − β (⟨a d⟩ − ⟨a⟩⟨d⟩),

which stays stable for large systems, and is exact where a and d are jointly Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Boltzmann constant, eV/K.
BOLTZMANN = 8.617333262e-5


@dataclass(frozen=True, eq=False)
class Averages:
    """An observable averaged over a trajectory.

    Attributes
    ----------
    n_frames : int
    plain : float
        Average under the potential that was sampled.
    direct, cumulant : ndarray of shape (M,)
        Averages under each member.
    n_effective : ndarray of shape (M,)
        (Σw)²/Σw², the number of frames that the direct average of each member rests on.
    lowest, highest : ndarray of shape (M,)
        Range of the observable over the frames, which no average can leave: a cumulant one that
        does is beyond its range of validity.
    """

    n_frames: int
    plain: float
    direct: FloatArray
    cumulant: FloatArray
    n_effective: FloatArray
    lowest: FloatArray
    highest: FloatArray

    @property
    def n_impossible(self) -> int:
        """Members whose average by the cumulant form is one that no weights of frames give."""
        slack = 1e-9 * np.maximum(np.abs(self.lowest), np.abs(self.highest))
        outside = (self.cumulant < self.lowest - slack) | (self.cumulant > self.highest + slack)
        return int(np.count_nonzero(outside))


class TrajectoryAverages:
    """Sums of a trajectory that arrives some frames at a time; no frame is kept.

    Parameters
    ----------
    n_members : int
        M.
    temperature : float
        K, positive.
    """

    def __init__(self, n_members: int, temperature: float) -> None:
        self._beta = 1.0 / (BOLTZMANN * temperature)
        self._n_frames = 0
        self._plain = 0.0
        # Moments about running means, so that no large numbers are subtracted at the end.
        self._mean_observable: FloatArray = np.zeros(n_members)
        self._mean_deviation: FloatArray = np.zeros(n_members)
        self._comoment: FloatArray = np.zeros(n_members)
        self._lowest: FloatArray = np.full(n_members, np.inf)
        self._highest: FloatArray = np.full(n_members, -np.inf)
        # Weights are kept relative to the largest so far, so that none overflows.
        self._largest: FloatArray = np.full(n_members, -np.inf)
        self._weight: FloatArray = np.zeros(n_members)
        self._squared_weight: FloatArray = np.zeros(n_members)
        self._weighted: FloatArray = np.zeros(n_members)

    def add(
        self, observable: FloatArray, deviations: FloatArray, members: FloatArray | None = None
    ) -> None:
        """Take some frames in.

        Parameters
        ----------
        observable : ndarray of shape (n,)
        deviations : ndarray of shape (n, M)
            V_m − V, eV: total energies.
        members : ndarray of shape (n, M), optional
            The observable by each member, where it depends on the potential, as the energy
            itself does.
        """
        n_new = len(observable)
        if n_new == 0:
            return
        values = observable[:, np.newaxis] if members is None else members
        self._lowest = np.minimum(self._lowest, values.min(axis=0))
        self._highest = np.maximum(self._highest, values.max(axis=0))
        total = self._n_frames + n_new
        self._plain += n_new / total * (float(observable.mean()) - self._plain)
        self._add_moments(values, deviations, n_new / total)
        self._add_weights(values, -self._beta * deviations)
        self._n_frames = total

    def _add_moments(self, values: FloatArray, deviations: FloatArray, share: float) -> None:
        """Merge means and comoments; `share` is that of the new frames."""
        mean_value, mean_deviation = values.mean(axis=0), deviations.mean(axis=0)
        within = ((values - mean_value) * (deviations - mean_deviation)).sum(axis=0)
        value_step = mean_value - self._mean_observable
        deviation_step = mean_deviation - self._mean_deviation
        self._comoment += within + self._n_frames * share * value_step * deviation_step
        self._mean_observable += share * value_step
        self._mean_deviation += share * deviation_step

    def _add_weights(self, values: FloatArray, exponents: FloatArray) -> None:
        """Add weighted sums, after bringing the old ones to the new largest weight."""
        largest = np.maximum(self._largest, exponents.max(axis=0))
        shrink = np.exp(self._largest - largest)
        weights = np.exp(exponents - largest)
        self._weight = self._weight * shrink + weights.sum(axis=0)
        self._squared_weight = self._squared_weight * shrink**2 + (weights**2).sum(axis=0)
        self._weighted = self._weighted * shrink + (weights * values).sum(axis=0)
        self._largest = largest

    def result(self) -> Averages:
        """Give the averages over all frames; at least one is needed."""
        covariance = self._comoment / self._n_frames
        return Averages(
            n_frames=self._n_frames,
            plain=self._plain,
            direct=self._weighted / self._weight,
            cumulant=self._mean_observable - self._beta * covariance,
            n_effective=self._weight**2 / self._squared_weight,
            lowest=self._lowest,
            highest=self._highest,
        )
