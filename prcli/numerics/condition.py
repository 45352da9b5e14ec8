"""Condition numbers of large triangles, without a decomposition that costs D³."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dtrmv, dtrsv

from prcli.numerics.square_root import condition_number

FloatArray = NDArray[np.float64]

#: Width up to which all singular values are computed, in a second or so.
EXACT_UP_TO = 1024

#: Steps of Lanczos at most, and the relative change at which they end.
_STEPS, _SETTLED = 80, 1e-6

#: Digits of an estimate that are worth telling.
_DIGITS = 3


@dataclass(frozen=True)
class Condition:
    """Two-norm condition number of a triangle.

    Attributes
    ----------
    number : float
        Ratio of the largest to the smallest singular value; inf if the latter is zero.
    is_estimate : bool
        Whether both come from Lanczos iterations: then the number is not above the true one.
    """

    number: float
    is_estimate: bool

    @property
    def name(self) -> str:
        """What the number is called in tables and reports."""
        return "condition_number_estimate" if self.is_estimate else "condition_number"


def condition_of(factor: FloatArray, exact_up_to: int = EXACT_UP_TO) -> Condition:
    """Condition number of an upper triangle: exact if it is small, estimated if it is large.

    The estimate takes products and solutions with the triangle, D² each. It is that of
    Lanczos iterations on RᵀR and on its inverse, from which both ends are the largest
    eigenvalues: none is formed, and nothing is lost by squaring.

    Parameters
    ----------
    factor : ndarray of shape (D, D)
        Upper-triangular.
    exact_up_to : int
        Largest D for which all singular values are computed.

    Returns
    -------
    condition : Condition
    """
    n = factor.shape[0]
    if n <= exact_up_to:
        return Condition(condition_number(factor), is_estimate=False)
    if not np.all(np.diagonal(factor)):
        return Condition(float("inf"), is_estimate=False)
    largest = _largest_eigenvalue(lambda x: dtrmv(factor, dtrmv(factor, x), trans=1), n)
    inverse = _largest_eigenvalue(lambda x: dtrsv(factor, dtrsv(factor, x, trans=1)), n)
    number = float(np.sqrt(largest) * np.sqrt(inverse))
    return Condition(float(f"{number:.{_DIGITS}g}"), is_estimate=True)


def _largest_eigenvalue(apply: Callable[[FloatArray], FloatArray], n: int) -> float:
    """Largest eigenvalue of a symmetric positive operator, from below, by Lanczos steps."""
    start = np.random.default_rng(0).standard_normal(n)
    basis = np.empty((min(_STEPS, n), n))
    diagonal: list[float] = []
    beside: list[float] = []
    direction: FloatArray = start / np.linalg.norm(start)
    value = 0.0
    for step in range(len(basis)):
        basis[step] = direction
        image = apply(direction)
        diagonal.append(float(direction @ image))
        known = basis[: step + 1]
        # Twice is enough to keep the basis orthogonal to working precision.
        for _ in range(2):
            image = image - known.T @ (known @ image)
        before, value = value, _top(diagonal, beside)
        length = float(np.linalg.norm(image))
        if length <= _SETTLED * value or value - before <= _SETTLED * value:
            break
        beside.append(length)
        direction = image / length
    return value


def _top(diagonal: list[float], beside: list[float]) -> float:
    """Largest eigenvalue of a symmetric tridiagonal matrix."""
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    return float(np.linalg.eigvalsh(matrix)[-1])
