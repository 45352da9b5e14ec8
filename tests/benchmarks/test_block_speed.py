"""A selection among blocks of rows against the bare matrix products that it consists of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from measurement import in_turns, timed

from prcli.numerics.blas_threads import granted_threads
from prcli.numerics.block_cost import block_cost
from prcli.numerics.block_selection import block_selection
from prcli.numerics.block_source import ArrayBlocks
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import Posterior

N_PICKS = 20

N_ROUNDS = 3


class Pool:
    """Candidates of one height, with all that a selection needs."""

    def __init__(self, n_candidates: int, height: int, n_features: int, n_targets: int) -> None:
        rng = np.random.default_rng(0)
        decay = np.exp(-np.arange(n_features) * 8.0 / n_features)
        self._train = rng.standard_normal((2 * n_features, n_features)) * decay
        self._targets = rng.standard_normal((n_targets, n_features)) * decay
        self._rows = rng.standard_normal((n_candidates * height, n_features))
        self._rows *= decay
        self._heights = np.full(n_candidates, height)
        objective = OBJECTIVES["mean-pr"]
        self.cost = block_cost(
            self._heights, n_features, n_targets, objective, granted_threads()
        )
        self._directions = np.linalg.qr(rng.standard_normal((n_features, height)))[0]
        self._shares = rng.standard_normal((height, n_targets))
        self.select(1)

    @property
    def operations(self) -> float:
        """Floating-point operations of a selection."""
        return self.cost.whitening + N_PICKS * self.cost.pick

    def select(self, n_picks: int = N_PICKS) -> None:
        """Whiten the pool, and pick."""
        n_features = self._rows.shape[1]
        block_selection(
            Posterior(np.linalg.qr(self._train, mode="r"), np.ones(n_features), 1e-6),
            self._targets,
            ArrayBlocks(self._rows, self._heights),
            OBJECTIVES["mean-pr"],
            n_picks,
        )

    def multiply(self) -> None:
        """Apply a pick with the products of numpy alone."""
        r = self._rows @ self._directions
        r @ self._shares
        r = r.reshape(len(self._heights), -1, r.shape[1])
        r @ r.transpose(0, 2, 1)

    @property
    def operations_of_products(self) -> float:
        """Floating-point operations of `multiply`."""
        n_rows, n_features = self._rows.shape
        height, n_targets = self._shares.shape
        return 2.0 * n_rows * height * (n_features + n_targets + height)


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("n_candidates", "height", "n_features", "n_targets"),
    [(2_000, 150, 300, 50), (100_000, 7, 256, 50)],
)
def test_blocks_against_matrix_products(
    n_candidates: int,
    height: int,
    n_features: int,
    n_targets: int,
    show: Callable[[str], None],
) -> None:
    pool = Pool(n_candidates, height, n_features, n_targets)
    timing = in_turns(
        [lambda: timed(pool.multiply), lambda: timed(pool.select)], n_rounds=N_ROUNDS
    )
    products, selection = timing.medians
    bare = pool.operations_of_products / products
    ours = pool.operations / selection
    show(
        f"{n_candidates} candidates x {height} rows x {n_features} features "
        f"x {n_targets} targets ({timing})"
    )
    show(f"products {1e-9 * bare:.1f} Gflop/s, selection {1e-9 * ours:.1f} Gflop/s")
    show(f"products of a pick {products:.2f} s, {N_PICKS} picks {selection:.2f} s")
    show(f"selection rate / product rate {ours / bare:.2f}  (goal: 0.5 or more)")
