"""Building a Hessian against the bare LAPACK routine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from measurement import in_turns, last_level_cache, timed
from scipy.linalg.lapack import dtpqrt

from prcli.numerics.square_root import BLOCK_ROWS, SquareRoot
from prcli.numerics.tpqrt import PANEL_COLUMNS


def _bare(rows: np.ndarray) -> float:
    """Seconds of LAPACK alone, on blocks that lie as it wants them."""
    factor = np.zeros((rows.shape[1], rows.shape[1]), order="F")
    block = np.empty((BLOCK_ROWS, rows.shape[1]), order="F")
    seconds = 0.0
    for start in range(0, len(rows), BLOCK_ROWS):
        block[:] = rows[start : start + BLOCK_ROWS]
        seconds += timed(
            lambda: dtpqrt(0, PANEL_COLUMNS, factor, block, overwrite_a=1, overwrite_b=1)
        )
    return seconds


@pytest.mark.benchmark
@pytest.mark.parametrize("n_features", [128, 512, 1024])
def test_hessian_against_lapack(n_features: int, show: Callable[[str], None]) -> None:
    n_bytes = max(4 * last_level_cache(), 1 << 27)
    n_rows = n_bytes // (4 * n_features) // BLOCK_ROWS * BLOCK_ROWS
    single = np.random.default_rng(0).standard_normal((n_rows, n_features), dtype=np.float32)
    double = single.astype(np.float64)
    timing = in_turns(
        [
            lambda: _bare(double),
            lambda: timed(lambda: SquareRoot(n_features).add_rows(double)),
            lambda: timed(lambda: SquareRoot(n_features).add_rows(single)),
        ]
    )
    bare, from_double, from_single = timing.medians
    show(f"{n_rows} rows x {n_features} features ({timing})")
    show(f"LAPACK {n_rows / bare:.0f} rows/s, {2e-9 * n_rows * n_features**2 / bare:.0f} Gflop/s")
    show(f"float64 rows: rate / LAPACK {bare / from_double:.2f}  (goal: 0.8 or more)")
    show(f"float32 rows: rate / LAPACK {bare / from_single:.2f}  (goal: 0.8 or more)")
