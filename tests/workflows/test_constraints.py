"""Selections within budgets, quotas and distances, and beside what was chosen before."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import counts_of, gradients_of, split_frames, write_store

import prcli
from prcli.data.tables import read_table
from prcli.errors import ExpressionError, MismatchError, RequestError
from prcli.workflows.candidate_rows import CandidateRows
from prcli.workflows.constraint_options import ConstraintOptions
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import open_input
from prcli.workflows.model import row_form
from prcli.workflows.rows import EnergyRows
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.select_request import SelectRequest
from prcli.workflows.select_run import SelectRun
from prcli.workflows.selection import Selection

N_POOL, D = 14, 3
STRATEGIES = ("pr", "random", "fps", "leverage")
KINDS = np.array(["slab", "bulk", "slab", "gas", "bulk", "bulk", "slab"] * 2)
PRICES = np.array([3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.5, 6.0, 5.5, 3.5, 8.0, 7.0, 2.0, 1.0])
VALUES: dict[str, Callable[[np.ndarray], float]] = {
    "mean-pr": lambda pr: float(pr.mean()),
    "mean-log-pr": lambda pr: float(np.log(pr).mean()),
    "min-pr": lambda pr: float(pr.min()),
    "mean-variance": lambda pr: float(-(1.0 / pr).mean()),
}


#: Candidates that are single rows, and such that are blocks.
both = pytest.mark.parametrize("stores", [False, True], ids=["rows", "blocks"], indirect=True)


@pytest.fixture(autouse=True)
def stores(request, tmp_path, monkeypatch):
    """A training set, targets and a pool with columns, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rows_of.cache_clear()
    columns = {"kind": KINDS, "price": PRICES, "half": np.where(np.arange(N_POOL) < 7, 1.0, 0.5)}
    for name, n, seed in (("train", 8, 1), ("target", 4, 2), ("pool", N_POOL, 3)):
        options: dict[str, Any] = {"columns": columns} if name == "pool" else {}
        if getattr(request, "param", False) and name != "target":
            options["gradients"] = gradients_of(counts_of(n, seed), D, seed)
        write_store(Path(f"{name}.h5"), n, D, seed, xyz=Path(f"{name}.xyz"), **options)


def request_of(n: int | None = 5, **options: Any) -> SelectRequest:
    names = ("objective", "strategy", "seed", "stop_gain", "stop_pr", "exclude_train")
    how = {name: options.pop(name) for name in names if name in options}
    fields = ("refine", "bound", "output", "checkpoint", "where", "train", "pool")
    given = {name: options.pop(name) for name in fields if name in options}
    sets = {"train": ("train.h5",), "target": ("target.h5",), "pool": ("pool.h5",)}
    return SelectRequest(
        SelectOptions(n, **how),
        hessian_options=HessianOptions(regularizer=1e-2),
        constraints=ConstraintOptions(**options),
        **(sets | given),
    )


def run(request: SelectRequest, **options: Any) -> Selection:
    with SelectRun(request, **options) as started:
        selection = started.run()
        if request.output is not None:
            started.write(request.output)
    return selection


def select(n: int | None = 5, **options: Any) -> Selection:
    return run(request_of(n, **options))


@cache
def rows_of(name: str) -> tuple[np.ndarray, ...]:
    """Rows that each structure of a store adds to the Hessian, scaled."""
    record = prcli.hessian("train.h5", regularizer=1e-2)
    with open_input((f"{name}.h5",), name) as data:
        if name == "target":
            return tuple(EnergyRows(data, row_form(record)).read_all() / record.scale)
        rows = CandidateRows(data, record)
        return tuple(rows.take(i) / record.scale for i in range(rows.n_blocks))


