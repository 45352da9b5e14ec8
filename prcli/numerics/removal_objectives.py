"""What a pruning keeps high: a mean of the targets' rigidities, and what removals take from it.

Throughout, ``v`` are the inverse rigidities 1/PR of the targets, ``x`` by how much a removal raises
them, and ``weights`` are positive and sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class RemovalObjective(Protocol):
    """A mean of rigidities."""

    @property
    def name(self) -> str:
        """Name on the command line."""
        ...

    def mean(self, v: FloatArray, weights: FloatArray) -> float:
        """Give the mean PR that is meant: a number above 0 of which a share can be lost."""
        ...

    def mean_after(self, mean: float, loss: float) -> float:
        """Give that mean once so much has been lost."""
        ...

    def scale(self, v: FloatArray, weights: FloatArray) -> float:
        """Say what a loss is small or large against."""
        ...

    def importance(self, v: FloatArray, weights: FloatArray) -> FloatArray:
        """Factors W of shape (T,): with k the covariances, no removal loses less than Σ W k²."""
        ...

    def loss(self, v: FloatArray, x: FloatArray, weights: FloatArray) -> FloatArray:
        """Tell what removals lose, shape (n,), for x of shape (n, T), without subtracting means."""
        ...


@dataclass(frozen=True)
class ArithmeticMean:
    """Weighted mean of the rigidities."""

    name: str = "mean-pr"

    def mean(self, v: FloatArray, weights: FloatArray) -> float:
        """Mean of 1/v."""
        return float(weights @ (1.0 / v))

    def mean_after(self, mean: float, loss: float) -> float:
        """Subtract."""
        return mean - loss

    def scale(self, v: FloatArray, weights: FloatArray) -> float:
        """Mean of 1/v."""
        return self.mean(v, weights)

    def importance(self, v: FloatArray, weights: FloatArray) -> FloatArray:
        """Weights over v²."""
        return weights / (v * v)

    def loss(self, v: FloatArray, x: FloatArray, weights: FloatArray) -> FloatArray:
        """Mean of x/(v (v + x))."""
        lost: FloatArray = (x / (v + x)) @ (weights / v)
        return lost


@dataclass(frozen=True)
class GeometricMean:
    """Weighted mean of the logarithms of the rigidities."""

    name: str = "mean-log-pr"

    def mean(self, v: FloatArray, weights: FloatArray) -> float:
        """Geometric mean of 1/v."""
        return float(np.exp(-(weights @ np.log(v))))

    def mean_after(self, mean: float, loss: float) -> float:
        """Subtract from the logarithm."""
        return float(mean * np.exp(-loss))

    def scale(self, v: FloatArray, weights: FloatArray) -> float:
        """One: a loss is that of a logarithm."""
        return 1.0

    def importance(self, v: FloatArray, weights: FloatArray) -> FloatArray:
        """Weights over v."""
        return weights / v

    def loss(self, v: FloatArray, x: FloatArray, weights: FloatArray) -> FloatArray:
        """Mean of log(1 + x/v)."""
        lost: FloatArray = np.log1p(x / v) @ weights
        return lost


@dataclass(frozen=True)
class HarmonicMean:
    """Weighted mean of the variances 1/PR."""

    name: str = "mean-variance"

    def mean(self, v: FloatArray, weights: FloatArray) -> float:
        """Harmonic mean of 1/v."""
        return float(1.0 / (weights @ v))

    def mean_after(self, mean: float, loss: float) -> float:
        """Add to the inverse."""
        return 1.0 / (1.0 / mean + loss)

    def scale(self, v: FloatArray, weights: FloatArray) -> float:
        """Mean of v."""
        return float(weights @ v)

    def importance(self, v: FloatArray, weights: FloatArray) -> FloatArray:
        """Weights themselves."""
        return weights

    def loss(self, v: FloatArray, x: FloatArray, weights: FloatArray) -> FloatArray:
        """Mean of x."""
        lost: FloatArray = x @ weights
        return lost


REMOVAL_OBJECTIVES: dict[str, RemovalObjective] = {
    objective.name: objective for objective in (ArithmeticMean(), GeometricMean(), HarmonicMean())
}
