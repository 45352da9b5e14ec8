"""Features to measure with, and prcli's commands on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from measurement import timed

import prcli
from prcli.data.hessian_record import HessianRecord
from prcli.numerics import passes

REGULARIZER = 1e-5

#: Objectives of `prcli select`, in the order of the table.
OBJECTIVES = ("mean-pr", "mean-log-pr", "min-pr", "mean-variance", "log-det")

#: Those that keep the covariances of all candidates with all targets.
CROSS = ("mean-pr", "mean-log-pr", "min-pr")


@dataclass(frozen=True)
class Size:
    """C candidates or rows, T targets, D features and a number of picks."""

    C: int
    T: int
    D: int
    picks: int


@contextmanager
def compiled_loops() -> Iterator[None]:
    """Let selections use the compiled loops, as those among large pools do, whatever the size."""
    before, passes.COMPILE_FROM = passes.COMPILE_FROM, 0.0
    try:
        yield
    finally:
        passes.COMPILE_FROM = before


class Features:
    """Rows of structures, whose singular values decay as those of descriptors do.

    Parameters
    ----------
    size : Size
    seed : int
    clock : callable
        What times are read from.
    """

    def __init__(
        self, size: Size, seed: int = 0, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        rng = np.random.default_rng(seed)
        decay = np.exp(-np.arange(size.D) * 8.0 / size.D)
        self.size = size
        self._clock = clock
        self.train = rng.standard_normal((4 * size.D, size.D)) * decay
        self.target = rng.standard_normal((size.T, size.D)) * decay
        self.pool = rng.standard_normal((size.C, size.D))
        self.pool *= decay
        self._record: HessianRecord | None = None

    @property
    def record(self) -> HessianRecord:
        """Hessian of the training rows."""
        if self._record is None:
            self._record = prcli.hessian(self.train, scale="none", regularizer=REGULARIZER)
        return self._record

    def hessian(self) -> float:
        """Seconds of the Hessian of the pool."""
        return timed(
            lambda: prcli.hessian(self.pool, scale="none", regularizer=REGULARIZER), self._clock
        )

    def score(self) -> float:
        """Seconds of the rigidities of the pool."""
        record = self.record
        return timed(lambda: prcli.score(record, self.pool).rigidity, self._clock)

    def select(self, objective: str, n_picks: int | None = None) -> prcli.Selection:
        """Select from the pool."""
        n_picks = self.size.picks if n_picks is None else n_picks
        return prcli.select(
            self.pool, n_picks, hessian=self.record, target=self.target, objective=objective
        )

    def select_seconds(self, objective: str, n_picks: int | None = None) -> float:
        """Seconds of a selection from the pool."""
        self.record  # noqa: B018  (made here, so that it is not timed)
        return timed(lambda: self.select(objective, n_picks), self._clock)
