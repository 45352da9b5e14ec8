"""Pools of blocks of rows, ordinary and nasty, and slow ways to select from them.

As in `oracles`, one way is arithmetic of many bits and the other float64 with a QR factorization of
its own for every candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import flint
import numpy as np
from hypothesis import strategies as st
from oracles import (
    BITS,
    TIE,
    ExactSelection,
    _triangle,
    _whitened,
    complaint,
    exact_hessian,
    exact_matrix,
    resolution_of,
)
from problems import KINDS, REGULARIZERS, factor_of, make_problem

from prcli.numerics.block_selection import block_selection
from prcli.numerics.block_source import ArrayBlocks
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import Posterior

BLOCK_KINDS = (
    *KINDS,
    "equal-blocks",
    "dependent-rows",
    "rows-of-all-sizes",
    "targets-spanned",
    "targets-nearly-spanned",
    "training-blocks",
)


@dataclass(frozen=True)
class BlockProblem:
    """Everything that a selection needs; `pool` is a list of arrays (m_c, D)."""

    rows: np.ndarray
    targets: np.ndarray
    pool: list[np.ndarray]
    regularizer: float
    weights: np.ndarray | None = None
    excluded: np.ndarray | None = None


def make_blocks(kind, regularizer, seed, n_columns=6, n_targets=5, heights=None, n_rows=9):
    """One of the named kinds of data, in blocks of mixed heights."""
    g = np.random.default_rng(seed)
    if heights is None:
        heights = [0, 1, 1, 2, 3, 3, n_columns, n_columns + 3, 3, 1]
    base = make_problem(
        kind if kind in KINDS else "normal",
        regularizer,
        seed,
        n_columns=n_columns,
        n_rows=n_rows,
        n_targets=n_targets,
        n_candidates=max(sum(heights), n_targets),
    )
    # Rows that a kind puts last, like the targets, would all be in one block.
    pool = base.pool[g.permutation(len(base.pool))] if kind != "spread" else base.pool
    rows, targets = base.rows, base.targets
    blocks = list(np.split(pool[: sum(heights)], np.cumsum(heights)[:-1]))
    if kind == "equal-blocks":
        originals = [blocks[g.integers(len(blocks) // 2)] for _ in blocks]
        blocks = [_mixed(g, block, mixed=i % 2 == 0) for i, block in enumerate(originals)]
    elif kind == "dependent-rows":
        for i, block in enumerate(blocks):
            alike = block[g.integers(0, max(1, len(block) // 2), len(block))]
            blocks[i] = alike + 10.0 ** g.uniform(-13, -3) * g.normal(size=block.shape)
    elif kind == "rows-of-all-sizes":
        blocks = [block * 10.0 ** g.uniform(-5, 5, (len(block), 1)) for block in blocks]
    elif kind in ("targets-spanned", "targets-nearly-spanned"):
        rows = rows[: max(1, n_columns // 3)]
        for i in range(0, len(blocks), 2):
            blocks[i] = g.normal(size=(len(blocks[i]), n_targets)) @ targets
            if kind == "targets-nearly-spanned":
                blocks[i] += 10.0 ** g.uniform(-13, -5) * g.normal(size=blocks[i].shape)
    elif kind == "training-blocks":
        rows = np.concatenate([rows, *blocks[::2]])
    return BlockProblem(rows, targets, blocks, regularizer)


def _mixed(generator, block, *, mixed):
    """The same block in another basis of its rows, or as it is."""
    if not (mixed and len(block)):
        return block.copy()
    return np.linalg.qr(generator.normal(size=(len(block), len(block))))[0] @ block


@st.composite
def block_problems(draw, n_columns=7, n_candidates=10):
    """Problems of all kinds and shapes."""
    width = draw(st.integers(1, n_columns))
    return make_blocks(
        draw(st.sampled_from(BLOCK_KINDS)),
        draw(st.sampled_from(REGULARIZERS)),
        draw(st.integers(0, 2**31 - 1)),
        n_columns=width,
        n_targets=draw(st.integers(1, 6)),
        heights=draw(st.lists(st.integers(0, width + 2), min_size=6, max_size=n_candidates)),
        n_rows=draw(st.integers(1, 12)),
    )


class ExactBlockSelection(ExactSelection):
    """Gains of all blocks given some picks, in 800-bit arithmetic."""

    def __init__(self, problem):
        n_columns = problem.rows.shape[1]
        super().__init__(
            problem.rows,
            problem.targets,
            np.empty((0, n_columns)),
            problem.regularizer,
            weights=problem.weights,
        )
        # Intervals of small gains of large blocks would be wide.
        flint.ctx.prec = 2 * BITS
        self._H = exact_hessian(problem.rows, np.ones(n_columns), problem.regularizer)
        self._P = self._H.inv()
        self._blocks = [exact_matrix(block) if len(block) else None for block in problem.pool]

    def variances(self):
        """Inverse rigidities of the targets, as intervals."""
        return self._state()[2]

    def effects(self):
        """For each block: growth of log det H, and v' of the targets, as intervals."""
        v = self._state()[2]
        found = []
        for B in self._blocks:
            if B is None:
                found.append((flint.arb(0), v))
                continue
            n_rows = B.nrows()
            left = B * self._P
            S = left * B.transpose()
            for i in range(n_rows):
                S[i, i] += 1
            K = left * self._targets.transpose() if v else None
            y = S.solve(K) if v else None
            new = [
                v[t] - sum((K[i, t] * y[i, t] for i in range(n_rows)), flint.arb(0))
                for t in range(len(v))
            ]
            found.append((S.det().log(), new))
        return found

    def gains(self, objective):
        """Gain of every block, as intervals."""
        v, w, result = self._state()[2], self._weights, []
        targets = range(len(v))
        for log_det, new in self.effects():
            if objective == "log-det":
                result.append(log_det)
            elif objective == "mean-pr":
                result.append(sum((w[t] * (1 / new[t] - 1 / v[t]) for t in targets), flint.arb(0)))
            elif objective == "mean-log-pr":
                result.append(sum((w[t] * (v[t] / new[t]).log() for t in targets), flint.arb(0)))
            elif objective == "mean-variance":
                result.append(sum((w[t] * (v[t] - new[t]) for t in targets), flint.arb(0)))
            else:
                smallest = [min((1 / x for x in y), key=lambda x: x.mid()) for y in (new, v)]
                result.append(smallest[0] - smallest[1])
        return result

    def add(self, index):
        """Add a pick."""
        B = self._blocks[index]
        if B is not None:
            self._H = self._H + B.transpose() * B
            self._P = self._H.inv()