def value_of(objective: str, chosen: tuple[int, ...] | list[int]) -> float:
    """Objective with some of the pool in the training set, from scratch."""
    pool = rows_of("pool")
    rows = np.concatenate([*rows_of("train"), *(pool[i] for i in chosen)])
    targets = np.array(rows_of("target"))
    H = rows.T @ rows + 1e-2 * np.eye(rows.shape[1])
    v = np.einsum("ti,it->t", targets, np.linalg.solve(H, targets.T))
    return VALUES[objective](1.0 / v)


def features() -> np.ndarray:
    """Scaled mean features of the pool."""
    scale = prcli.hessian("train.h5", regularizer=1e-2).scale
    with prcli.open_store("pool.h5") as store:
        return np.asarray(store.structures.read(0, N_POOL)) / scale


# --- budgets --------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("objective", ["mean-pr", "mean-variance"])
def test_searches_within_a_budget_are_those_of_brute_force(objective):
    selection = select(None, objective=objective, budget=12.0, cost="price")
    found = {}
    for name, costs in (("gain per cost", PRICES), ("gain", np.ones(N_POOL))):
        chosen: list[int] = []
        while True:
            left = 12.0 - PRICES[chosen].sum()
            before = value_of(objective, chosen)
            merits = {
                i: (value_of(objective, [*chosen, i]) - before) / costs[i]
                for i in range(N_POOL)
                if i not in chosen and PRICES[i] <= left
            }
            if not merits:
                break
            chosen.append(max(merits, key=merits.__getitem__))
        found[name] = chosen
    searches = {each.name: each for each in selection.searches}
    for name, chosen in found.items():
        assert searches[name].n_picks == len(chosen)
        assert searches[name].cost == pytest.approx(PRICES[chosen].sum())
        assert searches[name].objective == pytest.approx(value_of(objective, chosen), rel=1e-9)
    affordable = [i for i in range(N_POOL) if PRICES[i] <= 12.0]
    single = max(value_of(objective, [i]) for i in affordable)
    assert searches["best single"].objective == pytest.approx(single, rel=1e-9)
    lead = searches["gain"].objective - searches["gain per cost"].objective
    kept = "gain" if lead > 1e-9 else "gain per cost"
    assert [each.name for each in selection.searches if each.is_kept] == [kept]
    assert selection.indices.tolist() == found[kept]
    assert selection.stopped == "budget"
    after = prcli.select("pool.h5", 1, train="train.h5", target="target.h5", regularizer=1e-2)
    assert selection.target_pr_before == pytest.approx(after.target_pr_before, rel=1e-9)
    assert VALUES[objective](selection.target_pr_after) == pytest.approx(
        searches[kept].objective, rel=1e-9
    )


@both
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_stays_within_budget_and_number(strategy):
    selection = select(3, strategy=strategy, budget=1000.0, cost="price")
    assert (len(selection.picks), selection.stopped) == (3, "n_to_select")
    selection = select(14, strategy=strategy, budget=11.0, cost="price")
    assert selection.stopped == "budget"
    left = 11.0 - PRICES[selection.indices].sum()
    rest = np.setdiff1d(np.arange(N_POOL), selection.indices)
    assert 0.0 <= left < PRICES[rest].min()
    assert bool(selection.searches) == (strategy == "pr")


def test_a_budget_for_everything_ends_with_the_pool():
    selection = select(None, budget=1e6, cost="n_atoms**3")
    assert (len(selection.picks), selection.stopped) == (N_POOL, "pool")
    np.testing.assert_array_equal(
        selection.costs, counts_of(N_POOL, 3)[selection.indices].astype(float) ** 3
    )


