"""The cost model: what it counts, that its fit finds constants, and what it predicts from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cost_fit import CostModel, check_rows, fit
from cost_model import amounts, held_bytes, memory_bytes, messages, read_bytes
from forecast import Cluster, forecast
from growth import FACTORS, VARIABLES, Run, corners
from looks import Looks, counted_looks
from workloads import OBJECTIVES, Size

from prcli.numerics.lazy_screen import FIRST_LOOK

BASE = Size(1000, 40, 60, 12)


def sizes():
    found = [BASE]
    for variable, factors in FACTORS.items():
        at = getattr(BASE, variable)
        found += [replace(BASE, **{variable: int(at * factor)}) for factor in factors]
    return found + corners(BASE)


def synthetic(seconds):
    """Runs that take exactly what the model says."""
    model = CostModel(seconds)
    return [
        Run(command, size, 1, np.full(3, model.predict(command, size)))
        for command in VARIABLES
        for size in sizes()
    ]


def constants():
    """Seconds of a unit of every cost, so that at the base size all matter alike."""
    counted = [amounts(command, BASE) for command in VARIABLES]
    names = sorted({name for each in counted for name in each})
    shares = np.random.default_rng(0).uniform(0.5, 2.0, size=len(names))
    largest = [max(each.get(name, 0.0) for each in counted) for name in names]
    return dict(zip(names, shares / largest, strict=True))


def test_fit_predicts_runs_it_has_not_seen():
    true = CostModel(constants())
    model = fit(synthetic(true.seconds))
    unseen = Size(5000, 123, 150, 30)
    for command in VARIABLES:
        expected = true.predict(command, unseen)
        assert model.predict(command, unseen) == pytest.approx(expected, rel=1e-6)


def test_fit_has_no_negative_cost():
    rng = np.random.default_rng(1)
    runs = [
        replace(run, seconds=run.seconds * rng.uniform(0.5, 2.0)) for run in synthetic(constants())
    ]
    assert min(fit(runs).seconds.values()) >= 0.0


def test_fit_leaves_out_runs_of_several_threads():
    runs = synthetic(constants())
    others = [replace(run, threads=2, seconds=run.seconds / 2.0) for run in runs]
    assert fit(runs + others).seconds == fit(runs).seconds


def test_check_compares_prediction_and_measurement():
    model = CostModel(constants())
    predicted = model.predict("score", BASE)
    (row,) = check_rows(model, [Run("score", BASE, 1, predicted * np.array([1.0, 2.0, 4.0]))])
    assert row.value == pytest.approx(0.5)
    assert (row.low, row.high) == pytest.approx((0.25, 1.0))


@pytest.mark.parametrize("command", VARIABLES)
def test_work_on_rows_divides_by_the_ranks(command):
    half = amounts(command, replace(BASE, C=BASE.C // 2))
    shared = ("factorize", "solve", "product", "row", "pick v", "pick cov", "pick rows", "look")
    for name, amount in amounts(command, BASE).items():
        factor = 0.5 if name.startswith(shared) else 1.0
        assert half[name] == pytest.approx(factor * amount), name


def test_looks_are_counted_as_they_happen():
    from workloads import Features

    features = Features(Size(500, 3, 12, 9))
    with counted_looks() as looks:
        features.select("log-det")
    # Everybody is up to date at first, and the best few are looked at from then on.
    assert FIRST_LOOK * 8 <= looks.candidates < 500 * 8
    assert looks.products >= looks.candidates
    with counted_looks() as others:
        features.select("mean-variance")
    assert others == Looks()


def test_uncounted_looks_cost_most():
    full = amounts("select log-det", BASE)
    few = amounts("select log-det", BASE, Looks(300, 900))
    for name in ("pick values: select log-det", "look products: select log-det"):
        assert few[name] < full[name] == BASE.picks * BASE.C * BASE.D
    assert few["look products: select log-det"] == 900 * BASE.D


def test_only_objectives_with_covariances_pay_for_them():
    held = {o: held_bytes(f"select {o}", BASE) for o in OBJECTIVES}
    assert held["mean-pr"] - held["log-det"] == 8 * BASE.C * BASE.T
    assert held["mean-variance"] == held["log-det"]
    moved = {o: memory_bytes(f"select {o}", BASE) for o in OBJECTIVES}
    assert moved["log-det"] == 8 * BASE.picks * BASE.C * BASE.D
    assert moved["min-pr"] == 8 * BASE.picks * BASE.C * (BASE.D + 2 * BASE.T)


def test_one_rank_sends_nothing_and_a_tree_grows_by_a_level_with_each_doubling():
    for command in VARIABLES:
        assert messages(command, BASE, 1).number == 0.0
    assert messages("hessian", BASE, 2).n_bytes == 8 * 60 * 61 / 2
    assert messages("hessian", BASE, 64).number == 6
    assert messages("hessian", BASE, 65).number == 7
    # Up, down, and the broadcast of the row, for each pick.
    assert messages("select mean-pr", BASE, 64).number == 3 * 6 * BASE.picks


def test_more_ranks_take_less_time_and_memory_but_more_messages():
    model = CostModel(constants())
    large = replace(BASE, C=10**6)
    found = [
        forecast(model, "select mean-pr", large, ranks, Cluster(), 4e9) for ranks in (1, 8, 64)
    ]
    assert found[0].work > found[1].work > found[2].work
    assert found[0].held > found[1].held > found[2].held
    assert found[0].communication == 0.0 < found[1].communication < found[2].communication
    assert found[0].reading == found[2].reading == read_bytes(large) / Cluster().files


def test_slower_memory_slows_what_moves_through_it_and_is_a_floor():
    model = CostModel(constants())
    fast, slow = (
        forecast(model, "select log-det", BASE, 1, Cluster(memory=memory), 4e9).work
        for memory in (4e9, 2e9)
    )
    own = amounts("select log-det", BASE)
    moved = own["pick values: select log-det"] * model.seconds["pick values: select log-det"]
    assert slow - fast == pytest.approx(moved)
    crawling = Cluster(memory=1.0)
    nothing = CostModel(dict.fromkeys(model.seconds, 0.0))
    floor = forecast(nothing, "select log-det", BASE, 1, crawling, 4e9).work
    assert floor == memory_bytes("select log-det", BASE)
