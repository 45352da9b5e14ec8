"""What a selection will hold in memory and read, chosen and told before it starts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from prcli.errors import RequestError
from prcli.numerics.chain import MOST_FACTORS
from prcli.parallel.memory import format_size
from prcli.records import Holding, Precision

#: Interpreter, libraries, and blocks of rows on their way.
_BASE = 160 << 20

#: Vectors over candidates, where nothing else is said: variances, bounds, scores, digests, frames.
_BYTES_PER_CANDIDATE = 200

#: Copies of the target rows that live at the same time, where nothing else is said.
_TARGET_COPIES = 5

#: Square matrices over columns that live at the same time.
_SQUARES = 12

#: Chains of picks that live at the same time: those of pool and targets, and room to grow.
_CHAINS = 4

_BYTES: dict[Precision, int] = {"float64": 8, "float32": 4, "none": 0}

#: What a processor does in a second, to the nearest power of ten or so: enough to tell which of
#: two ways is faster.
_MEMORY_BYTES_PER_SECOND = 8e9
_STORE_NUMBERS_PER_SECOND = 2e8
_FLOPS_PER_SECOND = 2e10


@dataclass(frozen=True)
class SelectionPlan:
    """Anonymous memory of a selection, in bytes, and what it reads.

    Parameters
    ----------
    n_candidates, n_targets, n_columns : int
    whitens_pool : bool
        Whether all candidates are looked at in whitened coordinates, as the greedy search does.
    needs_cross : bool
        Whether scoring needs all covariances between candidates and targets.
    n_rows : int, optional
        Rows of all candidates together, where they are blocks of rows; a row each by default.
    n_products : int
        Products of rows of the same candidate that are held, where candidates are blocks.
    n_to_select : int
    stored_bytes : int
        Features of the pool as they are stored.
    holding : Holding
        What is kept, and how.
    looks_at_few : bool
        Whether a pick looks at a small part of the pool.
    keeps_points : bool
        Whether all candidates are looked at as they are, as farthest-point sampling does.
    vectors : int, optional
        Bytes of all vectors over candidates together.
    n_target_copies : int
        Copies of the target rows that live at the same time.
    besides : int
        Bytes of what no number of rows tells, such as a compiler.
    besides_float32 : int
        The same, where the pool is kept in float32 only.
    n_searches : int
        Greedy searches, one after the other.
    n_other_passes : int
        Times that the pool is read beside those of a search; −1 where it is not read in whole.
    count : {"", "at most ", "at least ", "about "}
        What the number of passes is.
    """

    n_candidates: int
    n_targets: int
    n_columns: int
    whitens_pool: bool
    needs_cross: bool
    n_rows: int | None = None
    n_products: int = 0
    n_to_select: int = 1
    stored_bytes: int = 0
    holding: Holding = field(default_factory=Holding)
    looks_at_few: bool = False
    keeps_points: bool = False
    vectors: int | None = None
    n_target_copies: int = _TARGET_COPIES
    besides: int = 0
    besides_float32: int = 0
    n_searches: int = 1
    n_other_passes: int = 0
    count: str = ""

    @property
    def held_pool(self) -> int:
        """The pool, in whitened coordinates or as it is."""
        return _BYTES[self.holding.pool] * self._rows * self.n_columns * self._looks_at_pool

    @property
    def covariances(self) -> int:
        """Covariances between candidates and targets."""
        each = _BYTES[self.holding.covariances]
        return each * self._rows * self.n_targets * (self.whitens_pool and self.needs_cross)

    @property
    def products(self) -> int:
        """Products of rows of the same candidate, float64."""
        return 8 * self.n_products * self.whitens_pool

    @property
    def picks(self) -> int:
        """What is kept of the picks themselves, where candidates are single rows."""
        if not self.whitens_pool or self.n_rows is not None:
            return 0
        n_factors = min(self.n_to_select, max(MOST_FACTORS, self.n_columns))
        kept = self.n_to_select * self.n_columns * self.looks_at_few
        return 8 * (_CHAINS * n_factors * self.n_columns + n_factors**2 + kept)

    @property
    def _looks_at_pool(self) -> bool:
        return self.whitens_pool or self.keeps_points

    @property
    def _streams(self) -> bool:
        return self._looks_at_pool and self.holding.pool == "none"

    @property
    def _rows(self) -> int:
        return self.n_candidates if self.n_rows is None else self.n_rows

    @property
    def _vectors(self) -> int:
        return _BYTES_PER_CANDIDATE * self.n_candidates if self.vectors is None else self.vectors

    @property
    def total(self) -> int:
        """Everything."""
        return (
            self.held_pool
            + self.covariances
            + self.products
            + self.picks
            + self._vectors
            + 8 * self.n_target_copies * self.n_targets * self.n_columns
            + 8 * _SQUARES * self.n_columns**2
            + self.besides
            + self.besides_float32 * (self._looks_at_pool and self.holding.pool == "float32")
            + _BASE
        )

    @property
    def n_passes(self) -> int:
        """Times that the pool is read, fresh whitenings that rounding may ask for not counted."""
        return self.n_searches * self._n_passes_of_a_search + self.n_other_passes

    @property
    def _n_passes_of_a_search(self) -> int:
        if not self._streams or self.looks_at_few:
            return 1
        # Whitening serves the first pick. A look at the points does not, nor does it where
        # covariances are made anew.
        makes_anew = self.needs_cross and self.holding.covariances == "none"
        return self.n_to_select + (self.keeps_points or makes_anew)

    @property
    def seconds_of_a_pick(self) -> float:
        """Time of a pick, roughly: to compare plans by."""
        if self.holding.pool == "none":
            seconds = self._rows * self.n_columns / _STORE_NUMBERS_PER_SECOND
        else:
            # float32 costs what it saves: products are taken in float64.
            seconds = 8 * self._rows * self.n_columns / _MEMORY_BYTES_PER_SECOND
        if self.whitens_pool and self.needs_cross:
            if self.holding.covariances == "none":
                flops = 2.0 * self._rows * self.n_columns * self.n_targets
                seconds += flops / _FLOPS_PER_SECOND
            seconds += 16 * self._rows * self.n_targets / _MEMORY_BYTES_PER_SECOND
        return seconds

    def __str__(self) -> str:
        """Say it in a line."""
        parts = []
        if self._streams:
            few = ", few candidates of it" if self.looks_at_few else ""
            parts.append(f"pool read again at every pick{few}")
        elif self._looks_at_pool:
            what = "whitened pool" if self.whitens_pool else "pool"
            parts.append(f"{what} {_size(self.held_pool, self.holding.pool)}")
        if self.needs_cross and self.whitens_pool:
            kept = self.holding.covariances
            how = "computed at every pick" if kept == "none" else _size(self.covariances, kept)
            parts.append(f"covariances with {self.n_targets} targets {how}")
        if self.products:
            parts.append(f"products within candidates {format_size(self.products)}")
        parts.append(f"{format_size(self.total)} in all")
        if self.stored_bytes:
            parts.append(f"pool {self._reading}")
        return ", ".join(parts)

    @property
    def _reading(self) -> str:
        """Say how often the pool is read."""
        n = self.n_passes
        if not n:
            return "not read but for the picks"
        times = f"{self.count}{n} times" if n > 1 else "once"
        times += " in whole" if self.looks_at_few and self._streams else ""
        return f"read {times}, {format_size(n * self.stored_bytes)}"

    def within(self, limit: int) -> SelectionPlan:
        """Choose the fastest way that fits into memory.

        Parameters
        ----------
        limit : int
            Bytes.

        Returns
        -------
        plan : SelectionPlan

        Raises
        ------
        RequestError
            If there is none, naming what would do.
        """
        ways = [replace(self, holding=holding) for holding in self._holdings()]
        fitting = [plan for plan in ways if plan.total <= limit]
        if fitting:
            return min(fitting, key=lambda plan: plan.seconds_of_a_pick)
        least = min(ways, key=lambda plan: plan.total)
        raise RequestError(
            "the selection does not fit into memory",
            expected=f"at most {format_size(limit)}",
            got=str(least),
            remedy=f"give --memory {_mebibytes(least.total)}{self._cheaper()}",
        )

    def _holdings(self) -> list[Holding]:
        """Ways to hold the pool and the covariances, the one preferred among equals first."""
        if self.n_rows is not None or not self._looks_at_pool:
            return [Holding()]
        precisions: tuple[Precision, ...] = ("float64", "float32", "none")
        kept = precisions if self.whitens_pool and self.needs_cross else precisions[:1]
        return [Holding(pool, covariances) for pool in precisions for covariances in kept]

    def _cheaper(self) -> str:
        """Name what else needs less memory."""
        if not self._looks_at_pool:
            return ""
        if self.n_rows is not None:
            return (
                " or more, or use --objective log-det, which needs no covariances, "
                "--force-weight 0 --stress-weight 0, whose candidates are single rows that need "
                "not be held, fewer targets, or a part of the pool (pool.h5@::10)"
            )
        return " or more, or use a part of the pool (pool.h5@::10)"


def _size(n_bytes: int, precision: Precision) -> str:
    return f"{format_size(n_bytes)} in {precision}"


def _mebibytes(n_bytes: int) -> str:
    """Write a size as --memory takes it, rounded up."""
    return f"{-(-n_bytes // (1 << 20))}M"