def test_costs_without_a_budget_are_only_told():
    plain, priced = select(4), select(4, cost="price")
    np.testing.assert_array_equal(plain.indices, priced.indices)
    np.testing.assert_array_equal(priced.costs, PRICES[priced.indices])
    np.testing.assert_array_equal(plain.costs, np.ones(4))


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ("price - 1", "not positive and finite"),
        ("1/(n_atoms - n_atoms)", "not positive and finite"),
        ("kind", "a cost must be a number"),
        ("price > 1", "a cost must be a number"),
        ("pricee", "'pricee' is not known"),
    ],
)
def test_costs_that_are_none(cost, message):
    with pytest.raises((RequestError, ExpressionError), match=message):
        select(None, budget=5.0, cost=cost)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 5.0}, "--budget needs costs"),
        ({"budget": -5.0, "cost": "price"}, "positive number"),
        ({"budget": float("nan"), "cost": "price"}, "positive number"),
        ({"budget": 0.5, "cost": "price"}, "does not pay for any candidate"),
        ({"cost": "price"}, "how many structures"),
        ({"min_distance": -1.0}, "--min-distance must be"),
        ({"at_least": ("kind=slab:2",), "budget": 3.0, "cost": "price"}, "at least 3.5"),
    ],
)
def test_requests_that_cannot_be(options, message):
    with pytest.raises(RequestError, match=message):
        select(None, **options)


# --- quotas ---------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_quotas_floors_and_ceilings_hold_for_every_strategy(strategy):
    quotas = {
        "quota": ("kind=gas:2",),
        "at_least": ("kind=bulk:3", "half=0.5:4"),
        "at_most": ("kind=slab:1", "n_atoms=4:1"),
    }
    selection = select(6, strategy=strategy, **quotas)
    chosen = selection.indices
    assert np.count_nonzero(KINDS[chosen] == "gas") == 2
    assert np.count_nonzero(KINDS[chosen] == "bulk") >= 3
    assert np.count_nonzero(KINDS[chosen] == "slab") <= 1
    assert np.count_nonzero(chosen >= 7) >= 4
    assert np.count_nonzero(counts_of(N_POOL, 3)[chosen] == 4) <= 1
    assert len(set(chosen.tolist())) == 6


def test_every_value_has_the_same_ceiling():
    chosen = select(3, at_most=("kind=*:1",)).indices
    assert sorted(KINDS[chosen]) == ["bulk", "gas", "slab"]
    with pytest.raises(RequestError, match="3 at most"):
        select(4, at_most=("kind=*:1",))


def test_elements_are_counted_in_structures():
    with prcli.open_store("pool.h5") as store:
        n_atoms, species = np.array(store.n_atoms), np.array(store.species)
    starts = np.cumsum(n_atoms) - n_atoms
    oxygen = np.logical_or.reduceat(species == 8, starts)
    assert 0 < oxygen.sum() < N_POOL
    chosen = select(4, at_most=("element=O:1",)).indices
    assert oxygen[chosen].sum() <= 1
    chosen = select(3, at_least=("element=O:3",)).indices
    assert oxygen[chosen].all()
    everywhere = select(3, at_least=("element=*:1",)).indices
    for number in np.unique(species):
        assert np.logical_or.reduceat(species == number, starts)[everywhere].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind:5", "cannot be understood"),
        ("kind=slab", "cannot be understood"),
        ("kind=slab:-1", "cannot be understood"),
        ("kind=slab:x", "cannot be understood"),
        ("element=Xx:1", "no such element"),
        ("kind=slap:1", "pool has kind of bulk, gas, slab"),
        ("knid=slab:1", "'knid' is not known"),
        ("kind=slab:9", "at most 6 of kind=slab"),
    ],
)
def test_quotas_that_cannot_be(text, message):
    with pytest.raises((RequestError, ExpressionError), match=message):
        select(9, at_least=(text,))


def test_an_impossible_request_is_refused_before_the_training_set_is_summed(monkeypatch):
    monkeypatch.setattr("prcli.workflows.select_run.sum_hessian", lambda *_: pytest.fail("summed"))
    with pytest.raises(RequestError, match="pick 4 structures"):
        select(3, quota=("kind=gas:2", "kind=slab:2"))


