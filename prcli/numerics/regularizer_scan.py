"""The regularizer that makes uncertainties fit residuals best: a scan, then a refinement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from prcli.numerics.calibration import Criterion, Sample, best_alpha, cost

FloatArray = NDArray[np.float64]
Edge: TypeAlias = Literal["low", "high"]

#: 1/PR of each kind of row (n, G) at some regularizers (G,).
Variances: TypeAlias = Callable[[FloatArray], Sequence[FloatArray]]

#: Regularizers that are tried within each factor of ten.
PER_DECADE = 2

#: Costs that differ by less are the same; the larger of two such regularizers is taken, since
#: it is the better conditioned one.
TIE = 1e-9

#: Points at which log 1/PR is known for the refinement. It is smooth in log ς² (its nearest
#: singularity is π away), so that between them it is known to about twelve digits.
_NODES = 17

#: Bytes of variances that are held at once during the scan.
_HELD_BYTES = 1 << 30

#: Steps of log ς² that the refinement tells apart.
_RESOLUTION = 1e-6


@dataclass(frozen=True, eq=False)
class RegularizerScan:
    """What a scan found.

    Attributes
    ----------
    regularizers : ndarray of shape (G,)
        ς² that were tried, ascending.
    costs : ndarray of shape (G,)
        The criterion at the best α of each; not finite where it is not defined.
    best : float
        The best ς², refined between those.
    best_cost : float
    edge : {"low", "high"}, optional
        Which end of the range the best one lies at, if it does.
    """

    regularizers: FloatArray
    costs: FloatArray
    best: float
    best_cost: float
    edge: Edge | None


def regularizer_grid(low: float, high: float) -> FloatArray:
    """Regularizers from `low` to `high` in equal steps of their logarithm, both included."""
    n_steps = max(1, int(np.ceil(PER_DECADE * np.log10(high / low) - 1e-9)))
    grid: FloatArray = np.geomspace(low, high, n_steps + 1)
    return grid


def scan_regularizer(
    residuals: Sequence[FloatArray],
    variances: Variances,
    grid: FloatArray,
    criterion: Criterion,
    *,
    joint: bool = False,
) -> RegularizerScan:
    """Find the regularizer of lowest cost, each with its best α.

    Parameters
    ----------
    residuals : sequence of ndarray of shape (n,)
        Of each kind of row; kinds count alike.
    variances : callable
        Gives 1/PR of those rows, each array (n, G), for some regularizers (G,). It is called as
        seldom as memory allows, for it may read all validation rows.
    grid : ndarray of shape (G,)
        Ascending, at least two.
    criterion : {"nll", "ssl", "crps"}
    joint : bool
        Whether all kinds share one α.

    Returns
    -------
    scan : RegularizerScan
    """
    judge = _Judge(residuals, criterion, joint)
    costs = np.concatenate([judge.costs(variances(part)) for part in _parts(grid, residuals)])
    lowest = np.min(costs, initial=np.inf, where=np.isfinite(costs))
    if not np.isfinite(lowest):
        return RegularizerScan(grid, costs, float(grid[-1]), float("nan"), None)
    index = int(np.flatnonzero(costs <= lowest + TIE)[-1])
    ends = np.log(grid[[max(index - 1, 0), min(index + 1, len(grid) - 1)]])
    best, best_cost = _refine(judge, variances, float(ends[0]), float(ends[1]))
    if not best_cost < costs[index] - TIE:
        best, best_cost = float(grid[index]), float(costs[index])
    edges: dict[float, Edge] = {float(grid[0]): "low", float(grid[-1]): "high"}
    return RegularizerScan(grid, costs, best, best_cost, edges.get(best))


class _Judge:
    """Costs of regularizers, given the variances that they lead to."""

    def __init__(self, residuals: Sequence[FloatArray], criterion: Criterion, joint: bool) -> None:
        self._residuals = residuals
        self._criterion: Criterion = criterion
        self._joint = joint

    def costs(self, variances: Sequence[FloatArray]) -> FloatArray:
        """Cost of each of the columns of the variances, shape (G,)."""
        n_columns = variances[0].shape[1]
        return np.array([self.cost([each[:, k] for each in variances]) for k in range(n_columns)])

    def cost(self, variances: Sequence[FloatArray]) -> float:
        """Cost with the best α; not finite where there is none."""
        pairs = zip(self._residuals, variances, strict=True)
        samples = [Sample(residuals, values) for residuals, values in pairs]
        groups = [samples] if self._joint else [[sample] for sample in samples]
        return float(np.mean([self._least(group) for group in groups]))

    def _least(self, samples: Sequence[Sample]) -> float:
        alpha = best_alpha(self._criterion, samples)
        return cost(self._criterion, samples, alpha) if alpha > 0.0 else float("inf")


def _parts(grid: FloatArray, residuals: Sequence[FloatArray]) -> Iterator[FloatArray]:
    """Cut the grid so that the variances of each part fit into memory."""
    width = max(1, _HELD_BYTES // (8 * max(1, sum(map(len, residuals)))))
    for start in range(0, len(grid), width):
        yield grid[start : start + width]


def _refine(judge: _Judge, variances: Variances, low: float, high: float) -> tuple[float, float]:
    """Minimize the cost between two values of log ς², from variances at a few nodes.

    Returns
    -------
    regularizer : float
    cost : float
    """
    angles = (np.arange(_NODES) + 0.5) * np.pi / _NODES
    nodes = 0.5 * (low + high) + 0.5 * (high - low) * np.cos(angles)
    weights = np.sin(angles) * (-1.0) ** np.arange(_NODES)
    logarithms = [np.log(each) for each in variances(np.exp(nodes))]

    def cost_at(position: float) -> float:
        distances = position - nodes
        exact = np.flatnonzero(distances == 0.0)
        shares = np.eye(_NODES)[exact[0]] if exact.size else weights / distances
        shares = shares / shares.sum()
        return judge.cost([np.exp(each @ shares) for each in logarithms])

    found = minimize_scalar(
        cost_at, bounds=(low, high), method="bounded", options={"xatol": _RESOLUTION}
    )
    return float(np.exp(found.x)), float(found.fun)
