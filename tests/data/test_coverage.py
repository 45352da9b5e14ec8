from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.data.coverage import Coverage


@given(
    n_rows=st.integers(1, 60),
    runs=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=30),
)
def test_agrees_with_a_mask(n_rows: int, runs: list[tuple[int, int]]) -> None:
    coverage = Coverage(n_rows)
    mask = [False] * n_rows
    for start, length in runs:
        stop = start + length
        if stop > n_rows or any(mask[start:stop]):
            with pytest.raises(ValueError, match="rows"):
                coverage.add(start, stop)
        else:
            coverage.add(start, stop)
            mask[start:stop] = [True] * length
        gap = coverage.first_gap()
        assert gap == (mask.index(False) if False in mask else None)


def test_overlap_says_so() -> None:
    coverage = Coverage(10)
    coverage.add(2, 5)
    with pytest.raises(ValueError, match="rows 4:6 were written before"):
        coverage.add(4, 6)