def test_floors_and_an_early_stop_contradict_each_other():
    with pytest.raises(RequestError, match="contradict"):
        select(5, at_least=("kind=gas:1",), stop_gain=0.1)


def test_ceilings_that_nothing_reaches_change_no_pick():
    plain = select(5)
    bounded = select(5, at_most=("kind=*:9",))
    assert [pick.index for pick in plain.picks] == [pick.index for pick in bounded.picks]
    np.testing.assert_allclose(plain.target_pr_after, bounded.target_pr_after, rtol=1e-12)


# --- what was chosen before -----------------------------------------------------------------


def chosen_before(form: str) -> str:
    """Three structures of the pool, in some form of file; returns its name."""
    run(request_of(3, output="first"))
    if form == "result":
        return "first"
    if form == "table":
        return "first/selection.tsv"
    if form == "lines":
        table = read_table("first/selection.tsv")
        lines = zip(table["source"], table["frame"], strict=True)
        Path("lines").write_text("".join(f"{source}\t{frame}\n" for source, frame in lines))
        return "lines"
    if form == "frames":
        return "first/selected.xyz"
    raise ValueError(form)


@both
@pytest.mark.parametrize("form", ["result", "table", "lines", "frames"])
def test_included_structures_count_as_earlier_picks(form):
    whole = select(6)
    selection = select(3, include=(chosen_before(form),))
    assert selection.constraints.included.tolist() == whole.indices[:3].tolist()
    assert selection.indices.tolist() == whole.indices[3:].tolist()
    before = whole.picks[2].objective
    assert selection.objective_before == pytest.approx(before, rel=1e-9)
    np.testing.assert_allclose(selection.target_pr_after, whole.target_pr_after, rtol=1e-9)
    for one, other in zip(selection.picks, whole.picks[3:], strict=True):
        assert one.gain == pytest.approx(other.gain, rel=1e-8)


def test_rows_of_a_store_are_found_by_their_digests():
    whole = select(3)
    write_store(Path("copy.h5"), N_POOL, D, 3)
    named = tuple(f"copy.h5@{i}" for i in whole.indices.tolist())
    assert select(2, include=named).constraints.included.tolist() == whole.indices.tolist()
    chosen = select(11, exclude=("copy.h5@:3",)).indices
    assert sorted(chosen) == list(range(3, N_POOL))


def test_explanations_know_what_was_included():
    whole = run(replace(request_of(5), explain=True))
    rest = run(replace(request_of(2, include=(chosen_before("result"),)), explain=True))
    np.testing.assert_allclose(rest.helped.pr_before, whole.helped.pr_before[3:], rtol=1e-9)


@pytest.mark.parametrize("form", ["result", "frames", "lines"])
def test_excluded_structures_are_never_picked(form):
    file = chosen_before(form)
    first = select(3).indices
    chosen = select(11, exclude=(file,)).indices
    assert not set(chosen.tolist()) & set(first.tolist())
    with pytest.raises(RequestError, match="fewer candidates"):
        select(12, exclude=(file,))


def test_what_is_not_in_the_pool_cannot_be_included_and_is_no_harm_excluded(caplog):
    with pytest.raises(MismatchError, match="not in the pool") as caught:
        select(2, include=("train.h5",))
    assert "8 others" in str(caught.value)
    with caplog.at_level(logging.WARNING):
        assert len(select(2, exclude=("train.xyz",)).picks) == 2
    assert "none of its structures is in the pool" in caplog.text


def test_a_selection_from_another_pool_is_refused():
    file = chosen_before("result")
    with pytest.raises(MismatchError, match="another pool"):
        select(2, include=(file,), pool=("pool.h5@::-1",))


def test_a_file_that_names_no_structures_is_refused():
    Path("text").write_text("pool.xyz\t1\nnothing\n")
    with pytest.raises(prcli.PrcliError, match="does not name a structure"):
        select(2, include=("text",))
    with pytest.raises(prcli.PrcliError):
        select(2, include=("absent",))


