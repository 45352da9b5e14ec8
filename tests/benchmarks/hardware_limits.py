"""What this machine can do at most, measured on the spot: what prcli is held against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from measurement import Bandwidth, Timing, in_turns, timed
from scipy.linalg.blas import dgemm, dtrsm
from tsv_table import Row

from prcli.parallel.threads import limit_threads


class Limits:
    """Matrix product, triangular solve, and traffic of the memory.

    Parameters
    ----------
    n_features : int
        Order of the matrices, that of the features that will be measured.
    n_rows : int
        Rows that one product or solve takes.
    n_values : int, optional
        Values that the array has which tells the bandwidth.
    """

    def __init__(self, n_features: int, n_rows: int, n_values: int | None = None) -> None:
        rng = np.random.default_rng(0)
        self._square = np.asfortranarray(rng.standard_normal((n_features, n_features)))
        self._triangle = np.asfortranarray(np.triu(self._square) + 10.0 * np.eye(n_features))
        self._rows = np.asfortranarray(rng.standard_normal((n_features, n_rows)))
        self._out = np.zeros((n_features, n_rows), order="F")
        self._bandwidth = Bandwidth(n_values)
        self._flops = float(n_features) ** 2 * n_rows

    def product(self) -> float:
        """Seconds a floating-point operation of a matrix product."""
        seconds = timed(lambda: dgemm(1.0, self._square, self._rows, c=self._out, overwrite_c=1))
        return seconds / (2.0 * self._flops)

    def solve(self) -> float:
        """Seconds a floating-point operation of a triangular solve."""
        self._out[:] = self._rows
        seconds = timed(lambda: dtrsm(1.0, self._triangle, self._out, trans_a=1, overwrite_b=1))
        return seconds / self._flops

    def read(self) -> float:
        """Seconds to read a byte."""
        return self._bandwidth.read()

    def read_and_write(self) -> float:
        """Seconds to read a byte and write it back."""
        return self._bandwidth.read_and_write()


_ITEMS: tuple[tuple[str, str, str, float], ...] = (
    ("matrix product", "product", "Gflop/s", 1e-9),
    ("triangular solve", "solve", "Gflop/s", 1e-9),
    ("memory, read", "read", "GB/s", 1e-9),
    ("memory, read and write", "read_and_write", "GB/s", 2e-9),
)


def limit_rows(
    limits: Limits, threads: tuple[int, ...], n_rounds: int, patience: float
) -> list[Row]:
    """Lines on what the machine can do, with each number of threads."""
    rows = []
    for n_threads in threads:
        with limit_threads(n_threads):
            functions: list[Callable[[], float]] = [getattr(limits, name) for _, name, *_ in _ITEMS]
            timing = in_turns(functions, n_rounds, patience)
        rows += _rows(timing, n_threads)
    return rows


def _rows(timing: Timing, n_threads: int) -> list[Row]:
    return [
        Row(
            "limit",
            item,
            factor / timing.medians[i],
            unit,
            threads=n_threads,
            low=factor / float(timing.rounds[:, i].max()),
            high=factor / float(timing.rounds[:, i].min()),
        )
        for i, (item, _, unit, factor) in enumerate(_ITEMS)
    ]
