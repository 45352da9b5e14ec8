"""Which rows of a file in the making have been written."""

from __future__ import annotations

from bisect import bisect_left


class Coverage:
    """Which of n rows have been written, as disjoint runs.

    Parameters
    ----------
    n_rows : int
        How many there should be.
    """

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """Count rows ``start:stop``; ValueError if they are out of range or written before."""
        if not 0 <= start <= stop <= self._n_rows:
            raise ValueError(f"rows {start}:{stop} are outside of 0:{self._n_rows}")
        if start == stop:
            return
        at = bisect_left(self._starts, start)
        if (at and self._stops[at - 1] > start) or (
            at < len(self._starts) and self._starts[at] < stop
        ):
            raise ValueError(f"rows {start}:{stop} were written before, at least in part")
        joins_next = at < len(self._starts) and self._starts[at] == stop
        joins_previous = bool(at) and self._stops[at - 1] == start
        if joins_previous and joins_next:
            self._stops[at - 1] = self._stops.pop(at)
            self._starts.pop(at)
        elif joins_previous:
            self._stops[at - 1] = stop
        elif joins_next:
            self._starts[at] = start
        else:
            self._starts.insert(at, start)
            self._stops.insert(at, stop)

    def first_gap(self) -> int | None:
        """Give the first row that is missing; None if all are there."""
        covered = self._stops[0] if self._starts and self._starts[0] == 0 else 0
        return None if covered == self._n_rows else covered