def test_copies_are_all_excluded_and_one_is_included():
    selection = select(2, pool=("pool.h5", "pool.h5"), include=("pool.h5@0",))
    assert selection.constraints.included.tolist() == [0]
    selection = select(26, pool=("pool.h5", "pool.h5"), exclude=("pool.h5@0",))
    assert not set(selection.indices.tolist()) & {0, N_POOL}


def test_included_structures_count_in_quotas_and_distances_not_in_the_number():
    slabs = np.flatnonzero(KINDS == "slab")[:2]
    files = tuple(f"pool.h5@{i}" for i in slabs)
    selection = select(5, include=files, quota=("kind=slab:3",))
    assert len(selection.picks) == 5
    assert np.count_nonzero(KINDS[selection.indices] == "slab") == 1
    with pytest.raises(RequestError, match="chosen before exceeds"):
        select(5, include=files, at_most=("kind=slab:1",))
    selection = select(12, include=files, budget=10.0, cost="price")
    assert PRICES[selection.indices].sum() <= 10.0
    assert not set(slabs.tolist()) & set(selection.indices.tolist())


# --- distances ------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_picks_keep_their_distance(strategy, caplog):
    points = features()
    distances = np.linalg.norm(points[:, None] - points[None, :], axis=2)
    radius = float(np.median(distances))
    selection = select(10, strategy=strategy, min_distance=radius, include=("pool.h5@3",))
    chosen = [3, *selection.indices.tolist()]
    for one, other in itertools.combinations(chosen, 2):
        assert distances[one, other] > radius
    # Whatever is not chosen is too near.
    for other in set(range(N_POOL)) - set(chosen):
        assert distances[other, chosen].min() <= radius
    assert selection.stopped == "constraints"
    assert f"{len(chosen) - 1} of 10 picks" in caplog.text


@both
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_distances_leave_enough_for_the_floors(strategy):
    points = features()
    distances = np.linalg.norm(points[:, None] - points[None, :], axis=2)
    # What would be picked last must not be closed by neighbours that are picked before.
    order = select(N_POOL, strategy=strategy).indices
    last = int(order[-1])
    radius = float(np.sort(distances[last])[4])
    chosen = select(
        3, strategy=strategy, min_distance=radius, at_least=(f"price={PRICES[last]}:1",)
    ).indices
    assert np.count_nonzero(PRICES[chosen] == PRICES[last]) >= 1
    for one, other in itertools.combinations(chosen.tolist(), 2):
        assert distances[one, other] > radius


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_of_equal_structures_one_is_picked(strategy):
    selection = select(
        2 * N_POOL, strategy=strategy, duplicates_within=0.0, pool=("pool.h5", "pool.h5@::-1")
    )
    names = [i if i < N_POOL else 2 * N_POOL - 1 - i for i in selection.indices.tolist()]
    assert sorted(names) == list(range(N_POOL))


# --- exchanges and the bound ----------------------------------------------------------------


