"""Compiled passes over the covariances between pool and targets.

One pass reads and writes the covariances once, which is all that memory bandwidth allows for:
a pick is applied to a covariance and the covariance is scored while it is in a register. The
whitened pool is multiplied with the pick's direction before that, since processors fetch one
long stream ahead better than two that take turns. Rows and covariances may be float64 or
float32: numbers are loaded in their own precision and worked on in float64. Importing this
module starts the compiler, so it is imported only where the work is large;
`prcli.numerics.passes` holds the plain twins.

The innermost loops are written out in each pass: in a function of their own they take a third
longer. Divisions follow the rules of numpy, and extremes are found by comparing bit patterns, which
order positive numbers as the numbers do: a test for zero, or a minimum of floats, would keep a
loop from being vectorized.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

#: Candidates that one thread scores in a row, comparing each with those before.
RUN = 512


@njit(cache=True)
def _bits(number):  # type: ignore[no-untyped-def]
    return np.float64(number).view(np.int64)


@njit(cache=True)
def _number(bits):  # type: ignore[no-untyped-def]
    return np.int64(bits).view(np.float64)


@njit(fastmath=True, cache=True)
def _project(row, direction):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(row.shape[0]):
        total += row[i] * direction[i]
    return total


@njit(parallel=True, fastmath=True, cache=True)
def move_rows(rows, direction, steps, norms):  # type: ignore[no-untyped-def]
    """Subtract steps · direction from the rows; see `passes.move_rows`."""
    for t in prange(rows.shape[0]):
        step = steps[t]
        norm = 0.0
        for i in range(rows.shape[1]):
            value = rows[t, i] - step * direction[i]
            rows[t, i] = value
            norm += value * value
        norms[t] = norm


@njit(fastmath=True, cache=True)
def turn_rows(directions, betas, rows, backwards):  # type: ignore[no-untyped-def]
    """Multiply a few rows (M, D) in place with the factors I − β u uᵀ, in either order.

    After a pass over a pool nothing is in the caches any more; this reads the directions (n, D)
    once, where matrix products read them twice, and copies of them as well.
    """
    n = len(betas)
    for step in range(n):
        j = n - 1 - step if backwards else step
        for i in range(rows.shape[0]):
            size = betas[j] * _project(directions[j], rows[i])
            for d in range(rows.shape[1]):
                rows[i, d] -= size * directions[j, d]


@njit(parallel=True, fastmath=True, cache=True)
def project_rows(rows, others):  # type: ignore[no-untyped-def]
    """Products (m, T) in float64 of a few `others` (m, D) with all rows (T, D)."""
    products = np.empty((others.shape[0], rows.shape[0]))
    for t in prange(rows.shape[0]):
        for i in range(others.shape[0]):
            products[i, t] = _project(rows[t], others[i])
    return products


@njit(parallel=True, error_model="numpy", cache=True)
def bound_merits(scores, q, q_fresh, noise, loss, worth, bounds):  # type: ignore[no-untyped-def]
    """Bounds (2, C) on the merits after a pass; True where some need a ceiling; see `passes`."""
    unclear = np.zeros(scores.shape[1], dtype=np.bool_)
    for c in prange(scores.shape[1]):
        if worth[c] == 0.0:
            bounds[0, c] = bounds[1, c] = -np.inf
            continue
        error = 2.0 * noise * np.sqrt(loss * q[c] * q_fresh[c])
        error += (noise + noise * noise * loss) * q_fresh[c]
        error = error / (1.0 + q[c]) + noise
        slack = 2.0 * error * scores[2, c]
        bounds[0, c] = (scores[0, c] - slack) * worth[c]
        bounds[1, c] = (scores[1, c] + slack) * worth[c]
        unclear[c] = scores[3, c] < 4.0 * error
    return unclear


@njit(cache=True)
def _n_runs(n_candidates):  # type: ignore[no-untyped-def]
    return (n_candidates + RUN - 1) // RUN


@njit(cache=True)
def _best_two(best, second, merit):  # type: ignore[no-untyped-def]
    return max(best, merit), max(second, min(best, merit))


@njit(cache=True)
def _left(variance, product):  # type: ignore[no-untyped-def]
    return max(variance - product * product, 0.0)


@njit(cache=True)
def _share_step(product, variance):  # type: ignore[no-untyped-def]
    return product / np.sqrt(variance) if variance > 0.0 else 0.0


@njit(fastmath=True, error_model="numpy", cache=True)
def _mean_pr_gain(row, growth, weights, square, whole):  # type: ignore[no-untyped-def]
    # With (1 + q) v'/v instead of v'/v: one product less for each target.
    gain = 0.0
    for t in range(row.shape[0]):
        value = np.float64(row[t])
        x = value * value * growth[t]
        gain += weights[t] * x / max(whole - square * x, 1.0)
    return gain * square


@njit(fastmath=True, error_model="numpy", cache=True)
def _logarithm(x, y):  # type: ignore[no-untyped-def]
    """Give −log(1 − x), where y is 1 − x."""
    return -np.log1p(-x) if x < 0.5 else -np.log(y)


@njit(fastmath=True, error_model="numpy", cache=True)
def _mean_log_pr_gain(row, growth, weights, square, whole):  # type: ignore[no-untyped-def]
    factor = square / whole
    share = 1.0 / whole
    gain = 0.0
    for t in range(row.shape[0]):
        value = np.float64(row[t])
        x = value * value * growth[t] * factor
        gain += weights[t] * _logarithm(x, max(1.0 - x, share))
    return gain


@njit(parallel=True, fastmath=True, error_model="numpy", cache=True)
def mean_pr_pass(r, K, k, q, q_fresh, v, v_fresh, weights, worth, out):  # type: ignore[no-untyped-def]
    """Update K by a pick and score every candidate; see `passes.mean_pr_scores`."""
    growth = v_fresh / v
    scaled = weights / v
    total = scaled.sum()
    for run in prange(_n_runs(len(r))):
        # The second largest merit of the run so far: what does not reach it need not be exact.
        best = second = 0.0
        for c in range(run * RUN, min(len(r), (run + 1) * RUN)):
            square, q[c] = q_fresh[c], _left(q[c], r[c])
            whole = 1.0 + q[c]
            step = _share_step(r[c], square)
            drops = 0.0
            bits = _bits(0.0)
            for t in range(K.shape[1]):
                value = K[c, t] - step * k[t]
                K[c, t] = value
                x = value * value * growth[t]
                drops += scaled[t] * x
                bits = max(bits, _bits(x))
            largest = _number(bits)
            least = drops * square / whole
            smallest = max(whole - square * largest, 1.0) / whole
            most = least / smallest
            if worth[c] > 0.0 and most * worth[c] >= second:
                least = most = _mean_pr_gain(K[c], growth, scaled, square, whole)
                best, second = _best_two(best, second, least * worth[c])
            out[0, c] = least
            out[1, c] = most
            out[2, c] = (total + most) / smallest
            out[3, c] = smallest


@njit(parallel=True, fastmath=True, error_model="numpy", cache=True)
def mean_log_pr_pass(r, K, k, q, q_fresh, v, v_fresh, weights, worth, out):  # type: ignore[no-untyped-def]
    """Update K by a pick and score every candidate; see `passes.mean_log_pr_scores`."""
    growth = v_fresh / v
    for run in prange(_n_runs(len(r))):
        best = second = 0.0
        for c in range(run * RUN, min(len(r), (run + 1) * RUN)):
            square, q[c] = q_fresh[c], _left(q[c], r[c])
            whole = 1.0 + q[c]
            step = _share_step(r[c], square)
            drops = 0.0
            bits = _bits(0.0)
            for t in range(K.shape[1]):
                value = K[c, t] - step * k[t]
                K[c, t] = value
                x = value * value * growth[t]
                drops += weights[t] * x
                bits = max(bits, _bits(x))
            largest = _number(bits)
            least = drops * square / whole
            largest *= square / whole
            smallest = max(1.0 - largest, 1.0 / whole)
            out[2, c] = 1.0 + least / smallest
            most = least / smallest
            if largest > 1e-3:
                # By rounding the largest drop can exceed what the candidate can do.
                within = largest if largest < 0.5 else 1.0 - smallest
                most = least * _logarithm(largest, smallest) / within
            if worth[c] > 0.0 and most * worth[c] >= second:
                least = most = _mean_log_pr_gain(K[c], growth, weights, square, whole)
                best, second = _best_two(best, second, least * worth[c])
            out[0, c] = least
            out[1, c] = most
            out[3, c] = smallest


@njit(parallel=True, fastmath=True, error_model="numpy", cache=True)
def min_pr_pass(r, K, k, q, q_fresh, v, v_fresh, weights, worth, out):  # type: ignore[no-untyped-def]
    """Update K by a pick and score every candidate; see `passes.min_pr_scores`."""
    largest = v.max()
    head_room = largest - v
    for c in prange(K.shape[0]):
        square, q[c] = q_fresh[c], _left(q[c], r[c])
        variance = q[c]
        step = _share_step(r[c], square)
        share = 1.0 / (1.0 + variance)
        smallest = _bits(largest)
        for t in range(K.shape[1]):
            value = K[c, t] - step * k[t]
            K[c, t] = value
            drop = min(value * value * square * v_fresh[t], variance * v[t])
            lead = head_room[t] + drop * share
            smallest = min(smallest, _bits(lead))
        lead = _number(smallest)
        y = max(1.0 - lead / largest, share)
        gain = lead / (largest * largest * y)
        out[0, c] = gain
        out[1, c] = gain
        out[2, c] = 1.0 / (largest * y * y)
        out[3, c] = y


PASSES = {
    "mean-pr": mean_pr_pass,
    "mean-log-pr": mean_log_pr_pass,
    "min-pr": min_pr_pass,
}
