"""What a selection will hold in memory, told before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from prcli.errors import RequestError
from prcli.parallel.memory import format_size

#: Interpreter, libraries, and blocks of rows on their way.
_BASE = 144 << 20

#: Vectors over candidates: variances, bounds, scores, digests, frames.
_BYTES_PER_CANDIDATE = 200

#: Copies of the target rows that live at the same time.
_TARGET_COPIES = 5

#: Square matrices over columns that live at the same time.
_SQUARES = 12


@dataclass(frozen=True)
class SelectionPlan:
    """Anonymous memory of a selection, in bytes.

    Parameters
    ----------
    n_candidates, n_targets, n_columns : int
    whitens_pool : bool
        Whether all candidates are held in whitened coordinates, as the greedy search does.
    needs_cross : bool
        Whether all covariances between candidates and targets are held.
    n_rows : int, optional
        Rows of all candidates together, where they are blocks of rows; a row each by default.
    n_products : int
        Products of rows of the same candidate that are held, where candidates are blocks.
    """

    n_candidates: int
    n_targets: int
    n_columns: int
    whitens_pool: bool
    needs_cross: bool
    n_rows: int | None = None
    n_products: int = 0

    @property
    def whitened_pool(self) -> int:
        """The pool in whitened coordinates, float64."""
        return 8 * self._rows * self.n_columns * self.whitens_pool

    @property
    def covariances(self) -> int:
        """Covariances between candidates and targets, float64."""
        return 8 * self._rows * self.n_targets * (self.whitens_pool and self.needs_cross)

    @property
    def products(self) -> int:
        """Products of rows of the same candidate, float64."""
        return 8 * self.n_products * self.whitens_pool

    @property
    def _rows(self) -> int:
        return self.n_candidates if self.n_rows is None else self.n_rows

    @property
    def total(self) -> int:
        """Everything."""
        return (
            self.whitened_pool
            + self.covariances
            + self.products
            + 8 * _TARGET_COPIES * self.n_targets * self.n_columns
            + 8 * _SQUARES * self.n_columns**2
            + _BYTES_PER_CANDIDATE * self.n_candidates
            + _BASE
        )

    def __str__(self) -> str:
        """Say it in a line."""
        products = f"products within candidates {format_size(self.products)}, "
        return (
            f"whitened pool {format_size(self.whitened_pool)}, covariances with "
            f"{self.n_targets} targets {format_size(self.covariances)}, "
            f"{products if self.products else ''}{format_size(self.total)} in all"
        )

    def require(self, limit: int) -> None:
        """Refuse a selection that does not fit.

        Raises
        ------
        RequestError
            Naming what takes how much.
        """
        if self.total > limit:
            cheaper = "--objective log-det, which needs no covariances, --force-weight 0, "
            if not self.n_products:
                cheaper = "--objective mean-variance or log-det, which need no covariances, "
            raise RequestError(
                "the selection does not fit into memory",
                expected=f"at most {format_size(limit)}",
                got=str(self),
                remedy=f"use {cheaper}fewer targets, a part of the pool (pool.h5@::10), or more "
                "--memory",
            )
