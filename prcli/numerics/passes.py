"""One pass over the covariances between pool and targets: apply a pick, score everybody.

A pass takes the whitened pool ``Z`` (C, D), the ``direction`` (D,) whose product with a row
of Z is r_c, the covariances ``K`` (C, T) with the targets, the pick's ``k`` (T,), the
candidates' variances ``q`` (C,), the targets' ``v`` (T,) after the pick and their
``weights`` (T,). It updates K ← K − r kᵀ and q ← q − r² in place and fills ``out`` (3, C):

- the gain of each candidate;
- the derivative of the gain by a common error of the relative drops (v − v')/v;
- the smallest v'/v, which tells where that derivative can be trusted.

The functions here work in blocks of candidates with numpy; `kernels` holds their compiled
twins for large work.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Pass = Callable[
    [
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray,
    ],
    None,
]

#: Covariances that one block of candidates holds: small enough for the cache.
BLOCK_ELEMENTS = 1 << 17

#: Covariances times picks from which compiling pays.
COMPILE_FROM = 2e8


def update_block(
    Z: FloatArray, direction: FloatArray, K: FloatArray, k: FloatArray, q: FloatArray
) -> None:
    """Apply a pick to the covariances and variances of some candidates, in place."""
    r = Z @ direction
    K -= np.multiply.outer(r, k)
    q -= r * r
    np.maximum(q, 0.0, out=q)


def mean_pr_scores(
    K: FloatArray, q: FloatArray, v: FloatArray, weights: FloatArray, out: FloatArray
) -> None:
    """Score candidates by the mean of 1/v."""
    y, x = _remaining_share(K, q, v)
    inverse = 1.0 / y
    scaled = weights / v
    out[0] = (x * inverse) @ scaled
    out[1] = (inverse * inverse) @ scaled
    out[2] = y.min(axis=1)


def mean_log_pr_scores(
    K: FloatArray, q: FloatArray, v: FloatArray, weights: FloatArray, out: FloatArray
) -> None:
    """Score candidates by the mean of −log v."""
    y, x = _remaining_share(K, q, v)
    logarithm = np.where(x < 0.5, np.log1p(-np.minimum(x, 0.5)), np.log(y))
    out[0] = -(logarithm @ weights)
    out[1] = (1.0 / y) @ weights
    out[2] = y.min(axis=1)


def min_pr_scores(
    K: FloatArray, q: FloatArray, v: FloatArray, weights: FloatArray, out: FloatArray
) -> None:
    """Score candidates by the smallest 1/v."""
    largest = v.max()
    share = 1.0 / (1.0 + q)
    drop = np.minimum(K * K, np.multiply.outer(q, v)) * share[:, np.newaxis]
    lead = (drop + (largest - v)).min(axis=1)
    y = np.maximum(1.0 - lead / largest, share)
    out[0] = lead / (largest * largest * y)
    out[1] = 1.0 / (largest * y * y)
    out[2] = y


def _remaining_share(K: FloatArray, q: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """v'/v and (v − v')/v, both (C, T); v'/v is never below 1/(1+q)."""
    share = (1.0 / (1.0 + q))[:, np.newaxis]
    x = K * K
    x *= 1.0 / v
    x *= share
    y = np.maximum(1.0 - x, share)
    return y, x


_SCORES = {
    "mean-pr": mean_pr_scores,
    "mean-log-pr": mean_log_pr_scores,
    "min-pr": min_pr_scores,
}


def plain_pass(objective: str) -> Pass:
    """Return the numpy pass of an objective that needs every covariance."""
    scores = _SCORES[objective]

    def run(
        Z: FloatArray,
        direction: FloatArray,
        K: FloatArray,
        k: FloatArray,
        q: FloatArray,
        v: FloatArray,
        weights: FloatArray,
        out: FloatArray,
    ) -> None:
        step = max(1, BLOCK_ELEMENTS // max(1, K.shape[1]))
        for start in range(0, K.shape[0], step):
            part = slice(start, start + step)
            update_block(Z[part], direction, K[part], k, q[part])
            scores(K[part], q[part], v, weights, out[:, part])

    return run


def compiled_pass(objective: str) -> Pass:
    """Return the compiled pass; the first call on a machine compiles and caches it."""
    from prcli.numerics.kernels import PASSES

    compiled: Pass = PASSES[objective]
    return compiled


def best_pass(objective: str, n_covariances: int, n_to_select: int) -> Pass:
    """Choose the compiled pass where the work repays loading the compiler."""
    if float(n_covariances) * n_to_select >= COMPILE_FROM:
        return compiled_pass(objective)
    return plain_pass(objective)
