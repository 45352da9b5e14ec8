"""Candidates as the rows that they would add to the Hessian: one energy, many forces."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.gradient_blocks import GradientBlock, gradient_blocks, structure_gradients
from prcli.data.gradients import FORCE, GRADIENT_KINDS
from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.records import RowKind
from prcli.workflows.gradient_rows import gradient_rows
from prcli.workflows.model import kind_weight, row_form
from prcli.workflows.rows import EnergyRows

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


class Weights(Protocol):
    """Weights of single rows beside those of their kinds; see `row_weights.RowWeights`."""

    def energies(self) -> FloatArray | None:
        """(S,) weights of the energy rows; None where all are 1."""
        ...

    def of_gradients(self, block: GradientBlock) -> FloatArray | None:
        """Weights of the rows of a block; None where all are 1."""
        ...


def gradient_kinds(record: HessianRecord, data: Dataset) -> tuple[RowKind, ...]:
    """Kinds of gradient row that a set has and the loss counts."""
    return tuple(
        kind
        for kind in GRADIENT_KINDS
        if kind_weight(record, kind) > 0.0 and data.has_gradients(kind)
    )


def warn_about_kinds(record: HessianRecord, pool: Dataset) -> None:
    """Say where candidates have rows that the loss does not count, or lack some that it does."""
    for kind in GRADIENT_KINDS:
        n_with = int(np.count_nonzero(pool.gradient_counts(kind)))
        if n_with and not record.n_rows.get(kind):
            logger.warning("%s rows of the pool are not counted: the training set has none", kind)
        elif kind_weight(record, kind) > 0.0 and n_with < pool.n_structures:
            logger.warning(
                "%d of %d candidates have no %s rows, which the loss counts: they add their other "
                "rows only",
                pool.n_structures - n_with,
                pool.n_structures,
                kind,
            )


class CandidateRows:
    """Weighted rows of every structure of a pool: a block source for the numerics.

    Parameters
    ----------
    pool : Dataset
    record : HessianRecord
        Says what rows are and what each kind counts.
    weights : Weights, optional
        Of structures.
    kinds : collection of {"force", "stress"}, optional
        Kinds of gradient row; by default those that the pool has and the loss counts.

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
        kinds: Collection[RowKind] | None = None,
    ) -> None:
        self._pool = pool
        self._form = row_form(record)
        self._weights = weights
        self._kinds = tuple(gradient_kinds(record, pool) if kinds is None else kinds)
        self._factors = {kind: np.sqrt(kind_weight(record, kind)) for kind in self._kinds}
        energy_weight = kind_weight(record, "energy")
        self._n_energies = int(energy_weight > 0.0)
        if not (self._n_energies or self._kinds):
            raise RequestError(
                "candidates would add nothing to the Hessian",
                where=pool.label,
                expected="rows of a kind that has weight in the loss",
                remedy="give --energy-weight, or a pool with gradients of the features",
            )
        self._energies = EnergyRows(
            pool, self._form, energy_weight, None if weights is None else weights.energies()
        )
        self._counts = {kind: pool.gradient_counts(kind) for kind in self._kinds}
        heights = np.full(pool.n_structures, self._n_energies, dtype=np.int64)
        for counts in self._counts.values():
            heights += counts
        self.heights: NDArray[np.int64] = heights

    @property
    def n_blocks(self) -> int:
        """Number of candidates."""
        return self._pool.n_structures

    @property
    def n_columns(self) -> int:
        """Width of a row."""
        return self._form.n_columns

    @property
    def kinds(self) -> tuple[RowKind, ...]:
        """Kinds of gradient row that candidates have."""
        return self._kinds

    @property
    def are_single(self) -> bool:
        """Whether every candidate is one row, that of its energy."""
        return not self._kinds

    @property
    def energies(self) -> EnergyRows:
        """Weighted rows of the energies."""
        return self._energies

    @property
    def described(self) -> EnergyRows:
        """Rows of the energies, each of weight 1: what describes a structure."""
        return EnergyRows(self._pool, self._form)

    def blocks(self) -> Iterator[tuple[int, NDArray[np.int64], FloatArray]]:
        """Yield (first candidate, heights, rows) of consecutive candidates."""
        done = 0
        for block in gradient_blocks(self._pool, self._form.block_rows):
            weights = None if self._weights is None else self._weights.of_gradients(block)
            yield from self._runs(done, int(block.structure[-1]) + 1, block, weights)
            done = int(block.structure[-1]) + 1
        yield from self._runs(done, self.n_blocks, None, None)

    def take(self, index: int) -> FloatArray:
        """Return the rows of one candidate, shape (m, D')."""
        kind, rows = structure_gradients(self._pool, index)
        n_forces = np.count_nonzero(kind == FORCE)
        places = np.arange(len(kind))
        block = GradientBlock(
            structure=np.full(len(kind), index),
            place=np.where(kind == FORCE, places, places - n_forces),
            kind=kind,
            rows=rows,
        )
        weights = None
        if self._weights is not None and len(kind):
            weights = self._weights.of_gradients(block)
        return self._fill(index, index + 1, block, weights)

    def _runs(
        self, start: int, stop: int, block: GradientBlock | None, weights: FloatArray | None
    ) -> Iterator[tuple[int, NDArray[np.int64], FloatArray]]:
        """Cut candidates into runs that fit, since those without gradients may be many."""
        for first in range(start, stop, self._form.block_rows):
            last = min(first + self._form.block_rows, stop)
            piece, piece_weights = block, weights
            if block is not None:
                inside = slice(*np.searchsorted(block.structure, [first, last]).tolist())
                piece = GradientBlock(
                    structure=block.structure[inside],
                    place=block.place[inside],
                    kind=block.kind[inside],
                    rows=block.rows[inside],
                )
                piece_weights = None if weights is None else weights[inside]
            yield first, self.heights[first:last], self._fill(first, last, piece, piece_weights)

    def _fill(
        self, first: int, last: int, block: GradientBlock | None, weights: FloatArray | None
    ) -> FloatArray:
        """Rows of candidates ``first:last``: of each its energy, then its gradients."""
        heights = self.heights[first:last]
        begins = np.cumsum(heights) - heights
        rows = np.empty((int(heights.sum()), self.n_columns))
        if self._n_energies:
            rows[begins] = self._energies.read(first, last)
        if block is None:
            return rows
        before = begins + self._n_energies
        for kind in self._kinds:
            for _, index, piece in gradient_rows(block, self._form, self._pool, (kind,)):
                piece *= self._factors[kind]
                if weights is not None:
                    piece *= np.sqrt(weights[index])[:, np.newaxis]
                rows[before[block.structure[index] - first] + block.place[index]] = piece
            before = before + self._counts[kind][first:last]
        return rows
