"""Slow and independent ways to the numbers that prcli.numerics computes fast.

Two oracles: 400-bit interval arithmetic, in which no cancellation matters, and float64 with
a QR factorization of its own for every candidate, which is what the fast code must equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import flint
import numpy as np

BITS = 400
TIE = 1e-9
OBJECTIVE_NAMES = ("mean-pr", "mean-log-pr", "min-pr", "mean-variance", "log-det")
REGULARIZERS = (1e-2, 1e-5, 1e-8, 1e-11, 1e-13)


def exact_matrix(array):
    """Convert float64 to intervals of width zero."""
    return flint.arb_mat(np.atleast_2d(np.asarray(array, dtype=np.float64)).tolist())


def _entry_floats(matrix):
    values = [float(x.mid()) for x in matrix.entries()]
    return np.array(values).reshape(matrix.nrows(), matrix.ncols())


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
            float(sum((G[t, i] * solved[i, t] for i in range(n_columns)), flint.arb(0)).mid())
            for t in range(len(targets))
        ]
    )


class ExactSelection:
    """Gains of all candidates given some picks, in 400-bit arithmetic."""

    def __init__(self, rows, targets, pool, regularizer, *, weights=None, prior_root=None):
        flint.ctx.prec = BITS
        self._n_columns = pool.shape[1]
        root = np.ones(self._n_columns) if prior_root is None else prior_root
        H = exact_hessian(rows, root, regularizer)
        self._P = H.solve(exact_matrix(np.eye(self._n_columns)))
        self._targets = exact_matrix(targets) if len(targets) else None
        self._pool = exact_matrix(pool)
        self._n_targets, self._n_candidates = len(targets), len(pool)
        given = np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float)
        total = sum((flint.arb(float(w)) for w in given), flint.arb(0))
        self._weights = [flint.arb(float(w)) / total for w in given]

    def _state(self):
        whitened = self._pool * self._P
        q = [
            sum(
                (whitened[c, i] * self._pool[c, i] for i in range(self._n_columns)), flint.arb(0)
            )
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
        return np.array([float(x.mid()) for x in self._state()[2]])

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
        h = self._P * g
        q = (g.transpose() * h)[0, 0]
        self._P = self._P - (h * h.transpose()) * (1 / (1 + q))


def complaint(gains, pick, closed, *, fuzz=0.5):
    """Say what is wrong with a pick, or nothing.

    Gains closer to the tie tolerance than `fuzz` times itself may count as tied or not.
    """
    open_ = [c for c in range(len(gains)) if c not in closed]
    best = max((gains[c] for c in open_), key=lambda x: x.mid())
    if pick in closed:
        return f"{pick} was picked before or is excluded"
    deficits = {
        c: float(((best - gains[c]) / best).mid()) if best > 0 else 0.0 for c in open_
    }
    if deficits[pick] > TIE * (1.0 + fuzz):
        winner = min(deficits, key=lambda c: deficits[c])
        return f"picked {pick}, which gains {deficits[pick]:.2e} less than {winner}"
    lower = [c for c in open_ if c < pick and deficits[c] < TIE * (1.0 - fuzz)]
    if lower:
        return f"picked {pick}, tied with {lower} within {deficits[pick]:.1e}"
    return None


def complaints(problem, objective, picks):
    """Check every pick against exact gains, given the picks before it."""
    exact = ExactSelection(
        problem.rows, problem.targets, problem.pool, problem.regularizer, weights=problem.weights
    )
    closed = set() if problem.excluded is None else set(np.flatnonzero(problem.excluded).tolist())
    found = []
    for step, pick in enumerate(picks):
        fault = complaint(exact.gains(objective), pick, closed)
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


# --- problems ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """Everything that a selection needs; shapes (S, D), (T, D), (C, D)."""

    rows: np.ndarray
    targets: np.ndarray
    pool: np.ndarray
    regularizer: float
    weights: np.ndarray | None = None
    excluded: np.ndarray | None = None


@cache
def _basis(n_columns, seed):
    generator = np.random.default_rng(1000 + seed)
    return np.linalg.qr(generator.normal(size=(n_columns, n_columns)))[0]


def decaying(generator, n_rows, n_columns, decades=10.0, mean=True):
    """Rows like SOAP vectors: positive mean direction, spectrum over some decades."""
    spectrum = 10.0 ** (-0.5 * decades * np.arange(n_columns) / max(1, n_columns - 1))
    rows = generator.normal(size=(n_rows, n_columns)) * spectrum
    if mean:
        rows[:, 0] += 3.0
    return rows @ _basis(n_columns, n_columns).T


def normal(generator, n_rows, n_columns):
    return generator.normal(size=(n_rows, n_columns))


def low_rank(generator, n_rows, n_columns):
    """Rows of rank D/2."""
    rank = max(1, n_columns // 2)
    return generator.normal(size=(n_rows, rank)) @ _basis(n_columns, n_columns)[:rank]


def spread_columns(generator, n_rows, n_columns):
    """Columns from 1e-6 to 1e6."""
    return generator.normal(size=(n_rows, n_columns)) * np.logspace(-6, 6, n_columns)


def make_problem(kind, regularizer, seed, n_columns=6, n_rows=9, n_targets=5, n_candidates=14):
    """One of the named kinds of data."""
    g = np.random.default_rng(seed)
    draw = {"decaying": decaying, "spread": spread_columns, "low-rank": low_rank}.get(kind, normal)
    rows = draw(g, n_rows, n_columns)
    targets = draw(g, n_targets, n_columns)
    pool = draw(g, n_candidates, n_columns)
    if kind == "duplicates":
        pool = pool[g.integers(0, max(1, n_candidates // 3), n_candidates)]
    elif kind == "near-duplicates":
        shift = 10.0 ** g.uniform(-12, -4, (n_candidates, 1))
        pool = pool[g.integers(0, max(1, n_candidates // 4), n_candidates)]
        pool = pool * (1.0 + shift * g.normal(size=pool.shape))
    elif kind == "few-rows":
        rows = rows[: max(1, n_columns // 3)]
    elif kind == "pool-is-training":
        pool[::2] = rows[g.integers(0, n_rows, len(pool[::2]))]
    elif kind == "targets-in-pool":
        rows = rows[: max(1, n_columns // 3)]
        pool[-n_targets:] = targets[: min(n_targets, n_candidates)]
    elif kind == "decaying-targets-in-pool":
        rows = decaying(g, max(1, n_columns // 2), n_columns)
        targets = decaying(g, n_targets, n_columns)
        pool = decaying(g, n_candidates, n_columns)
        pool[-n_targets:] = targets
    elif kind == "multiples":
        pool = pool[g.integers(0, 3, n_candidates)] * g.choice([-2.0, 0.5, 1.0, 4.0], (n_candidates, 1))
    elif kind == "zeros":
        pool[g.integers(0, n_candidates, n_candidates // 2)] = 0.0
    return Problem(rows, targets, pool, regularizer)


KINDS = (
    "normal",
    "decaying",
    "spread",
    "low-rank",
    "duplicates",
    "near-duplicates",
    "few-rows",
    "pool-is-training",
    "targets-in-pool",
    "decaying-targets-in-pool",
    "multiples",
    "zeros",
)
