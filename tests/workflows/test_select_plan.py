"""What options of a selection ask for is in its plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import write_store

from prcli.data.dataset import Dataset, Part
from prcli.data.store import FeatureStore
from prcli.numerics.passes import COMPILE_FROM
from prcli.workflows.constraint_options import ConstraintOptions
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.select_plan import Extent, plan_selection

C, D = 40, 3


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.h5"
    write_store(path, C, D, seed=1, xyz=Path(tmp_path / "pool.xyz"))
    with FeatureStore(path) as store:
        yield Dataset([Part(store, range(C))], "pool")


def plan_of(pool, n_columns=D, extent=None, target=None, **options):
    chosen = {"n_to_select": 5, "objective": "log-det"} | options
    return plan_selection(pool, target, SelectOptions(**chosen), (), n_columns, extent)


def test_intercepts_widen_rows(pool):
    plan, wide = plan_of(pool), plan_of(pool, D + 2)
    assert wide.held_pool - plan.held_pool == 8 * 2 * C


@pytest.mark.parametrize(
    "extent",
    [
        Extent(has_weights=True),
        Extent(copies_frames=True),
        Extent(n_names=1),
        Extent(n_all=10 * C),
        Extent(ConstraintOptions(budget=2.0, cost="n_atoms")),
        Extent(ConstraintOptions(min_distance=0.1)),
        Extent(ConstraintOptions(at_most=("n_atoms=2:3",))),
    ],
)
def test_options_take_memory(pool, extent):
    assert plan_of(pool, extent=extent).total >= plan_of(pool).total + 8 * C


def test_bounds_take_copies_of_the_targets(pool):
    plain = plan_of(pool, target=pool, objective="mean-variance")
    bound = plan_of(pool, target=pool, objective="mean-variance", extent=Extent(bound=True))
    assert bound.total - plain.total == 3 * 8 * C * D


def test_a_compiler_is_counted_where_it_pays(pool):
    n_to_select = int(COMPILE_FROM) // (C * C) + 1
    few = plan_of(pool, target=pool, objective="mean-pr", n_to_select=n_to_select - 2)
    many = plan_of(pool, target=pool, objective="mean-pr", n_to_select=n_to_select)
    assert many.total > few.total + (32 << 20)
    assert plan_of(pool, strategy="random", n_to_select=n_to_select).besides == 0


def test_what_options_read_is_told(pool):
    def said(**options):
        return str(plan_of(pool, **options)).rpartition("pool ")[2]

    assert said().startswith("read once")
    assert said(strategy="random") == "not read but for the picks"
    assert said(strategy="leverage").startswith("read 2 times")
    assert said(extent=Extent(refine=2)).startswith("read at most 11 times")
    assert said(extent=Extent(bound=True)).startswith("read at most 51 times")
    near = Extent(ConstraintOptions(min_distance=0.1))
    assert said(extent=near).startswith("read at least 3 times")
    budget = Extent(ConstraintOptions(budget=2.0, cost="n_atoms"))
    assert said(extent=budget).startswith("read at most 2 times")
