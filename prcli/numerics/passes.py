"""One pass over the covariances between pool and targets: apply a pick, score everybody.

Covariances are kept as shares: ``K`` (C, T) holds K_ct/√(q_c v_t) with the candidates'
variances ``q_fresh`` (C,) and the targets' ``v_fresh`` (T,) of the latest whitening, so that
none exceeds 1 and float32 can hold them. A pass takes the pick's products ``r`` (C,) with the
candidates, and ``k`` (T,) with the targets, the latter divided by √v_t, the variances ``q`` (C,)
before it and ``v`` (T,) after it, the targets' ``weights`` (T,), and what a unit of gain is
``worth`` (C,) where candidates compete: one over the cost, 0 for who may not be picked. It
updates q ← q − r² and K ← K − r kᵀ/√q_fresh in place and fills ``out`` (4, C):

- the gain of each candidate, or less;
- the gain, or more: they differ for candidates that others beat all the same;
- what the derivative of the gain by a common error of the relative drops x = (v − v')/v does not
  exceed;
- the smallest v'/v, which tells where that derivative can be trusted.

With X the largest drop, x/(1 − x) lies between x and x/(1 − X), and −log(1 − x) between x and
−x log(1 − X)/X. So the weighted sum of the drops, which takes neither division nor logarithm,
bounds a gain, and the compiled passes compute the gain only of those that can be among the best
two: on real pools of a few to thirty percent. Likewise Σ w/v (v/v')², the derivative for `mean-pr`,
is at most Σ w/v', the mean rigidity after the pick, over 1 − X, and Σ w v/v' is at most
1 + Σ w x/(1 − X).

The functions here work in blocks of candidates with numpy; `kernels` holds their compiled
twins for large work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.records import Precision

FloatArray = NDArray[np.float64]
#: Covariances, in either precision.
Shares = NDArray[np.float64] | NDArray[np.float32]
Pass = Callable[
    [
        FloatArray,
        Shares,
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

Bound = Callable[
    [FloatArray, FloatArray, FloatArray, float, float, FloatArray, FloatArray], NDArray[np.bool_]
]
Move = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], None]
Project = Callable[[Shares, FloatArray], FloatArray]
Turn = Callable[[FloatArray, FloatArray, FloatArray, bool], None]


@dataclass(frozen=True)
class Loops:
    """The loops of a selection, most of which exist twice: with numpy here, compiled in `kernels`.

    Attributes
    ----------
    score : callable
        The pass described above.
    bound : callable
        As `bound_merits`.
    move : callable
        As `move_rows`.
    project : callable
        As `project_rows`.
    turn : callable or None
        As `kernels.turn_rows`; without, matrix products do it.
    """

    score: Pass
    bound: Bound
    move: Move
    project: Project
    turn: Turn | None = None


#: Covariances that one block of candidates holds: small enough for the cache.
BLOCK_ELEMENTS = 1 << 17

#: Numbers that are turned from float32 into float64 at a time.
CAST_ELEMENTS = 1 << 20

#: Directions that are few, and numbers that are multiplied with them at a time.
FEW_DIRECTIONS = 4
_PIECE_ELEMENTS = 1 << 16

#: Candidates whose bounds are computed at once.
BLOCK_CANDIDATES = 1 << 14

#: Covariances times picks from which compiling pays.
COMPILE_FROM = 1e8


def lengths_of(variances: FloatArray) -> FloatArray:
    """√q, and 1 for rows of zeros."""
    lengths: FloatArray = np.sqrt(variances)
    lengths[lengths == 0.0] = 1.0
    return lengths


def move_rows(
    rows: FloatArray, direction: FloatArray, steps: FloatArray, norms: FloatArray
) -> None:
    """Subtract steps · direction from rows (T, D) in place; fill norms (T,) with |row|²."""
    height = max(1, BLOCK_ELEMENTS // max(1, rows.shape[1]))
    for start in range(0, rows.shape[0], height):
        part = slice(start, start + height)
        rows[part] -= np.multiply.outer(steps[part], direction)
        norms[part] = np.einsum("ij,ij->i", rows[part], rows[part])


def project_rows(rows: Shares, others: FloatArray) -> FloatArray:
    """Products (m, T) in float64 of `others` (m, D) with all rows (T, D) of either precision."""
    few = 1 < len(others) <= FEW_DIRECTIONS
    if rows.dtype == np.float64 and not few:
        whole: FloatArray = others @ rows.T
        return whole
    # With a few directions the library copies all rows into an order of its own, unless it gets
    # them piece by piece.
    size = _PIECE_ELEMENTS if few else CAST_ELEMENTS
    products = np.empty((len(others), len(rows)))
    height = max(1, size // max(1, rows.shape[1]))
    for start in range(0, len(rows), height):
        part = slice(start, start + height)
        piece = rows[part].astype(np.float64, copy=False)
        np.matmul(others, piece.T, out=products[:, part])
    return products


def bound_merits(
    scores: FloatArray,
    q: FloatArray,
    q_fresh: FloatArray,
    noise: float,
    loss: float,
    worth: FloatArray,
    bounds: FloatArray,
) -> NDArray[np.bool_]:
    """Bound gains times worth by the error that rounding can have made in the drops (v − v')/v.

    Parameters
    ----------
    scores : ndarray of shape (4, C)
        What a pass left.
    q, q_fresh : ndarray of shape (C,)
        Variances of the candidates, now and when they were whitened.
    noise : float
        Relative error of an inner product of two rows as first whitened.
    loss : float
        Largest factor by which a target's variance has shrunk since then.
    worth : ndarray of shape (C,)
        As for a pass.
    bounds : ndarray of shape (2, C)
        Filled with lower and upper bounds; −inf for who may not be picked.

    Returns
    -------
    unclear : ndarray of bool of shape (C,)
        Where the errors are too large for the derivative of the gain to tell their effect, among
        those who may be picked.
    """
    unclear = np.empty(len(q), dtype=bool)
    # In parts that stay in the cache: there are many steps, and little to do in each.
    for start in range(0, len(q), BLOCK_CANDIDATES):
        part = slice(start, start + BLOCK_CANDIDATES)
        least, most, derivative, smallest = scores[:, part]
        # A covariance is wrong by noise √(loss q_fresh) times √v, a variance by noise q_fresh.
        error = 2.0 * noise * np.sqrt(loss * q[part] * q_fresh[part])
        error += (noise + noise * noise * loss) * q_fresh[part]
        error /= 1.0 + q[part]
        error += noise
        unclear[part] = smallest < 4.0 * error
        slack = 2.0 * error * derivative
        np.multiply(least - slack, worth[part], out=bounds[0, part])
        np.multiply(most + slack, worth[part], out=bounds[1, part])
    closed = worth == 0.0
    bounds[:, closed] = -np.inf
    unclear[closed] = False
    return unclear


Block = Callable[
    [FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray], None
]


def mean_pr_scores(
    K: FloatArray,
    q: FloatArray,
    q_fresh: FloatArray,
    v: FloatArray,
    v_fresh: FloatArray,
    weights: FloatArray,
    out: FloatArray,
) -> None:
    """Score candidates by the mean of 1/v."""
    y, x = _remaining_share(K, q, q_fresh, v_fresh / v)
    scaled = weights / v
    smallest = y.min(axis=1)
    out[:2] = np.divide(x, y, out=y) @ scaled
    out[2] = (scaled.sum() + out[0]) / smallest
    out[3] = smallest


def mean_log_pr_scores(
    K: FloatArray,
    q: FloatArray,
    q_fresh: FloatArray,
    v: FloatArray,
    v_fresh: FloatArray,
    weights: FloatArray,
    out: FloatArray,
) -> None:
    """Score candidates by the mean of −log v."""
    y, x = _remaining_share(K, q, q_fresh, v_fresh / v)
    logarithm = np.where(x < 0.5, np.log1p(-np.minimum(x, 0.5)), np.log(y))
    smallest = y.min(axis=1)
    out[:2] = -(logarithm @ weights)
    out[2] = 1.0 + (x @ weights) / smallest
    out[3] = smallest


def min_pr_scores(
    K: FloatArray,
    q: FloatArray,
    q_fresh: FloatArray,
    v: FloatArray,
    v_fresh: FloatArray,
    weights: FloatArray,
    out: FloatArray,
) -> None:
    """Score candidates by the smallest 1/v."""
    largest = v.max()
    share = 1.0 / (1.0 + q)
    squares = K * K * q_fresh[:, np.newaxis] * v_fresh
    drop = np.minimum(squares, np.multiply.outer(q, v)) * share[:, np.newaxis]
    lead = (drop + (largest - v)).min(axis=1)
    y = np.maximum(1.0 - lead / largest, share)
    out[:2] = lead / (largest * largest * y)
    out[2] = 1.0 / (largest * y * y)
    out[3] = y


def _remaining_share(
    K: FloatArray, q: FloatArray, q_fresh: FloatArray, growth: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """v'/v and (v − v')/v, both (C, T); v'/v is never below 1/(1+q)."""
    share = (1.0 / (1.0 + q))[:, np.newaxis]
    x = K * K
    x *= growth
    x *= q_fresh[:, np.newaxis]
    x *= share
    y = np.maximum(1.0 - x, share)
    return y, x


