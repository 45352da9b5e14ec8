"""Slow and independent ways to the numbers that prcli.numerics computes fast.

Two oracles: 400-bit interval arithmetic, in which no cancellation matters, and float64 with
a QR factorization of its own for every candidate, which is what the fast code must equal.
"""

from __future__ import annotations

import flint
import numpy as np

BITS = 400
TIE = 1e-9


def exact_matrix(array):
    """Convert float64 to intervals of width zero."""
    values = np.asarray(array, dtype=np.float64)
    return flint.arb_mat(*values.shape, values.ravel().tolist())


def known(value):
    """Float64 of an interval, which must be narrow enough to have one."""
    assert value.rad() <= 1e-20 * abs(value.mid()) or value.rad() < 1e-80
    return float(value.mid())


def exact_hessian(rows, prior_root, regularizer, weights=None):
    """H = Σ c g gᵀ + ς² FᵀF; every input is taken at its float64 value."""
    G = exact_matrix(rows)
    left = G.transpose()
    if weights is not None:
        C = flint.arb_mat(len(weights), len(weights))
        for i, c in enumerate(weights):
            C[i, i] = float(c)
        left = left * C
    F = exact_matrix(np.diag(prior_root) if np.ndim(prior_root) == 1 else prior_root)
    return left * G + (F.transpose() * F) * flint.arb(float(regularizer))


def exact_inverse_rigidities(rows, targets, regularizer, prior_root=None, weights=None):
    """1/PR of the targets, correctly rounded."""
    flint.ctx.prec = BITS
    n_columns = np.shape(targets)[1]
    root = np.ones(n_columns) if prior_root is None else prior_root
    H = exact_hessian(rows, root, regularizer, weights)
    G = exact_matrix(targets)
    solved = H.solve(G.transpose())
    return np.array(
        [
            known(sum((G[t, i] * solved[i, t] for i in range(n_columns)), flint.arb(0)))
            for t in range(len(targets))
        ]
    )


class ExactSelection:
    """Gains of all candidates given some picks, in 400-bit arithmetic."""

    def __init__(self, rows, targets, pool, regularizer, *, weights=None, prior_root=None):
        flint.ctx.prec = BITS
        self._n_columns = pool.shape[1]
        root = np.ones(self._n_columns) if prior_root is None else prior_root
        self._H = exact_hessian(rows, root, regularizer)
        self._P = self._H.inv()
        self._targets = exact_matrix(targets) if len(targets) else None
        self._pool = exact_matrix(pool)
        self._n_targets, self._n_candidates = len(targets), len(pool)
        given = np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float)
        total = sum((flint.arb(float(w)) for w in given), flint.arb(0))
        self._weights = [flint.arb(float(w)) / total for w in given]

    def _state(self):
        whitened = self._pool * self._P
        q = [
            sum((whitened[c, i] * self._pool[c, i] for i in range(self._n_columns)), flint.arb(0))
            for c in range(self._n_candidates)
        ]
        if self._targets is None:
            return q, None, []
        K = whitened * self._targets.transpose()
        solved = self._targets * self._P
        v = [
            sum(
                (solved[t, i] * self._targets[t, i] for i in range(self._n_columns)),
                flint.arb(0),
            )
            for t in range(self._n_targets)
        ]
        return q, K, v

    def inverse_rigidities(self):
        """Return 1/PR of the targets as float64."""
        return np.array([known(x) for x in self._state()[2]])

    def gains(self, objective):
        """Gain of every candidate, as intervals."""
        q, K, v = self._state()
        w = self._weights
        result = []
        old_min = min((1 / x for x in v), key=lambda x: x.mid(), default=None)
        for c in range(self._n_candidates):
            if objective == "log-det":
                result.append((1 + q[c]).log())
                continue
            new = [v[t] - K[c, t] * K[c, t] / (1 + q[c]) for t in range(self._n_targets)]
            if objective == "mean-pr":
                terms = (w[t] * (1 / new[t] - 1 / v[t]) for t in range(self._n_targets))
            elif objective == "mean-log-pr":
                terms = (w[t] * (v[t] / new[t]).log() for t in range(self._n_targets))
            elif objective == "mean-variance":
                terms = (w[t] * (v[t] - new[t]) for t in range(self._n_targets))
            else:
                terms = [min((1 / x for x in new), key=lambda x: x.mid()) - old_min]
            result.append(sum(terms, flint.arb(0)))
        return result

    def add(self, index):
        """Add a pick."""
        g = flint.arb_mat([[self._pool[index, i]] for i in range(self._n_columns)])
        self._H = self._H + g * g.transpose()
        self._P = self._H.inv()


