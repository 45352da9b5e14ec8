"""Plans for floors and ceilings, against all plans of small problems one by one."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.numerics.pick_plans import (
    Demands,
    additions,
    cheapest_plan,
    find_plan,
    shortage,
    substitutes,
)
from prcli.numerics.reachable_kinds import ReachableKinds


@st.composite
def demands(draw, exact=(True, False)):
    n_groups, n_kinds = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    bits = draw(st.lists(st.booleans(), min_size=n_groups * n_kinds, max_size=n_groups * n_kinds))
    least = [draw(st.integers(-1, 2)) for _ in range(n_groups)]
    return Demands(
        np.array(bits).reshape(n_groups, n_kinds),
        np.array([draw(st.integers(0, 2)) for _ in range(n_kinds)]),
        np.array(least),
        np.array([max(floor, 0) + draw(st.integers(0, 2)) for floor in least]),
        draw(st.integers(1, 5)),
        draw(st.sampled_from(exact)),
    )


def plans_of(given_demands):
    """Every plan that meets some demands."""
    ranges = [range(n + 1) for n in given_demands.available]
    everything = (np.array(plan) for plan in itertools.product(*ranges))
    found = []
    for plan in everything:
        counts = given_demands.belongs @ plan
        total = plan.sum()
        fits = total == given_demands.n_left if given_demands.is_exact else True
        if (
            (counts >= given_demands.least).all()
            and (counts <= given_demands.most).all()
            and total <= given_demands.n_left
            and fits
        ):
            found.append(plan)
    return found


@settings(deadline=None, max_examples=200)
@given(given_demands=demands())
def test_kinds_that_some_plan_holds_are_found(given_demands):
    plans = plans_of(given_demands)
    reachable = ReachableKinds(given_demands.n_kinds).find(given_demands)
    if not plans:
        assert reachable is None
        return
    expected = np.zeros(given_demands.n_kinds, dtype=bool)
    # What is not exact can hold one more wherever a plan does.
    for plan in plans:
        expected |= plan > 0
    assert reachable.tolist() == expected.tolist()


@settings(deadline=None, max_examples=100)
@given(given_demands=demands(), seed=st.integers(0, 100))
def test_the_same_pick_by_pick(given_demands, seed):
    generator = np.random.default_rng(seed)
    kinds = ReachableKinds(given_demands.n_kinds)
    reachable = kinds.find(given_demands)
    while reachable is not None and reachable.any():
        kind = int(generator.choice(np.flatnonzero(reachable)))
        mine = given_demands.belongs[:, kind].astype(int)
        available = given_demands.available.copy()
        available[kind] -= 1
        given_demands = Demands(
            given_demands.belongs,
            available,
            given_demands.least - mine,
            given_demands.most - mine,
            given_demands.n_left - 1,
            given_demands.is_exact,
        )
        kinds.accept(kind)
        reachable = kinds.find(given_demands)
        plans = plans_of(given_demands)
        assert (reachable is None) == (not plans)
        expected = np.any([plan > 0 for plan in plans], axis=0)
        assert reachable.tolist() == expected.tolist()
    if reachable is not None and given_demands.is_exact:
        assert given_demands.n_left == 0 or not given_demands.available.any()


@settings(deadline=None, max_examples=100)
@given(given_demands=demands())
def test_changes_of_a_plan_are_plans(given_demands):
    plan = find_plan(given_demands)
    if plan is None:
        return
    assert given_demands.are_met_by(plan)
    for kind in np.flatnonzero(additions(given_demands, plan)):
        more = plan.copy()
        more[kind] += 1
        assert given_demands.are_met_by(more)
    for old in np.flatnonzero(plan):
        for new in np.flatnonzero(substitutes(given_demands, plan, old)):
            changed = plan.copy()
            changed[old] -= 1
            changed[new] += 1
            assert given_demands.are_met_by(changed)


@settings(deadline=None, max_examples=100)
@given(given_demands=demands((False,)), seed=st.integers(0, 100))
def test_the_cheapest_plan_is_the_cheapest(given_demands, seed):
    generator = np.random.default_rng(seed)
    prices = [np.sort(generator.integers(1, 9, n).astype(float)) for n in given_demands.available]
    found = cheapest_plan(given_demands, prices)
    costs = [
        sum(each[:n].sum() for each, n in zip(prices, plan, strict=True))
        for plan in plans_of(given_demands)
    ]
    assert (found is None) == (not costs)
    if found is not None:
        assert found[1] == min(costs)
        assert given_demands.are_met_by(found[0])


@settings(deadline=None, max_examples=100)
@given(given_demands=demands())
def test_what_is_missing_is_as_little_as_possible(given_demands):
    found = shortage(given_demands)
    if plans_of(given_demands):
        assert found is None
        return
    lowered = Demands(
        given_demands.belongs,
        given_demands.available,
        given_demands.least - found.missing,
        given_demands.most,
        given_demands.n_left,
        is_exact=False,
    )
    plans = plans_of(lowered)
    assert max(plan.sum() for plan in plans) == found.n_possible
    floors = np.maximum(given_demands.least, 0)
    short = [
        np.maximum(floors - given_demands.belongs @ np.array(plan), 0).sum()
        for plan in itertools.product(*(range(n + 1) for n in given_demands.available))
        if sum(plan) <= given_demands.n_left
        and (given_demands.belongs @ np.array(plan) <= given_demands.most).all()
    ]
    assert found.missing.sum() == min(short)


def test_kinds_are_found_that_only_a_plan_of_another_make_holds():
    """Of four groups, each kind fills two: either pair of opposite kinds does, no mixed one."""
    belongs = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]], dtype=bool)
    ones = np.ones(4, dtype=np.int64)
    pairs = Demands(belongs, ones, ones, 2 * ones, 2, is_exact=True)
    assert ReachableKinds(4).find(pairs).all()
