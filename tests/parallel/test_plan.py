from __future__ import annotations

import pytest

from prcli.errors import RequestError
from prcli.parallel.plan import SelectionPlan


def test_plan_counts_what_is_large():
    plan = SelectionPlan(1_000_000, 50, 128, whitens_pool=True, needs_cross=True)
    assert plan.whitened_pool == 8 * 1_000_000 * 128
    assert plan.covariances == 8 * 1_000_000 * 50
    assert plan.total > plan.whitened_pool + plan.covariances


def test_no_covariances_for_objectives_without_them():
    assert SelectionPlan(1000, 50, 8, whitens_pool=True, needs_cross=False).covariances == 0


def test_baselines_hold_no_pool():
    plan = SelectionPlan(10**9, 50, 128, whitens_pool=False, needs_cross=True)
    assert plan.whitened_pool == plan.covariances == 0


def test_what_does_not_fit_is_refused():
    plan = SelectionPlan(1_000_000, 50, 128, whitens_pool=True, needs_cross=True)
    plan.require(plan.total)
    with pytest.raises(RequestError, match="does not fit into memory") as caught:
        plan.require(plan.total - 1)
    assert "--objective mean-variance" in str(caught.value)


def test_blocks_hold_their_rows_and_products():
    plan = SelectionPlan(
        1000, 50, 128, whitens_pool=True, needs_cross=True, n_rows=20_000, n_products=400_000
    )
    assert plan.whitened_pool == 8 * 20_000 * 128
    assert plan.covariances == 8 * 20_000 * 50
    assert plan.products == 8 * 400_000
    assert "products within candidates 3.1 MiB" in str(plan)
    with pytest.raises(RequestError, match="does not fit into memory") as caught:
        plan.require(1)
    assert "--force-weight 0" in str(caught.value)
