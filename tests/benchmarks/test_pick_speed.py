"""One pick against the memory traffic that it cannot avoid."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import pytest
from measurement import Bandwidth, in_turns, timed

from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.pickers import GreedyPicker
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.numerics.row_source import ArrayRows

#: Picks that one round makes. A selection makes them one after the other: the first ones after
#: other work find the caches, the branch predictors and the threads unprepared.
PICKS_IN_A_ROW = 25

#: Measurements of the bandwidth that one round makes, for the same reason.
READS_IN_A_ROW = 7


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
            OBJECTIVES["mean-pr"],
            np.full(n_targets, 1.0 / n_targets),
            1000,
        )
        covariances = self._picker._screen._covariances
        run = covariances.score
        self._passes: list[float] = []

        def timed_pass(*arrays: object) -> None:
            self._passes.append(timed(lambda: run(*arrays)))

        covariances.score = timed_pass
        self.pass_seconds = 0.0
        # The first pick compiles, and has no earlier pick to apply.
        self.pick()

    def pick(self) -> float:
        """Seconds of one pick, the median of some in a row."""
        self._passes.clear()
        seconds = _median(lambda: timed(self._pick), PICKS_IN_A_ROW)
        self.pass_seconds = statistics.median(self._passes)
        return seconds

    def _pick(self) -> None:
        effect, _ = self._picker.propose()
        self._targets.add(effect.rows, effect.step)
        self._picker.accept(effect)


def _median(function: Callable[[], float], n_times: int) -> float:
    return statistics.median(function() for _ in range(n_times))


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
            lambda: _median(bandwidth.read, READS_IN_A_ROW),
            lambda: _median(bandwidth.read_and_write, READS_IN_A_ROW),
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
