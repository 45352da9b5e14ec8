"""A whole selection against the algorithm as it was published."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from measurement import in_turns, timed
from published_loop import PublishedLoop

from prcli.numerics.greedy import greedy_selection
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import Posterior
from prcli.numerics.row_source import ArrayRows

N_CANDIDATES, N_FEATURES, N_TARGETS, N_PICKS = 900, 600, 190, 10
REGULARIZER = 1e-6

#: Candidates of which the published forms are timed; the rest is extrapolated.
N_TIMED = 3


def _seconds(form: Callable[[int], float]) -> float:
    """Seconds of a whole selection, extrapolated from a few candidates."""
    each = timed(lambda: [form(c) for c in range(N_TIMED)]) / N_TIMED
    return each * sum(N_CANDIDATES - i for i in range(N_PICKS))


@pytest.mark.benchmark
def test_selection_against_published_algorithm(show: Callable[[str], None]) -> None:
    rng = np.random.default_rng(0)
    decay = np.exp(-np.arange(N_FEATURES) * 8.0 / N_FEATURES)
    train, targets, pool = (
        rng.standard_normal((n, N_FEATURES)) * decay
        for n in (2 * N_FEATURES, N_TARGETS, N_CANDIDATES)
    )
    published = PublishedLoop(train, targets, pool, REGULARIZER)
    factor = np.linalg.qr(train, mode="r")

    def select() -> None:
        greedy_selection(
            Posterior(factor, np.ones(N_FEATURES), REGULARIZER),
            targets,
            ArrayRows(pool),
            OBJECTIVES["mean-pr"],
            N_PICKS,
        )

    select()
    timing = in_turns(
        [
            lambda: timed(select),
            lambda: _seconds(published.loop),
            lambda: _seconds(published.inverse),
            lambda: _seconds(published.cholesky),
        ]
    )
    ours, loop, inverse, cholesky = timing.medians
    dense = min(inverse, cholesky)
    show(
        f"{N_PICKS} of {N_CANDIDATES} candidates x {N_FEATURES} features x {N_TARGETS} targets "
        f"({timing})"
    )
    show(f"published forms extrapolated from {N_TIMED} candidates; whole selection {ours:.4f} s")
    show(f"published loop {loop:.0f} s, with products {inverse:.0f} s, Cholesky {cholesky:.0f} s")
    show(f"published loop / selection {loop / ours:.0f}  (goal: 5000 or more)")
    show(f"best dense form / selection {dense / ours:.0f}  (goal: 1000 or more)")
