from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prcli.workflows.compute_spans import missing_spans, spans_of_part

spans = st.lists(st.integers(0, 30), unique=True, max_size=8).map(
    lambda ends: list(zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False))
)


@given(spans, st.randoms())
def test_what_is_missing_is_all_the_rest(done, random):
    n_structures = 31
    shuffled = random.sample(done, len(done))
    missing = missing_spans(shuffled, n_structures)
    found = [i for span in missing for i in span]
    inside = {i for start, stop in done for i in range(start, stop)}
    assert found == [i for i in range(n_structures) if i not in inside]
    assert all(missing)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 7), st.data())
def test_parts_are_about_equal_and_make_the_whole(n_atoms, n_parts, data):
    offsets = np.concatenate([[0], np.cumsum(n_atoms)])
    ends = sorted(data.draw(st.lists(st.integers(0, len(n_atoms)), min_size=2, max_size=6)))
    wanted = [range(a, b) for a, b in zip(ends[::2], ends[1::2], strict=False) if a < b]
    parts = [spans_of_part(wanted, offsets, part, n_parts) for part in range(n_parts)]
    together = [i for part in parts for span in part for i in span]
    assert together == [i for span in wanted for i in span]
    weights = [sum(n_atoms[i] for span in part for i in span) for part in parts]
    fair = sum(weights) / n_parts
    assert all(abs(weight - fair) <= max(n_atoms) for weight in weights)
