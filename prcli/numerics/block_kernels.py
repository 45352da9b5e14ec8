"""Compiled loops over low blocks; `block_passes` describes them and holds their plain twins.

Importing this module starts the compiler, so it is imported only where the work is large. The
loops run on the thread that calls them, and leave other threads free to do the same.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _cholesky(S):  # type: ignore[no-untyped-def]
    """Factorize S, shape (m, m), in place: L below the diagonal, 1/L on it."""
    for j in range(S.shape[0]):
        pivot = S[j, j]
        for k in range(j):
            pivot -= S[j, k] * S[j, k]
        inverse = 1.0 / np.sqrt(pivot)
        S[j, j] = inverse
        for i in range(j + 1, S.shape[0]):
            value = S[i, j]
            for k in range(j):
                value -= S[i, k] * S[j, k]
            S[i, j] = value * inverse


@njit(nogil=True, fastmath=True, cache=True)
def drops(S, K, drop, size):  # type: ignore[no-untyped-def]
    """Solve y = S⁻¹K for every block."""
    height, n_targets = K.shape[1], K.shape[2]
    y = np.empty((height, n_targets))
    for c in range(K.shape[0]):
        L = S[c]
        _cholesky(L)
        drop[c] = 0.0
        size[c] = 0.0
        for i in range(height):
            y[i] = K[c, i]
            for j in range(i):
                factor = L[i, j]
                for t in range(n_targets):
                    y[i, t] -= factor * y[j, t]
            for t in range(n_targets):
                y[i, t] *= L[i, i]
                drop[c, t] += y[i, t] * y[i, t]
        for i in range(height - 1, -1, -1):
            for j in range(i + 1, height):
                factor = L[j, i]
                for t in range(n_targets):
                    y[i, t] -= factor * y[j, t]
            for t in range(n_targets):
                y[i, t] *= L[i, i]
                size[c, t] += abs(y[i, t])


@njit(nogil=True, fastmath=True, cache=True)
def log_det(S, gain, size):  # type: ignore[no-untyped-def]
    """Take the determinant of every block's matrix."""
    height = S.shape[1]
    column = np.empty(height)
    for c in range(S.shape[0]):
        L = S[c]
        _cholesky(L)
        gain[c] = 0.0
        size[c] = 0.0
        for j in range(height):
            gain[c] -= 2.0 * np.log(L[j, j])
            # The diagonal of S⁻¹ holds the squared lengths of the columns of L⁻¹.
            total = 0.0
            for i in range(j, height):
                value = 1.0 if i == j else 0.0
                for k in range(j, i):
                    value -= L[i, k] * column[k]
                column[i] = value * L[i, i]
                total += column[i] * column[i]
            size[c] += np.sqrt(total)
