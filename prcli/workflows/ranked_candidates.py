"""Candidates that several ranks divide among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.gradient_blocks import GradientBlock
from prcli.data.hessian_record import HessianRecord
from prcli.data.shards import share_of_rank
from prcli.numerics.baselines import Order
from prcli.numerics.block_source import ArrayBlocks, BlockSource
from prcli.numerics.pool_share import PoolShare
from prcli.numerics.row_source import ArrayRows, RowSource, WrappedRows
from prcli.records import ALONE, Communicator, Progress, no_progress
from prcli.workflows.candidate_rows import CandidateRows, Weights

FloatArray = NDArray[np.float64]


class RankedCandidates(CandidateRows):
    """All candidates of a pool, of which each rank screens a share.

    Parameters
    ----------
    pool : Dataset
    record : HessianRecord
    weights : Weights, optional
        Of the structures of the whole pool.
    communicator : Communicator
    progress : callable
        Told how far this rank's share has been read, as often as it is.

    Attributes
    ----------
    communicator : Communicator
    share : PoolShare
        Candidates that this rank looks after.

    Raises
    ------
    RequestError
        If no row of the pool has any weight.
    """

    def __init__(
        self,
        pool: Dataset,
        record: HessianRecord,
        weights: Weights | None = None,
        communicator: Communicator = ALONE,
        progress: Progress = no_progress,
    ) -> None:
        super().__init__(pool, record, weights)
        self._progress = progress
        self.communicator = communicator
        own, first = share_of_rank(pool, communicator)
        n_own = 0 if own is None else own.n_structures
        self.share = PoolShare(n_own, first, pool.n_structures, communicator)
        self._own: CandidateRows | None = self
        if communicator.size > 1:
            mine = None if weights is None else ShareWeights(weights, self.share)
            self._own = None if own is None else CandidateRows(own, record, mine, self.kinds)

    @property
    def own_rows(self) -> RowSource:
        """Rows of the candidates of this rank, where each candidate is a single one."""
        if self._own is None:
            return ArrayRows(np.empty((0, self.n_columns)))
        return WatchedRows(self._own.energies, self._progress)

    @property
    def own_blocks(self) -> BlockSource:
        """Blocks of rows of the candidates of this rank."""
        if self._own is None:
            return ArrayBlocks(np.empty((0, self.n_columns)), [])
        return WatchedBlocks(self._own, self._progress)


class WatchedRows(WrappedRows):
    """Rows of candidates, with a report of how many have been read; see `RowSource`.

    Parameters
    ----------
    rows : RowSource
    progress : callable
    """

    def __init__(self, rows: RowSource, progress: Progress) -> None:
        super().__init__(rows)
        self._progress = progress

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield (index of the first row, rows)."""
        for first, rows in super().blocks():
            done = first + len(rows)
            yield first, rows
            self._progress("pool", done, self.n_rows)


class WatchedBlocks:
    """Candidates of many rows, with a report of how many have been read; see `BlockSource`.

    Parameters
    ----------
    source : BlockSource
    progress : callable
    """

    def __init__(self, source: BlockSource, progress: Progress) -> None:
        self._source = source
        self._progress = progress

    @property
    def heights(self) -> NDArray[np.int64]:
        """Rows of each candidate."""
        return self._source.heights

    @property
    def n_blocks(self) -> int:
        """Number of candidates."""
        return self._source.n_blocks

    @property
    def n_columns(self) -> int:
        """Width of a row."""
        return self._source.n_columns

    def blocks(self) -> Iterator[tuple[int, NDArray[np.int64], FloatArray]]:
        """Yield (first candidate, heights, rows) of consecutive candidates."""
        for first, heights, rows in self._source.blocks():
            yield first, heights, rows
            self._progress("pool", first + len(heights), self.n_blocks)

    def take(self, index: int) -> FloatArray:
        """Return the rows of one candidate."""
        return self._source.take(index)


class ShareWeights:
    """Weights of the rows of a share of a set; see `candidate_rows.Weights`.

    Parameters
    ----------
    whole : Weights
        Of the set.
    share : PoolShare
    """

    def __init__(self, whole: Weights, share: PoolShare) -> None:
        self._whole = whole
        self._share = share

    def energies(self) -> FloatArray | None:
        """(n,) weights of the energy rows; None where all are 1."""
        weights = self._whole.energies()
        return None if weights is None else weights[self._share.part]

    def of_gradients(self, block: GradientBlock) -> FloatArray | None:
        """Weights of the rows of a block; None where all are 1."""
        return self._whole.of_gradients(
            replace(block, structure=block.structure + self._share.first)
        )


class ToldOrder:
    """An order that rank 0 knows and tells the others; see `numerics.baselines.Order`.

    Parameters
    ----------
    order : Order or None
        None on the other ranks.
    communicator : Communicator
    """

    def __init__(self, order: Order | None, communicator: Communicator) -> None:
        self._order = order
        self._communicator = communicator

    def first(self, closed: NDArray[np.bool_]) -> int:
        """Position of the next candidate, one that is not closed; `closed` has shape (C,)."""
        position = -1 if self._order is None else self._order.first(closed)
        return self._communicator.broadcast(position)

    def accept(self, index: int) -> None:
        """Learn of a pick."""
        if self._order is not None:
            self._order.accept(index)