def complaint(gains, pick, closed, resolution):
    """Say what is wrong with a pick, or nothing.

    Gains half as far apart again as the tie tolerance must be told apart, those half as far
    must not. `resolution` is what float64 can tell apart at all, as an absolute gain.
    """
    open_ = [c for c in range(len(gains)) if c not in closed]
    best = max((gains[c] for c in open_), key=lambda x: x.mid())
    if pick not in open_:
        return f"{pick} was picked before or is excluded"
    behind = {c: known(best) - known(gains[c]) for c in open_}
    tie = TIE * known(best)
    if behind[pick] > 1.5 * tie + resolution:
        winner = min(behind, key=lambda c: behind[c])
        return f"picked {pick}, {behind[pick] / known(best):.1e} behind {winner}"
    lower = [c for c in open_ if c < pick and behind[c] < 0.5 * tie - resolution]
    if lower:
        return f"picked {pick}, tied with {lower} within {behind[pick]:.1e}"
    return None


def resolution_of(objective, v, weights):
    """Gain that a change of all variances by 1e-13 of themselves makes."""
    if objective == "mean-pr":
        return 1e-13 * float(weights @ (1.0 / v))
    if objective == "mean-variance":
        return 1e-13 * float(weights @ v)
    return 1e-13 / float(v.max()) if objective == "min-pr" else 1e-13


def complaints(problem, objective, picks):
    """Check every pick against exact gains, given the picks before it."""
    exact = ExactSelection(
        problem.rows, problem.targets, problem.pool, problem.regularizer, weights=problem.weights
    )
    closed = set() if problem.excluded is None else set(np.flatnonzero(problem.excluded).tolist())
    weights = np.ones(len(problem.targets)) if problem.weights is None else problem.weights
    found = []
    for step, pick in enumerate(picks):
        resolution = resolution_of(
            objective, exact.inverse_rigidities(), weights / max(weights.sum(), 1e-300)
        )
        fault = complaint(exact.gains(objective), pick, closed, resolution)
        if fault:
            found.append(f"pick {step + 1}: {fault}")
        closed.add(pick)
        exact.add(pick)
    return found


# --- float64 by brute force -----------------------------------------------------------------


def _triangle(*blocks):
    return np.linalg.qr(np.concatenate(blocks), mode="r")


def _whitened(rows, R):
    return np.linalg.solve(R.T, rows.T).T


def brute_gains(objective, rows, targets, pool, regularizer, weights=None):
    """Gain of every candidate, each from a QR factorization of its own.

    What is left of a variance comes from the new factor, what went from the old one: neither
    is a difference of large numbers.
    """
    weights = np.ones(len(targets)) if weights is None else weights
    weights = weights / weights.sum() if len(targets) else weights
    prior = np.sqrt(regularizer) * np.eye(pool.shape[1])
    R = _triangle(rows, prior)
    Z = _whitened(targets, R)
    v = np.sum(Z * Z, axis=1)
    gains = np.empty(len(pool))
    for c, row in enumerate(pool):
        z = _whitened(row[np.newaxis], R)[0]
        q = z @ z
        if objective == "log-det":
            gains[c] = np.log1p(q)
            continue
        new = _whitened(targets, _triangle(rows, row[np.newaxis], prior))
        v_new = np.sum(new * new, axis=1)
        drop = np.minimum((Z @ z) ** 2 / (1.0 + q), v)
        if objective == "mean-pr":
            gains[c] = weights @ (drop / (v * v_new))
        elif objective == "mean-log-pr":
            near = -np.log1p(-np.minimum(drop / v, 0.5))
            gains[c] = weights @ np.where(drop < 0.5 * v, near, np.log(v / v_new))
        elif objective == "mean-variance":
            gains[c] = weights @ drop
        else:
            worst = v.max()
            gains[c] = np.min(worst - v + drop) / (worst * v_new.max())
    return gains


def brute_picks(objective, problem, n_to_select):
    """Greedy picks by brute force."""
    rows, picks = problem.rows, []
    closed = np.zeros(len(problem.pool), dtype=bool)
    if problem.excluded is not None:
        closed |= problem.excluded
    for _ in range(n_to_select):
        gains = brute_gains(
            objective, rows, problem.targets, problem.pool, problem.regularizer, problem.weights
        )
        gains[closed] = -np.inf
        best = gains.max()
        pick = int(np.flatnonzero(gains >= best - TIE * abs(best))[0])
        picks.append(pick)
        closed[pick] = True
        rows = np.concatenate([rows, problem.pool[pick : pick + 1]])
    return picks
