"""One pick against the memory traffic that it cannot avoid."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from measurement import Bandwidth, in_turns

from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.pickers import GreedyPicker
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.numerics.row_source import ArrayRows

#: Picks that one round makes.
PICKS_IN_A_ROW = 5


class Selection:
    """A selection under way, whose picks and passes are timed."""

    def __init__(self, n_candidates: int, n_features: int, n_targets: int) -> None:
        rng = np.random.default_rng(0)
        decay = np.exp(-np.arange(n_features) * 8.0 / n_features)
        train = rng.standard_normal((2 * n_features, n_features)) * decay
        target_rows = rng.standard_normal((n_targets, n_features)) * decay
        pool = rng.standard_normal((n_candidates, n_features))
        pool *= decay
        posterior = Posterior(np.linalg.qr(train, mode="r"), np.ones(n_features), 1e-6)
        self._targets = TargetFrame(posterior, target_rows)
        self._picker = GreedyPicker(
            ArrayRows(pool),
            self._targets,
            posterior,
            OBJECTIVES["mean-pr"],
            np.full(n_targets, 1.0 / n_targets),
            1000,
        )
        self.pass_seconds = 0.0
        covariances = self._picker._screen._covariances
        run = covariances.score

        def timed_pass(*arrays: object) -> None:
            start = time.perf_counter()
            run(*arrays)
            self._seconds_in_pass += time.perf_counter() - start

        covariances.score = timed_pass
        self._seconds_in_pass = 0.0
        self.pass_seconds = 0.0
        # The first pick compiles, and has no earlier pick to apply.
        self.pick()

    def pick(self) -> float:
        """Seconds of one pick, the mean of some in a row, as a selection makes them."""
        self._seconds_in_pass = 0.0
        start = time.perf_counter()
        for _ in range(PICKS_IN_A_ROW):
            effect, _ = self._picker.propose()
            self._targets.add(effect.rows, effect.step)
            self._picker.accept(effect)
        self.pass_seconds = self._seconds_in_pass / PICKS_IN_A_ROW
        return (time.perf_counter() - start) / PICKS_IN_A_ROW


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("n_candidates", "n_features", "n_targets"), [(13_000, 600, 650), (400_000, 512, 50)]
)
def test_pick_against_memory_traffic(
    n_candidates: int, n_features: int, n_targets: int, show: Callable[[str], None]
) -> None:
    selection = Selection(n_candidates, n_features, n_targets)
    bandwidth = Bandwidth()
    timing = in_turns(
        [
            bandwidth.read,
            bandwidth.read_and_write,
            selection.pick,
            lambda: selection.pass_seconds,
        ]
    )
    read, read_and_write, pick, pass_ = timing.medians
    least = 8.0 * n_candidates * (n_features * read + n_targets * read_and_write)
    show(f"{n_candidates} candidates x {n_features} features x {n_targets} targets ({timing})")
    show(f"read {1e-9 / read:.1f} GB/s, read and write {2e-9 / read_and_write:.1f} GB/s")
    show(f"least {1e3 * least:.2f} ms, pass {1e3 * pass_:.2f} ms, pick {1e3 * pick:.2f} ms")
    show(f"pass / memory traffic {pass_ / least:.2f}")
    show(f"pick / memory traffic {pick / least:.2f}  (goal: 1.2 or less)")
