"""The rule behind ``--regularizer auto``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svdvals

from prcli.errors import RankError
from prcli.numerics.square_root import SquareRoot

FloatArray = NDArray[np.float64]

#: Largest condition number of R that `auto` accepts: leaves ten digits of a rigidity.
LARGEST_CONDITION = 1e6

#: Smallest ς² in units of the largest eigenvalue of the data Hessian.
SMALLEST_RELATIVE = 1e-16

#: Largest ς² that is tried, in units of `SMALLEST_RELATIVE`.
_WIDEST = 1e16

#: Smallest step of the search, and halvings of its last one.
_STEP, _BISECTIONS = 1.1, 30


def auto_regularizer(data_factor: FloatArray, prior_root: FloatArray) -> float:
    """Smallest ς² that keeps R well conditioned.

    ς² = max(1e-16 σ_max², the smallest ς² with cond(R) ≤ 1e6), σ_max the largest singular
    value of the factor of the scaled rows. A numerical choice and not a statistical one.

    Parameters
    ----------
    data_factor : ndarray of shape (D, D)
        Factor of the weighted, scaled rows without prior.
    prior_root : ndarray of shape (D,) or (D, D)
        F with FᵀF = P.

    Returns
    -------
    regularizer : float

    Raises
    ------
    RankError
        If no regularizer helps, because the prior leaves directions free that the data do
        not determine.
    """
    singular = svdvals(data_factor)
    floor = SMALLEST_RELATIVE * float(singular[0]) ** 2
    if prior_root.ndim == 1 and np.all(prior_root == 1.0):
        bound = LARGEST_CONDITION**2
        needed = (singular[0] ** 2 - bound * singular[-1] ** 2) / (bound - 1.0)
        return max(floor, float(needed))
    return _search(data_factor, prior_root, max(floor, np.finfo(np.float64).tiny))


def _search(data_factor: FloatArray, prior_root: FloatArray, floor: float) -> float:
    """Find the smallest acceptable ς² for a prior that is not the identity.

    The condition number need not fall as ς² grows: a steep prior takes over in the end. But
    no eigenvalue of H grows faster than ς², so cond(R) falls at most like 1/ς, and all that
    is nearer than (cond/1e6)² can be skipped.
    """
    low = high = floor
    while (condition := _condition(data_factor, prior_root, high)) > LARGEST_CONDITION:
        low = high
        high *= max(_STEP, (condition / LARGEST_CONDITION) ** 2)
        if high > floor * _WIDEST:
            raise RankError(
                "no regularizer makes the Hessian well conditioned",
                expected=f"a condition number of R of at most {LARGEST_CONDITION:g}",
                remedy="leave the intercept out, or add structures that determine it",
            )
    for _ in range(_BISECTIONS if high > low else 0):
        middle = float(np.sqrt(low * high))
        if _condition(data_factor, prior_root, middle) > LARGEST_CONDITION:
            low = middle
        else:
            high = middle
    return high


def _condition(data_factor: FloatArray, prior_root: FloatArray, regularizer: float) -> float:
    root = SquareRoot.from_factor(data_factor)
    full = np.diag(prior_root) if prior_root.ndim == 1 else prior_root
    root.merge(np.sqrt(regularizer) * full)
    singular = svdvals(root.factor)
    return float(singular[0] / singular[-1]) if singular[-1] > 0.0 else float("inf")