def block_complaints(problem, objective, picks):
    """Check every pick against exact gains, given the picks before it."""
    exact = ExactBlockSelection(problem)
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


def brute_block_gains(objective, rows, problem):
    """Gain of every block, each from a QR factorization of its own."""
    targets, n_columns = problem.targets, problem.rows.shape[1]
    weights = np.ones(len(targets)) if problem.weights is None else problem.weights
    weights = weights / weights.sum()
    prior = np.sqrt(problem.regularizer) * np.eye(n_columns)
    R = _triangle(rows, prior)
    Z = _whitened(targets, R)
    v = np.sum(Z * Z, axis=1)
    gains = np.empty(len(problem.pool))
    for c, block in enumerate(problem.pool):
        z = _whitened(block, R)
        if objective == "log-det":
            gains[c] = np.log1p(np.linalg.svd(z, compute_uv=False) ** 2).sum() if len(z) else 0.0
            continue
        new = _whitened(targets, _triangle(rows, block, prior))
        v_new = np.sum(new * new, axis=1)
        half = np.linalg.solve(_triangle(np.eye(len(z)), z.T).T, z @ Z.T)
        drop = np.minimum(np.sum(half * half, axis=0), v)
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


def brute_block_picks(objective, problem, n_to_select):
    """Greedy picks by brute force."""
    rows, picks = problem.rows, []
    for _ in range(n_to_select):
        gains = brute_block_gains(objective, rows, problem)
        gains[picks] = -np.inf
        best = gains.max()
        picks.append(int(np.flatnonzero(gains >= best - TIE * abs(best))[0]))
        rows = np.concatenate([rows, problem.pool[picks[-1]]])
    return picks


# --- the code under test, with the least ceremony -------------------------------------------


def block_posterior(problem):
    """Posterior of a problem before any pick, with the identity as prior."""
    n_columns = problem.rows.shape[1]
    return Posterior(factor_of(problem.rows), np.ones(n_columns), problem.regularizer)


def block_source(problem):
    """Give the pool of a problem, a few rows at a time."""
    return ArrayBlocks.from_blocks(problem.pool, problem.rows.shape[1], block_rows=7)


def select_blocks(problem, objective, n_to_select, **options):
    """Greedy selection of a problem."""
    return block_selection(
        block_posterior(problem),
        problem.targets,
        block_source(problem),
        OBJECTIVES[objective],
        n_to_select,
        weights=problem.weights,
        excluded=problem.excluded,
        **options,
    )
