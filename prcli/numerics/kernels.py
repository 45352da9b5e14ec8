"""Compiled passes over the covariances between pool and targets.

One pass reads the whitened pool once and reads and writes the covariances once, which is
all that memory bandwidth allows for: a pick is applied to a row and the row is scored while
it is still in the cache. Importing this module starts the compiler, so it is imported only
where the work is large; `prcli.numerics.passes` holds the plain twins.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(fastmath=True, cache=True)
def _project(row, direction):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(row.shape[0]):
        total += row[i] * direction[i]
    return total


@njit(parallel=True, fastmath=True, cache=True)
def mean_pr_pass(Z, direction, K, k, q, v, weights, out):  # type: ignore[no-untyped-def]
    """Update K and q by a pick and score every candidate; see `passes.mean_pr_pass`."""
    n_targets = K.shape[1]
    inverse_v = 1.0 / v
    scaled = weights / v
    for c in prange(Z.shape[0]):
        r = _project(Z[c], direction)
        q[c] = max(q[c] - r * r, 0.0)
        share = 1.0 / (1.0 + q[c])
        gain = 0.0
        error = 0.0
        smallest = 1.0
        for t in range(n_targets):
            value = K[c, t] - r * k[t]
            K[c, t] = value
            x = value * value * inverse_v[t] * share
            y = max(1.0 - x, share)
            inverse = 1.0 / y
            term = scaled[t] * inverse
            gain += term * x
            error += term * inverse
            smallest = min(smallest, y)
        out[0, c] = gain
        out[1, c] = error
        out[2, c] = smallest


@njit(parallel=True, fastmath=True, cache=True)
def mean_log_pr_pass(Z, direction, K, k, q, v, weights, out):  # type: ignore[no-untyped-def]
    """Update K and q by a pick and score every candidate; see `passes.mean_log_pr_pass`."""
    n_targets = K.shape[1]
    inverse_v = 1.0 / v
    for c in prange(Z.shape[0]):
        r = _project(Z[c], direction)
        q[c] = max(q[c] - r * r, 0.0)
        share = 1.0 / (1.0 + q[c])
        gain = 0.0
        error = 0.0
        smallest = 1.0
        for t in range(n_targets):
            value = K[c, t] - r * k[t]
            K[c, t] = value
            x = value * value * inverse_v[t] * share
            y = max(1.0 - x, share)
            gain -= weights[t] * (np.log1p(-x) if x < 0.5 else np.log(y))
            error += weights[t] / y
            smallest = min(smallest, y)
        out[0, c] = gain
        out[1, c] = error
        out[2, c] = smallest


@njit(parallel=True, fastmath=True, cache=True)
def min_pr_pass(Z, direction, K, k, q, v, weights, out):  # type: ignore[no-untyped-def]
    """Update K and q by a pick and score every candidate; see `passes.min_pr_pass`."""
    n_targets = K.shape[1]
    largest = v.max()
    for c in prange(Z.shape[0]):
        r = _project(Z[c], direction)
        q[c] = max(q[c] - r * r, 0.0)
        share = 1.0 / (1.0 + q[c])
        lead = largest
        for t in range(n_targets):
            value = K[c, t] - r * k[t]
            K[c, t] = value
            lead = min(lead, largest - v[t] + min(value * value, q[c] * v[t]) * share)
        y = max(1.0 - lead / largest, share)
        out[0, c] = lead / (largest * largest * y)
        out[1, c] = 1.0 / (largest * y * y)
        out[2, c] = y


PASSES = {
    "mean-pr": mean_pr_pass,
    "mean-log-pr": mean_log_pr_pass,
    "min-pr": min_pr_pass,
}
