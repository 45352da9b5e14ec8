"""What a greedy selection among blocks holds in memory, and how much it computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.numerics import block_picker
from prcli.numerics.block_group import part_size
from prcli.numerics.block_screen import n_correlated
from prcli.numerics.objectives import Objective

#: Arrays over candidates and targets that bounds need at a time.
_ARRAYS_OF_BOUNDS = 10


@dataclass(frozen=True)
class BlockCost:
    """Memory and work of a selection.

    Attributes
    ----------
    rows, gram, covariances : int
        Bytes of the whitened pool, of the covariances of rows of the same block, and of those
        with the targets: held from the beginning to the end.
    work : int
        Bytes that come and go beside them; blocks of rows on their way from the source are
        not counted.
    whitening, pick : float
        Floating-point operations of whitening the pool, and of a pick as tall as any.
    """

    rows: int
    gram: int
    covariances: int
    work: int
    whitening: float
    pick: float

    @property
    def held(self) -> int:
        """Bytes held from the beginning to the end."""
        return self.rows + self.gram + self.covariances


def block_cost(
    heights: NDArray[np.integer],
    n_columns: int,
    n_targets: int,
    objective: Objective,
    n_threads: int,
) -> BlockCost:
    """Count what a selection will hold and compute.

    Parameters
    ----------
    heights : ndarray of shape (C,)
        Rows of each candidate that is not excluded.
    n_columns, n_targets : int
    objective : Objective
    n_threads : int

    Returns
    -------
    cost : BlockCost
    """
    raw = np.asarray(heights, dtype=np.float64)
    m = np.minimum(raw, n_columns)
    tallest = float(m.max(initial=0.0))
    kept = n_correlated(objective, n_targets, n_columns)
    # An elimination and a solution for the targets, or the inverse for the determinant.
    solution = m * m * (2.0 / 3.0 * m + (2.0 * kept if objective.needs_targets else 2.0 * m))
    whitening = raw * n_columns**2 + m * n_columns * (2.0 * m + 2.0 * kept)
    whitening += np.where(raw > n_columns, 2.0 * raw * n_columns**2, 0.0)
    update = 2.0 * m * tallest * (n_columns + m + kept)
    return BlockCost(
        rows=8 * int(m.sum()) * n_columns,
        gram=8 * int((m * m).sum()),
        covariances=8 * int(m.sum()) * kept,
        work=n_threads * _part_bytes(m, int(tallest), n_columns, kept)
        + 8 * max(block_picker.BATCH_ELEMENTS, int(tallest) * n_columns),
        whitening=float(whitening.sum()),
        pick=float((update + solution).sum()),
    )


def _part_bytes(heights: NDArray[np.floating], tallest: int, n_columns: int, n_targets: int) -> int:
    """Bytes that one thread needs for the part of the pool that it works on, at most."""
    largest = 0
    for height in np.unique(heights[heights > 0.0]).astype(int).tolist():
        rows = part_size(height, n_columns) * height
        # Products with the pick and their copy, what is subtracted, matrices and their
        # copy, right-hand sides and solutions.
        per_row = 2 * tallest + 3 * n_targets + 3 * height
        bounds = _ARRAYS_OF_BOUNDS * part_size(height, n_columns) * n_targets
        largest = max(largest, 8 * (rows * per_row + bounds))
    return largest
