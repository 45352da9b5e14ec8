"""How much of a pool the lazy screen of the determinant has looked at, counted as it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from prcli.numerics.lazy_screen import LazyDetScreen


@dataclass
class Looks:
    """What a selection has brought up to date.

    Attributes
    ----------
    candidates : int
        Candidates, each as often as it was looked at.
    products : int
        The same, once for each pick that they had missed.
    """

    candidates: int = 0
    products: int = 0


@contextmanager
def counted_looks() -> Iterator[Looks]:
    """Count what selections by the determinant look at within."""
    looks, apply = Looks(), LazyDetScreen._apply

    def counting(
        self: LazyDetScreen, members: np.ndarray, r: np.ndarray, first: int
    ) -> None:
        looks.candidates += len(r)
        looks.products += r.size
        apply(self, members, r, first)

    LazyDetScreen._apply = counting
    try:
        yield looks
    finally:
        LazyDetScreen._apply = apply


def all_looked_at(n_candidates: int, n_picks: int) -> Looks:
    """Looks of a selection that brings everybody up to date at every pick: the most there are."""
    return Looks(n_candidates * n_picks, n_candidates * n_picks)
