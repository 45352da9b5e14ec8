"""Which candidates are open, against all completions of small selections one by one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from prcli.errors import RequestError
from prcli.numerics.gate import Gate
from prcli.numerics.limits import Group, Limits
from prcli.numerics.neighbours import Neighbours
from prcli.numerics.row_source import ArrayRows

N = 7


def limits_of(n_to_select, groups=(), barred=None, **options):
    barred = np.zeros(N, dtype=bool) if barred is None else barred
    return Limits(barred, n_to_select, groups=groups, **options)


def meets(limits, members):
    """Whether a whole selection keeps every limit."""
    chosen = {*members, *limits.chosen.tolist()}
    for group in limits.groups:
        count = sum(bool(group.members[i]) for i in chosen)
        if count < group.least or (group.most is not None and count > group.most):
            return False
    if limits.budget is not None:
        return math.fsum(limits.costs[list(members)]) <= limits.budget
    return len(members) == limits.n_to_select


def openings(limits, picks):
    """Candidates with which some selection, and the cheapest ones, keep the limits."""
    closed = limits.barred.copy()
    closed[limits.chosen] = True
    left = [i for i in range(N) if not closed[i] and i not in picks]
    is_open = np.zeros(N, dtype=bool)
    for n in range(1, limits.n_to_select - len(picks) + 1):
        for more in itertools.combinations(left, n):
            if meets(limits, (*picks, *more)):
                is_open[list(more)] = True
    return is_open


@st.composite
def groups(draw, overlapping=True, n_groups=3, highest_floor=2):
    found = []
    labels = draw(st.lists(st.integers(0, n_groups), min_size=N, max_size=N))
    for number in range(draw(st.integers(1, n_groups))):
        if overlapping:
            members = np.array(draw(st.lists(st.booleans(), min_size=N, max_size=N)))
        else:
            members = np.array(labels) == number
        least = draw(st.integers(0, highest_floor))
        most = draw(st.none() | st.integers(least, 3))
        found.append(Group(str(number), members, least, most))
    return tuple(found)


@st.composite
def counted(draw, overlapping=True):
    barred = np.array(draw(st.lists(st.integers(0, 5), min_size=N, max_size=N))) == 0
    chosen = draw(st.lists(st.integers(0, N - 1), max_size=2, unique=True))
    limits = limits_of(
        draw(st.integers(1, 4)),
        draw(groups(overlapping)),
        barred,
        chosen=np.array(chosen, dtype=np.int64),
    )
    assume(np.count_nonzero(~barred) >= limits.n_to_select + len(chosen))
    return limits


def follow(limits, choose):
    """Pick open candidates to the end, each time checking which are open."""
    picks: list[int] = []
    try:
        gate = Gate(limits)
    except RequestError:
        assert not openings(limits, picks).any()
        return
    while not gate.is_shut:
        np.testing.assert_array_equal(~gate.closed, openings(limits, picks))
        picks.append(choose(np.flatnonzero(~gate.closed)))
        gate.accept(picks[-1])
    assert meets(limits, picks)
    assert gate.reason == "n_to_select"


@settings(deadline=None, max_examples=70)
@given(limits=counted(), seed=st.integers(0, 1000))
def test_open_is_what_leads_to_a_selection_that_keeps_all_limits(limits, seed):
    follow(limits, np.random.default_rng(seed).choice)


@settings(deadline=None, max_examples=50)
@given(limits=counted(overlapping=False), seed=st.integers(0, 1000))
def test_the_same_for_groups_that_do_not_overlap(limits, seed):
    follow(limits, np.random.default_rng(seed).choice)


@st.composite
def priced(draw, highest_floor=2):
    costs = np.array(draw(st.lists(st.integers(1, 6), min_size=N, max_size=N)), dtype=float)
    return limits_of(
        draw(st.integers(1, 4)),
        draw(groups(highest_floor=highest_floor)),
        costs=costs,
        budget=float(draw(st.integers(1, 14))),
    )


@settings(deadline=None, max_examples=70)
@given(limits=priced(), seed=st.integers(0, 1000))
def test_a_budget_never_spoils_a_floor(limits, seed):
    generator = np.random.default_rng(seed)
    picks: list[int] = []
    possible = openings(limits, picks)
    try:
        gate = Gate(limits)
    except RequestError:
        assert not possible.any()
        return
    while not gate.is_shut:
        # Everything that is open leads to an end; where floors go with prices, more might.
        assert not (~gate.closed & ~openings(limits, picks)).any()
        picks.append(int(generator.choice(np.flatnonzero(~gate.closed))))
        gate.accept(picks[-1])
    # Without floors there is always the end at once.
    assert meets(limits, picks) or not possible.any()
    assert gate.spent == math.fsum(limits.costs[picks])


@settings(deadline=None, max_examples=50)
@given(limits=priced(highest_floor=0), seed=st.integers(0, 1000))
def test_without_floors_a_budget_closes_only_what_is_too_dear(limits, seed):
    generator = np.random.default_rng(seed)
    gate = Gate(limits)
    picks: list[int] = []
    while not gate.is_shut:
        left = limits.budget - sum(limits.costs[picks])
        for i in range(N):
            full = any(
                group.most is not None
                and group.members[i]
                and group.members[picks].sum() >= group.most
                for group in limits.groups
            )
            assert gate.closed[i] == (i in picks or full or limits.costs[i] > left)
        picks.append(int(generator.choice(np.flatnonzero(~gate.closed))))
        gate.accept(picks[-1])


def test_costs_that_add_up_to_the_budget_fit_into_it():
    gate = Gate(limits_of(7, costs=np.full(N, 0.1), budget=0.3))
    for index in range(3):
        assert not gate.is_shut
        gate.accept(index)
    assert gate.is_shut
    assert gate.reason == "budget"


def members(*indices):
    mask = np.zeros(N, dtype=bool)
    mask[list(indices)] = True
    return mask


def test_a_floor_that_the_pool_cannot_fill_is_named_with_what_can():
    with pytest.raises(RequestError, match="floors cannot be met") as caught:
        Gate(limits_of(5, (Group("kind=a", members(0, 1), 3), Group("kind=b", members(2), 1))))
    assert "at least 3 of kind=a" in str(caught.value)
    assert "at most 2 of kind=a" in str(caught.value)
    assert "kind=b" not in str(caught.value)


def test_floors_that_need_more_picks_say_how_many():
    two = (Group("a", members(0, 1), 2), Group("b", members(2, 3), 2))
    with pytest.raises(RequestError, match="or pick 4 structures"):
        Gate(limits_of(3, two))


def test_ceilings_that_leave_too_few_say_how_many_they_leave():
    with pytest.raises(RequestError, match="do not leave enough") as caught:
        Gate(limits_of(5, (Group("a", members(0, 1, 2, 3), 0, 1),)))
    assert "4 at most" in str(caught.value)


def test_what_was_chosen_before_may_exceed_a_ceiling():
    limits = limits_of(1, (Group("a", members(0, 1), 0, 1),), chosen=np.array([0, 1]))
    with pytest.raises(RequestError, match="chosen before exceeds") as caught:
        Gate(limits)
    assert "got:      2" in str(caught.value)


def test_a_budget_below_the_floors_is_told_what_is_enough():
    costs = np.arange(1.0, N + 1)
    limits = limits_of(7, (Group("a", members(3, 4, 5), 2),), costs=costs, budget=8.0)
    with pytest.raises(RequestError, match="budget of at least 9"):
        Gate(limits)


def line(*places):
    """Candidates on a line, in the second of two columns; the first stands for an intercept."""
    return Neighbours(ArrayRows(np.array([[7.0 * x, x, 0.0] for x in places])[:, 1:]), 1)


def test_min_distance_closes_what_is_near():
    near = line(0.0, 1.0, 2.0, 3.0, 10.0, 1.5, 20.0)
    gate = Gate(limits_of(7, neighbours=near, min_distance=1.0))
    gate.accept(1)
    np.testing.assert_array_equal(np.flatnonzero(gate.closed), [0, 1, 2, 5])
    assert not gate.is_shut


def test_near_duplicates_are_closed_over_any_number_of_steps():
    near = line(0.0, 0.9, 1.8, 2.7, 10.0, 3.8, 20.0)
    gate = Gate(limits_of(7, neighbours=near, duplicates_within=1.0))
    gate.accept(0)
    np.testing.assert_array_equal(np.flatnonzero(gate.closed), [0, 1, 2, 3])
    for index in (5, 4, 6):
        gate.accept(index)
    assert gate.is_shut
    assert gate.reason == "constraints"


def test_what_was_chosen_before_keeps_others_away():
    near = line(0.0, 0.5, 5.0, 6.0, 7.0, 8.0, 9.0)
    gate = Gate(limits_of(2, neighbours=near, min_distance=1.0, chosen=np.array([0])))
    np.testing.assert_array_equal(np.flatnonzero(gate.closed), [0, 1])
    assert gate.barred[0]


def test_a_floor_that_distances_spoil_is_refused_when_it_happens():
    near = line(0.0, 0.5, 1.0, 5.0, 6.0, 7.0, 8.0)
    limits = limits_of(4, (Group("a", members(0, 1, 2), 2),), neighbours=near, min_distance=0.6)
    gate = Gate(limits)
    with pytest.raises(RequestError, match="cannot be met any more") as caught:
        gate.accept(1)
    assert "at most 0 of a" in str(caught.value)
    gate = Gate(limits)
    gate.accept(0)
    gate.accept(2)
    assert not gate.closed[3]


def test_a_candidate_that_would_close_the_last_ones_of_a_floor_waits():
    near = line(0.0, 0.5, 1.0, 5.0, 6.0, 7.0, 8.0)
    limits = limits_of(4, (Group("a", members(0), 1),), neighbours=near, min_distance=0.6)
    gate = Gate(limits)
    assert gate.admits(3)
    assert not gate.admits(1)
    assert np.flatnonzero(gate.closed).tolist() == [1]
    gate.accept(3)
    assert np.flatnonzero(gate.closed).tolist() == [1, 3]
    gate.accept(0)
    # Now nothing is asked for any more, and it is the distance that keeps it away.
    assert np.flatnonzero(gate.closed).tolist() == [0, 1, 3]
    assert gate.admits(2)


def test_floors_of_structures_that_exclude_each_other_are_refused():
    near = line(0.0, 0.5, 1.0, 5.0, 6.0, 7.0, 8.0)
    limits = limits_of(2, (Group("a", members(0, 1), 2),), neighbours=near, min_distance=0.6)
    gate = Gate(limits)
    assert not gate.admits(0)
    assert not gate.admits(1)
    with pytest.raises(RequestError, match="floors cannot be met"):
        assert gate.is_shut


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 1000),
    n_candidates=st.integers(1, 200),
    radius=st.floats(0.0, 3.0),
    n_columns=st.integers(1, 3),
)
def test_neighbours_equal_those_of_all_distances(seed, n_candidates, radius, n_columns):
    generator = np.random.default_rng(seed)
    rows = np.round(generator.normal(size=(n_candidates, 3)), 2)
    found = Neighbours(ArrayRows(rows, block_rows=7), n_columns)
    indices = generator.integers(0, n_candidates, 2)
    points = rows[:, :n_columns]
    distances = np.linalg.norm(points[:, None] - points[None, :], axis=2)
    np.testing.assert_array_equal(
        found.within(indices, radius), np.flatnonzero((distances[indices] <= radius).any(axis=0))
    )
    members = {int(indices[0])}
    while True:
        more = set(np.flatnonzero((distances[list(members)] <= radius).any(axis=0)).tolist())
        if more <= members:
            break
        members |= more
    assert found.group(int(indices[0]), radius).tolist() == sorted(members)