@both
@pytest.mark.parametrize("objective", ["mean-pr", "min-pr"])
def test_no_exchange_improves_a_refined_selection(objective):
    greedy = select(3, objective=objective)
    refined = select(3, objective=objective, refine=9)
    found = refined.refinement
    assert found.is_settled
    assert found.objective_greedy == pytest.approx(greedy.objective_after, rel=1e-12)
    assert found.objective_refined == refined.objective_after
    assert found.objective_refined >= found.objective_greedy * (1.0 - 1e-12)
    chosen = refined.indices.tolist()
    assert refined.objective_after == pytest.approx(value_of(objective, chosen), rel=1e-9)
    for place in range(3):
        for other in set(range(N_POOL)) - set(chosen):
            exchanged = [*chosen[:place], other, *chosen[place + 1 :]]
            assert value_of(objective, exchanged) <= refined.objective_after * (1.0 + 1e-9)


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_exchanges_reach_the_best_selection_that_a_greedy_search_misses(seed):
    """The first pick, good for all targets, is worth little beside one for each."""
    generator = np.random.default_rng(seed)
    pool = np.concatenate([[[1.2] * 4], 1.3 * np.eye(4), generator.normal(size=(4, 4))])
    train = 0.1 * generator.normal(size=(20, 4))

    def select_four(**options: Any) -> Selection:
        return prcli.select(
            pool,
            4,
            train=train,
            target=np.eye(4),
            scale=1.0,
            regularizer=1e-3,
            objective="mean-variance",
            **options,
        )

    best = max(
        -np.trace(np.linalg.inv(train.T @ train + 1e-3 * np.eye(4) + rows.T @ rows)) / 4.0
        for rows in (pool[list(chosen)] for chosen in itertools.combinations(range(9), 4))
    )
    assert select_four().objective_after < best - 0.02
    refined = select_four(refine=5, bound=True)
    assert refined.objective_after == pytest.approx(best, rel=1e-9)
    assert refined.refinement.n_exchanges >= 1
    assert best <= refined.bound.objective
    assert refined.bound.share > 0.99
    assert refined.drift < 1e-9


@both
def test_exchanges_keep_within_all_limits():
    limits = {
        "budget": 14.0,
        "cost": "price",
        "at_least": ("kind=gas:1",),
        "at_most": ("kind=slab:2",),
    }
    greedy, refined = select(None, **limits), select(None, refine=4, **limits)
    assert refined.objective_after >= greedy.objective_after * (1.0 - 1e-12)
    chosen = refined.indices
    assert PRICES[chosen].sum() <= 14.0
    assert np.count_nonzero(KINDS[chosen] == "gas") >= 1
    assert np.count_nonzero(KINDS[chosen] == "slab") <= 2
    objective = value_of("mean-pr", chosen.tolist())
    assert refined.objective_after == pytest.approx(objective, rel=1e-9)
    assert len(set(chosen.tolist())) == len(chosen)


@both
@pytest.mark.parametrize("objective", ["mean-pr", "mean-log-pr", "mean-variance"])
def test_no_selection_is_better_than_the_bound(objective):
    selection = select(2, objective=objective, bound=True)
    values = [value_of(objective, pair) for pair in itertools.combinations(range(N_POOL), 2)]
    assert max(values) <= selection.bound.objective + 1e-9 * abs(selection.bound.objective)
    gained = selection.objective_after - selection.objective_before
    assert selection.bound.share == pytest.approx(gained / selection.bound.gain)
    assert 0.5 < selection.bound.share <= 1.0 + 1e-9
    if selection.bound.relaxed_gain > 0.0:
        assert selection.bound.gain <= 1.0011 * selection.bound.relaxed_gain


@pytest.mark.parametrize("objective", ["mean-pr", "log-det"])
def test_no_picks_are_no_share_of_the_bound(objective):
    limits = {"budget": 30.0, "cost": "price", "include": ("pool.h5@:1",), "min_distance": 1e6}
    selection = select(None, objective=objective, bound=True, **limits)
    assert not selection.picks
    assert selection.bound.share == 0.0


def test_the_bound_knows_budgets():
    selection = select(3, budget=8.0, cost="price", bound=True)
    best = max(
        value_of("mean-pr", chosen)
        for n in (1, 2, 3)
        for chosen in itertools.combinations(range(N_POOL), n)
        if PRICES[list(chosen)].sum() <= 8.0
    )
    assert best <= selection.bound.objective * (1.0 + 1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refine": 1, "strategy": "fps"}, "this strategy does not look at"),
        ({"refine": -1}, "must not be negative"),
        ({"refine": 1, "stop_pr": 3.0}, "stop early"),
        ({"bound": True, "objective": "min-pr"}, "no bound for this objective"),
    ],
)
def test_what_cannot_be_refined_or_bounded_is_refused_before_anything_is_opened(options, message):
    with pytest.raises(RequestError, match=message):
        SelectRun(request_of(3, pool=("no-such-file.h5",), **options))