_SCORES: dict[str, Block] = {
    "mean-pr": mean_pr_scores,
    "mean-log-pr": mean_log_pr_scores,
    "min-pr": min_pr_scores,
}


def plain_pass(objective: str) -> Pass:
    """Return the numpy pass of an objective that needs every covariance."""
    scores = _SCORES[objective]

    def run(
        r: FloatArray,
        K: Shares,
        k: FloatArray,
        q: FloatArray,
        q_fresh: FloatArray,
        v: FloatArray,
        v_fresh: FloatArray,
        weights: FloatArray,
        worth: FloatArray,
        out: FloatArray,
    ) -> None:
        step = max(1, BLOCK_ELEMENTS // max(1, K.shape[1]))
        for start in range(0, K.shape[0], step):
            part = slice(start, start + step)
            q[part] = np.maximum(q[part] - r[part] * r[part], 0.0)
            block = np.multiply.outer(r[part] / -lengths_of(q_fresh[part]), k)
            block += K[part]
            K[part] = block
            scores(block, q[part], q_fresh[part], v, v_fresh, weights, out[:, part])

    return run


def compiled_pass(objective: str) -> Pass:
    """Return the compiled pass; the first call on a machine compiles and caches it."""
    from prcli.numerics.kernels import PASSES

    compiled: Pass = PASSES[objective]
    return compiled


def plain_loops(objective: str) -> Loops:
    """Return the loops of an objective that needs every covariance, written with numpy."""
    return Loops(plain_pass(objective), bound_merits, move_rows, project_rows)


def compiled_loops(objective: str) -> Loops:
    """Return the compiled loops; their first calls on a machine compile and cache them."""
    from prcli.numerics import kernels

    return Loops(
        compiled_pass(objective),
        kernels.bound_merits,
        kernels.move_rows,
        kernels.project_rows,
        kernels.turn_rows,
    )


def best_loops(objective: str, n_covariances: int, n_to_select: int) -> Loops:
    """Choose the compiled loops where the work repays loading the compiler."""
    if float(n_covariances) * n_to_select >= COMPILE_FROM:
        return compiled_loops(objective)
    return plain_loops(objective)


def best_project(n_numbers: int, n_to_select: int, precision: Precision) -> Project:
    """Choose the compiled products of rows in memory where they repay loading the compiler.

    For float64 the library's matrix product reads memory as fast; it knows no product of float32
    numbers that adds up in float64.
    """
    if precision == "float32" and float(n_numbers) * n_to_select >= COMPILE_FROM:
        from prcli.numerics import kernels

        compiled: Project = kernels.project_rows
        return compiled
    return project_rows
