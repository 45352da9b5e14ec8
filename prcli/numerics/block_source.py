"""Where candidates that are blocks of many rows come from: an energy with its forces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class BlockSource(Protocol):
    """Candidates, each a block of weighted rows, read in order as often as needed."""

    @property
    def heights(self) -> NDArray[np.int64]:
        """Rows of each candidate, shape (C,); 0 is allowed."""
        ...

    @property
    def n_blocks(self) -> int:
        """Number C of candidates."""
        ...

    @property
    def n_columns(self) -> int:
        """Width D of a row."""
        ...

    def blocks(self) -> Iterator[tuple[int, NDArray[np.int64], FloatArray]]:
        """Yield (first candidate, heights, rows) of consecutive candidates.

        Rows of shape (sum of the heights, D), float64, free to be overwritten.
        """
        ...

    def take(self, index: int) -> FloatArray:
        """Return the rows of one candidate, shape (m, D)."""
        ...


class ArrayBlocks:
    """Candidates that lie in memory.

    Parameters
    ----------
    rows : ndarray of shape (M, D)
        Rows of all candidates, one candidate after the other.
    heights : ndarray of shape (C,)
        Rows of each; their sum is M.
    block_rows : int
        Rows that are handed out at a time; a candidate is never cut.
    """

    def __init__(
        self,
        rows: NDArray[np.floating],
        heights: Sequence[int] | NDArray[np.integer],
        block_rows: int = 8192,
    ) -> None:
        self._rows = rows
        self.heights: NDArray[np.int64] = np.asarray(heights, dtype=np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(self.heights)])
        self._block_rows = block_rows
        if len(rows) != self._offsets[-1] or (self.heights < 0).any():
            raise ValueError(f"heights sum to {self._offsets[-1]}, there are {len(rows)} rows")

    @classmethod
    def from_blocks(
        cls, blocks: Sequence[NDArray[np.floating]], n_columns: int, block_rows: int = 8192
    ) -> ArrayBlocks:
        """Take candidates of shapes (m_c, D)."""
        rows = np.concatenate([np.empty((0, n_columns)), *blocks])
        return cls(rows, [len(block) for block in blocks], block_rows)

    @property
    def n_blocks(self) -> int:
        """Number of candidates."""
        return len(self.heights)

    @property
    def n_columns(self) -> int:
        """Width of a row."""
        return int(self._rows.shape[1])

    def blocks(self) -> Iterator[tuple[int, NDArray[np.int64], FloatArray]]:
        """Yield copies of runs of candidates."""
        first = 0
        while first < self.n_blocks:
            end = self._offsets[first] + self._block_rows
            last = max(first + 1, int(np.searchsorted(self._offsets, end, side="right")) - 1)
            rows = self._rows[self._offsets[first] : self._offsets[last]]
            yield first, self.heights[first:last], np.array(rows, dtype=np.float64)
            first = last

    def take(self, index: int) -> FloatArray:
        """Return a copy of the rows of one candidate."""
        rows = self._rows[self._offsets[index] : self._offsets[index + 1]]
        return np.array(rows, dtype=np.float64)