# --- checkpoints and reports ----------------------------------------------------------------


def stopping_at(n_calls: int) -> Callable[..., None]:
    calls = itertools.count(1)

    def progress(task: str, done: int, total: int | None) -> None:
        if task in ("select", "refine") and next(calls) >= n_calls:
            raise SystemExit(143)

    return progress


@both
@pytest.mark.parametrize("n_calls", [2, 6, 8])
def test_a_stopped_search_within_a_budget_goes_on(n_calls):
    request = request_of(
        None, budget=12.0, cost="price", at_least=("kind=gas:1",), refine=1, checkpoint="c"
    )
    whole = run(replace(request, checkpoint=None))
    assert sum(each.n_picks for each in whole.searches[:2]) > 6
    with pytest.raises(SystemExit):
        run(request, progress=stopping_at(n_calls))
    resumed = run(request)
    assert resumed.n_resumed >= 2
    assert resumed.indices.tolist() == whole.indices.tolist()
    assert [each.n_picks for each in resumed.searches] == [each.n_picks for each in whole.searches]
    for one, other in zip(resumed.searches, whole.searches, strict=True):
        assert one.objective == pytest.approx(other.objective, rel=1e-9)
    np.testing.assert_allclose(resumed.target_pr_after, whole.target_pr_after, rtol=1e-9)
    assert not Path("c").exists()


CHANGES = {
    "budget": {"budget": 13.0},
    "cost": {"cost": "price + 0.5"},
    "quotas": {"at_least": ("kind=gas:2",)},
    "include": {"include": ("pool.h5@1",)},
    "exclude": {"exclude": ("pool.h5@2",)},
    "min-distance": {"min_distance": 1e-3},
    "duplicates-within": {"duplicates_within": 0.0},
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_constraints_are_another_request(name):
    given: dict[str, Any] = {"budget": 12.0, "cost": "price", "at_least": ("kind=gas:1",)}
    with pytest.raises(SystemExit):
        run(request_of(None, checkpoint="c", **given), progress=stopping_at(2))
    with pytest.raises(MismatchError, match="another request") as caught:
        select(None, checkpoint="c", **(given | CHANGES[name]))
    assert f"{name} " in caught.value.got


def test_the_report_tells_costs_quotas_and_searches():
    files = (chosen_before("result"),)
    selection = run(
        request_of(
            None,
            output="out",
            budget=12.0,
            cost="price",
            at_most=("kind=slab:3",),
            include=files,
            refine=1,
            bound=True,
        )
    )
    report = json.loads(Path("out/report.json").read_text())
    assert report["cost"]["expression"] == "price"
    assert report["cost"]["spent"] == pytest.approx(PRICES[selection.indices].sum())
    assert [each["name"] for each in report["searches"]] == ["gain per cost", "gain", "best single"]
    assert "Only for log-det" in report["guarantee"]
    (quota,) = report["quotas"]
    n_before = np.count_nonzero(KINDS[selection.constraints.included] == "slab")
    assert (quota["group"], quota["at_most"]) == ("kind=slab", 3)
    assert quota["chosen_before"] == n_before
    assert [each["index"] for each in report["included"]] == selection.constraints.included.tolist()
    assert report["refinement"]["n_sweeps"] == 1
    assert report["bound"]["share"] == pytest.approx(selection.bound.share)
    table = read_table("out/selection.tsv")
    np.testing.assert_allclose(np.array(table["cost"], float), PRICES[selection.indices])
    inputs = [Path(each["path"]).name for each in report["provenance"]["inputs"]]
    assert "selection.tsv" in inputs
    assert len(split_frames(Path("out/selected.xyz").read_bytes())) == len(selection.picks)
