from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import decaying

from prcli.errors import FeatureError
from prcli.numerics import farthest, passes
from prcli.numerics.farthest import FarthestOrder, farthest_point_order
from prcli.numerics.row_source import ArrayRows

PRECISIONS = ("float64", "float32", "none")


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(40, 5))


@pytest.fixture
def allowed():
    return np.random.default_rng(1).random(40) < 0.6


def source(rows):
    return ArrayRows(rows, block_rows=7)


def brute_farthest(rows, allowed, n_to_select):
    """Farthest points by differences of rows, all of them at every pick."""
    candidates = np.flatnonzero(allowed)
    mean = rows[candidates].mean(axis=0)
    order = [max(candidates, key=lambda c: (np.sum((rows[c] - mean) ** 2), -c))]
    while len(order) < n_to_select:
        rest = [c for c in candidates if c not in order]
        nearest = {c: min(np.sum((rows[c] - rows[o]) ** 2) for o in order) for c in rest}
        order.append(max(rest, key=lambda c: (nearest[c], -c)))
    return order


@pytest.mark.parametrize("precision", PRECISIONS)
def test_farthest_points_equal_brute_force(rows, allowed, precision):
    n = int(allowed.sum())
    found = farthest_point_order(source(rows), allowed, n, precision)
    assert found.tolist() == brute_farthest(rows, allowed, n)


@pytest.mark.parametrize("precision", PRECISIONS)
@given(data=st.data())
def test_farthest_points_of_a_grid_equal_brute_force(precision, data):
    # Distances in a grid are the same number for many pairs: ties, and duplicates, throughout. The
    # offset and the steps are exact in binary, and rounding comes from the products alone.
    seed = data.draw(st.integers(0, 2**32 - 1))
    n_rows, n_columns = data.draw(st.integers(2, 24)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(seed)
    steps = rng.integers(-2, 3, size=(n_rows, n_columns))
    offset = data.draw(st.sampled_from([0.0, 3.0, 2.0**20]))
    rows = steps * data.draw(st.sampled_from([1.0, 2.0**-10])) + offset
    points = FarthestOrder(source(rows), np.ones(n_rows, dtype=bool), [0], precision)
    expected = [0]
    closed = np.arange(n_rows) == 0
    while len(expected) < n_rows:
        nearest = ((steps[:, np.newaxis] - steps[expected]) ** 2).sum(axis=2).min(axis=1)
        expected.append(int(np.argmax(np.where(closed, -1, nearest))))
        assert points.first(closed) == expected[-1]
        closed[expected[-1]] = True
        points.accept(expected[-1])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nearly_equal_distances_are_told_apart(precision):
    # Far from each other by almost the same: what is left of the difference is in the last digits.
    rng = np.random.default_rng(3)
    directions = rng.normal(size=(30, 8))
    directions /= np.linalg.norm(directions, axis=1)[:, np.newaxis]
    order = rng.permutation(30)
    rows = np.concatenate([np.zeros((1, 8)), directions * (1.0 - 1e-13 * order)[:, np.newaxis]])
    points = FarthestOrder(source(rows), np.ones(31, dtype=bool), [0], precision)
    first = points.first(np.arange(31) == 0)
    assert first == 1 + int(np.argmin(order))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_far_point_does_not_blur_the_others(precision):
    # Its products with the others are large, and what matters of them is in the last digits.
    rows = np.random.default_rng(5).integers(0, 4, size=(40, 3)).astype(float) / 3.0
    rows[39] = [2.0**24, 0.0, 0.0]
    points = FarthestOrder(source(rows), np.ones(40, dtype=bool), [39], precision)
    distances = ((rows - rows[39]) ** 2).sum(axis=1)
    assert points.first(np.arange(40) == 39) == int(np.argmax(distances))


def test_farthest_points_equal_those_of_scikit_matter():
    selection = pytest.importorskip("skmatter.sample_selection")
    rows = decaying(np.random.default_rng(4), 400, 24, decades=4) + 0.5
    order = farthest_point_order(source(rows), np.ones(400, dtype=bool), 60)
    theirs = selection.FPS(n_to_select=60, initialize=int(order[0])).fit(rows)
    assert order.tolist() == theirs.selected_idx_.tolist()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_points_chosen_before_are_kept_away_from(rows, precision):
    order = farthest_point_order(source(rows), np.ones(40, dtype=bool), 40)
    for n_chosen in (1, 5, 39):
        points = FarthestOrder(source(rows), np.ones(40, dtype=bool), order[:n_chosen], precision)
        closed = np.isin(np.arange(40), order[:n_chosen])
        assert points.first(closed) == order[n_chosen]


def test_many_points_chosen_before_are_seen_in_parts(rows, monkeypatch):
    order = farthest_point_order(source(rows), np.ones(40, dtype=bool), 40)
    monkeypatch.setattr(farthest, "_TOGETHER", 3)
    points = FarthestOrder(source(rows), np.ones(40, dtype=bool), order[:20])
    assert points.first(np.isin(np.arange(40), order[:20])) == order[20]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_candidates_compared_with_care_come_from_everywhere(rows, share, monkeypatch):
    # All of the pool, or a batch of two rows at a time.
    monkeypatch.setattr(farthest, "_LARGE_SHARE", share)
    monkeypatch.setattr(farthest, "_BATCH_ELEMENTS", 10)
    rows[20:] = rows[:20]
    order = farthest_point_order(source(rows), np.ones(40, dtype=bool), 40)
    assert order[:20].tolist() == brute_farthest(rows, np.ones(40, dtype=bool), 20)
    assert order[20:].tolist() == list(range(20, 40))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_compiled_loops_choose_the_same(rows, precision, monkeypatch):
    expected = farthest_point_order(source(rows), np.ones(40, dtype=bool), 40)
    monkeypatch.setattr(passes, "COMPILE_FROM", 0.0)
    found = farthest_point_order(source(rows), np.ones(40, dtype=bool), 40, precision)
    assert found.tolist() == expected.tolist()


def test_farthest_points_of_duplicates_are_all_different(rows):
    rows[20:] = rows[:20]
    order = farthest_point_order(source(rows), np.ones(40, dtype=bool), 40)
    assert sorted(order.tolist()) == list(range(40))
    assert set((order[:20] % 20).tolist()) == set(range(20))


def test_farthest_points_of_equal_rows_go_by_position():
    order = farthest_point_order(source(np.ones((6, 3))), np.arange(6) != 2, 5)
    assert order.tolist() == [0, 1, 3, 4, 5]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_farthest_points_do_not_see_a_common_shift(rows, precision):
    allowed = np.ones(40, dtype=bool)
    near = np.round(rows * 1e4) / 2**20
    order = farthest_point_order(source(near), allowed, 40)
    far = source(near + 2.0**20)
    assert np.array_equal(farthest_point_order(far, allowed, 40, precision), order)


@pytest.mark.parametrize("position", [4, 11])
def test_rows_whose_squares_overflow_are_refused(rows, position):
    rows[position] = 1e200
    with pytest.raises(FeatureError, match=f"candidate {position} of the pool"):
        farthest_point_order(source(rows), np.ones(40, dtype=bool), 2)


def test_nothing_open_is_refused(rows):
    points = FarthestOrder(source(rows), np.ones(40, dtype=bool))
    with pytest.raises(ValueError, match="no candidate is open"):
        points.first(np.ones(40, dtype=bool))


def test_farthest_points_leave_the_rows_alone(rows, allowed):
    kept = rows.copy()
    farthest_point_order(source(rows), allowed, 3)
    assert np.array_equal(rows, kept)
