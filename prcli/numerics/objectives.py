"""What a selection maximizes, and what adding one candidate gains (Chong2025, IV.1).

Throughout, ``v`` are the inverse rigidities 1/PR of the targets before a pick, ``v_new``
those after it and ``drop`` their difference, computed without subtracting one from the
other. ``weights`` are positive and sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Objective(Protocol):
    """A figure of merit of the targets' rigidities, or of the Hessian itself."""

    @property
    def name(self) -> str:
        """Name on the command line."""
        ...

    @property
    def needs_targets(self) -> bool:
        """Whether targets enter at all."""
        ...

    @property
    def needs_cross(self) -> bool:
        """Whether scoring needs every covariance between targets and candidates."""
        ...

    def value(self, v: FloatArray, weights: FloatArray) -> float:
        """Figure of merit for inverse rigidities of shape (T,)."""
        ...

    def gain(
        self,
        v: FloatArray,
        v_new: FloatArray,
        drop: FloatArray,
        weights: FloatArray,
        log_det: float,
    ) -> float:
        """Value after minus value before; `log_det` is the growth of log det H."""
        ...


@dataclass(frozen=True)
class MeanPR:
    """Weighted mean of the targets' rigidities."""

    name: str = "mean-pr"
    needs_targets: bool = True
    needs_cross: bool = True

    def value(self, v: FloatArray, weights: FloatArray) -> float:
        """Mean of 1/v."""
        return float(weights @ (1.0 / v))

    def gain(
        self,
        v: FloatArray,
        v_new: FloatArray,
        drop: FloatArray,
        weights: FloatArray,
        log_det: float,
    ) -> float:
        """Mean of (v − v')/(v v')."""
        return float(weights @ (drop / (v * v_new)))


@dataclass(frozen=True)
class MeanLogPR:
    """Weighted mean of the logarithms of the targets' rigidities."""

    name: str = "mean-log-pr"
    needs_targets: bool = True
    needs_cross: bool = True

    def value(self, v: FloatArray, weights: FloatArray) -> float:
        """Mean of −log v."""
        return float(-(weights @ np.log(v)))

    def gain(
        self,
        v: FloatArray,
        v_new: FloatArray,
        drop: FloatArray,
        weights: FloatArray,
        log_det: float,
    ) -> float:
        """Mean of −log(v'/v)."""
        # The logarithm of the ratio is exact where the ratio is small, log1p where the
        # drop is; a drop can exceed v only by rounding.
        share = np.minimum(drop / v, 0.5)
        logarithm = np.where(share < 0.5, np.log1p(-share), np.log(v_new / v))
        return float(weights @ -logarithm)


@dataclass(frozen=True)
class MinPR:
    """Rigidity of the least rigid target."""

    name: str = "min-pr"
    needs_targets: bool = True
    needs_cross: bool = True

    def value(self, v: FloatArray, weights: FloatArray) -> float:
        """Smallest 1/v."""
        return float(1.0 / v.max())

    def gain(
        self,
        v: FloatArray,
        v_new: FloatArray,
        drop: FloatArray,
        weights: FloatArray,
        log_det: float,
    ) -> float:
        """Smallest 1/v' minus smallest 1/v."""
        largest = float(v.max())
        return float(np.min(largest - v + drop) / (largest * v_new.max()))


@dataclass(frozen=True)
class MeanVariance:
    """Minus the weighted mean of 1/PR (V-optimality, BAIT)."""

    name: str = "mean-variance"
    needs_targets: bool = True
    needs_cross: bool = False

    def value(self, v: FloatArray, weights: FloatArray) -> float:
        """Minus the mean of v."""
        return float(-(weights @ v))

    def gain(
        self,
        v: FloatArray,
        v_new: FloatArray,
        drop: FloatArray,
        weights: FloatArray,
        log_det: float,
    ) -> float:
        """Mean of v − v'."""
        return float(weights @ drop)


@dataclass(frozen=True)
class LogDet:
    """Logarithm of the determinant of the Hessian (D-optimality)."""

    name: str = "log-det"
    needs_targets: bool = False
    needs_cross: bool = False

    def value(self, v: FloatArray, weights: FloatArray) -> float:
        """Not a function of the targets; the loop adds up the gains instead."""
        return 0.0

    def gain(
        self,
        v: FloatArray,
        v_new: FloatArray,
        drop: FloatArray,
        weights: FloatArray,
        log_det: float,
    ) -> float:
        """Give the growth itself, log det(I + Q)."""
        return log_det


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (MeanPR(), MeanLogPR(), MinPR(), MeanVariance(), LogDet())
}
