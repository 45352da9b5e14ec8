from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.errors import RequestError
from prcli.parallel.memory import parse_size
from prcli.parallel.plan import SelectionPlan
from prcli.records import Holding


def plan_of(n_candidates=1_000_000, n_targets=50, n_columns=128, **options):
    defaults = {"whitens_pool": True, "needs_cross": True}
    return SelectionPlan(n_candidates, n_targets, n_columns, **(defaults | options))


def test_plan_counts_what_is_large():
    plan = plan_of()
    assert plan.held_pool == 8 * 1_000_000 * 128
    assert plan.covariances == 8 * 1_000_000 * 50
    assert plan.total > plan.held_pool + plan.covariances


def test_float32_halves_what_is_held():
    plan = plan_of(holding=Holding("float32", "float32"))
    assert plan.held_pool == 4 * 1_000_000 * 128
    assert plan.covariances == 4 * 1_000_000 * 50


def test_no_covariances_for_objectives_without_them():
    assert plan_of(needs_cross=False).covariances == 0


def test_baselines_hold_no_pool():
    plan = plan_of(10**9, whitens_pool=False)
    assert plan.held_pool == plan.covariances == 0
    assert plan.n_passes == 1


def test_all_is_held_in_float64_where_it_fits():
    plan = plan_of()
    assert plan.within(plan.total).holding == Holding("float64", "float64")
    assert plan.within(plan.total - 1).holding != Holding("float64", "float64")


def test_large_covariances_give_way_before_the_pool_is_streamed():
    plan = plan_of(n_targets=1000)
    chosen = plan.within(6 << 30)
    assert chosen.holding == Holding("float64", "float32")
    assert plan.within(3 << 30).holding.pool != "none"


def test_pool_is_streamed_where_nothing_else_fits():
    plan = plan_of(needs_cross=False, n_to_select=10, stored_bytes=1 << 30)
    chosen = plan.within(420 << 20)
    assert chosen.holding.pool == "none"
    assert chosen.n_passes == 10
    assert "pool read again at every pick" in str(chosen)
    assert "pool read 10 times, 10.0 GiB" in str(chosen)


def test_few_candidates_are_no_pass():
    plan = plan_of(needs_cross=False, n_to_select=10, stored_bytes=1 << 30, looks_at_few=True)
    said = str(plan.within(420 << 20))
    assert "pool read again at every pick, few candidates of it" in said
    assert "pool read once in whole, 1.0 GiB" in said
    assert "in whole" not in str(plan)


@given(
    st.integers(1, 10**7),
    st.integers(0, 10**4),
    st.integers(1, 2000),
    st.booleans(),
    st.integers(20, 40),
)
def test_chosen_plan_fits_and_none_that_fits_is_faster(C, T, D, needs_cross, bits):
    plan, limit = plan_of(C, T, D, needs_cross=needs_cross), 1 << bits
    ways = [
        replace(plan, holding=Holding(pool, kept))
        for pool, kept in itertools.product(("float64", "float32", "none"), repeat=2)
        if needs_cross or kept == "float64"
    ]
    try:
        chosen = plan.within(limit)
    except RequestError as refusal:
        assert all(way.total > limit for way in ways)
        # What it asks for would do, and nothing less would.
        size = parse_size(str(refusal).split("--memory ")[1].split()[0])
        assert plan.within(size).total <= size
        with pytest.raises(RequestError):
            plan.within(size - (1 << 20))
        return
    assert chosen.total <= limit
    fitting = [way for way in ways if way.total <= limit]
    assert chosen.seconds_of_a_pick == min(way.seconds_of_a_pick for way in fitting)


def test_what_does_not_fit_is_refused_with_what_would_do():
    with pytest.raises(RequestError, match="does not fit into memory") as caught:
        plan_of().within(100 << 20)
    assert "give --memory" in str(caught.value)


def test_baselines_are_refused_too():
    plan = plan_of(10**9, whitens_pool=False)
    with pytest.raises(RequestError, match="--memory"):
        plan.within(plan.total - 1)


def test_plan_counts_what_options_ask_for():
    plan = plan_of()
    vectors = replace(plan, vectors=250 * 1_000_000)
    assert vectors.total - plan.total == 50 * 1_000_000
    assert replace(plan, besides=64 << 20).total - plan.total == 64 << 20
    assert replace(plan, n_target_copies=9).total - plan.total == 4 * 8 * 50 * 128


def test_picks_take_memory_up_to_the_width_of_a_row():
    few, many = plan_of(n_to_select=10), plan_of(n_to_select=5000)
    assert 8 * 10 * 128 <= few.picks < many.picks
    assert 8 * 512 * 128 <= many.picks == plan_of(n_to_select=10**6).picks
    assert few.total - few.picks == many.total - many.picks
    wide = plan_of(n_columns=2000, n_to_select=5000)
    assert wide.picks >= 8 * 2000 * 2000
    # Picks are applied to candidates that have not been looked at for long.
    lazy = plan_of(needs_cross=False, looks_at_few=True, n_to_select=10**6)
    assert lazy.picks >= 8 * 10**6 * 128
    assert plan_of(whitens_pool=False, n_to_select=5000).picks == 0


def test_passes_of_options_are_told():
    plan = plan_of(n_to_select=10, stored_bytes=1 << 30)
    assert str(plan).endswith("pool read once, 1.0 GiB")
    assert str(replace(plan, n_searches=2)).endswith("pool read 2 times, 2.0 GiB")
    more = replace(plan, n_other_passes=20, count="at most ")
    assert str(more).endswith("pool read at most 21 times, 21.0 GiB")
    assert str(replace(plan, n_other_passes=-1)).endswith("pool not read but for the picks")


def test_covariances_made_anew_from_the_store_need_a_pass_more():
    plan = plan_of(n_to_select=10, holding=Holding("none", "none"))
    assert plan.n_passes == 11
    assert replace(plan, holding=Holding("none", "float32")).n_passes == 10


def test_points_are_held_and_have_no_covariances():
    plan = plan_of(whitens_pool=False, keeps_points=True)
    assert plan.held_pool == 8 * 1_000_000 * 128
    assert plan.covariances == 0
    assert plan.n_passes == 1
    assert plan.within(plan.total).holding.pool == "float64"
    assert plan.within(plan.total - 1).holding.pool == "float32"
    assert str(plan).startswith("pool 976.6 MiB in float64, ")


def test_points_that_no_memory_holds_are_read_at_every_pick():
    plan = plan_of(whitens_pool=False, keeps_points=True, n_to_select=10, stored_bytes=1 << 30)
    chosen = plan.within(420 << 20)
    assert chosen.holding.pool == "none"
    assert chosen.held_pool == 0
    assert chosen.n_passes == 11
    assert "pool read again at every pick" in str(chosen)


def test_other_baselines_do_not_speak_of_a_pool():
    assert str(plan_of(whitens_pool=False)).endswith(" in all")
    assert "pool" not in str(plan_of(whitens_pool=False))


def test_blocks_are_held_in_float64_or_refused():
    plan = plan_of(1000, n_rows=20_000, n_products=400_000)
    assert plan.held_pool == 8 * 20_000 * 128
    assert plan.covariances == 8 * 20_000 * 50
    assert plan.products == 8 * 400_000
    assert "products within candidates 3.1 MiB" in str(plan)
    assert plan.within(plan.total).holding == Holding("float64", "float64")
    with pytest.raises(RequestError, match="does not fit into memory") as caught:
        plan.within(plan.total - 1)
    assert "--force-weight 0" in str(caught.value)
