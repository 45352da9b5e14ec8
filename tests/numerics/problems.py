"""Data to select from, ordinary and nasty, and the code under test with little ceremony."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from hypothesis import strategies as st

from prcli.numerics.greedy import greedy_selection
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import Posterior
from prcli.numerics.row_source import ArrayRows
from prcli.numerics.square_root import SquareRoot

OBJECTIVE_NAMES = ("mean-pr", "mean-log-pr", "min-pr", "mean-variance", "log-det")
REGULARIZERS = (1e-2, 1e-5, 1e-8, 1e-11, 1e-13)


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
    """Rows like SOAP vectors: a large mean, and variances that fall by some decades."""
    spectrum = 10.0 ** (-0.5 * decades * np.arange(n_columns) / max(1, n_columns - 1))
    rows = generator.normal(size=(n_rows, n_columns)) * spectrum
    if mean:
        rows[:, 0] += 3.0
    return rows @ _basis(n_columns, n_columns).T


def steep(generator, n_rows, n_columns):
    """Rows whose singular values fall by ten decades."""
    return decaying(generator, n_rows, n_columns, decades=20.0)


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
    draw = {
        "decaying": decaying,
        "steep": steep,
        "spread": spread_columns,
        "low-rank": low_rank,
    }.get(kind, normal)
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
    elif kind in ("decaying-targets-in-pool", "steep-targets-in-pool"):
        draw = decaying if kind.startswith("decaying") else steep
        rows = draw(g, max(1, n_columns // 2), n_columns)
        targets = draw(g, n_targets, n_columns)
        pool = draw(g, n_candidates, n_columns)
        pool[-n_targets:] = targets
    elif kind == "targets-nearly-in-pool":
        rows = rows[: max(1, n_columns // 3)]
        shift = 10.0 ** g.uniform(-13, -5, (n_candidates, 1))
        pool = targets[g.integers(0, min(2, n_targets), n_candidates)]
        pool = pool + shift * g.normal(size=pool.shape)
    elif kind == "multiples":
        factors = g.choice([-2.0, 0.5, 1.0, 4.0], (n_candidates, 1))
        pool = pool[g.integers(0, min(3, n_candidates), n_candidates)] * factors
    elif kind == "zeros":
        pool[g.integers(0, n_candidates, n_candidates // 2)] = 0.0
    return Problem(rows, targets, pool, regularizer)


KINDS = (
    "normal",
    "decaying",
    "steep",
    "steep-targets-in-pool",
    "spread",
    "low-rank",
    "duplicates",
    "near-duplicates",
    "few-rows",
    "pool-is-training",
    "targets-in-pool",
    "targets-nearly-in-pool",
    "decaying-targets-in-pool",
    "multiples",
    "zeros",
)


# --- the code under test, with the least ceremony -------------------------------------------


def factor_of(rows, weights=None):
    """Triangular factor of rows."""
    root = SquareRoot(np.shape(rows)[1])
    root.add_rows(np.asarray(rows), weights)
    return root.factor


def posterior_of(problem):
    """Posterior of a problem before any pick, with the identity as prior."""
    n_columns = problem.pool.shape[1]
    return Posterior(factor_of(problem.rows), np.ones(n_columns), problem.regularizer)


def select(problem, objective, n_to_select, **options):
    """Greedy selection of a problem."""
    return greedy_selection(
        posterior_of(problem),
        problem.targets,
        ArrayRows(problem.pool, block_rows=7),
        OBJECTIVES[objective],
        n_to_select,
        weights=problem.weights,
        excluded=problem.excluded,
        **options,
    )


def indices(result):
    """Positions picked, in order."""
    return [pick.index for pick in result.picks]


@st.composite
def problems(draw, n_columns=8, n_candidates=20, kinds=KINDS):
    return make_problem(
        draw(st.sampled_from(kinds)),
        draw(st.sampled_from(REGULARIZERS)),
        draw(st.integers(0, 2**31 - 1)),
        n_columns=draw(st.integers(1, n_columns)),
        n_rows=draw(st.integers(1, 12)),
        n_targets=draw(st.integers(1, 6)),
        n_candidates=draw(st.integers(6, n_candidates)),
    )
